"""What the event layer needs to know of time, and is given by the roof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from media.event import Event
from media.rtp import rtp_origin
from media.ticks import TICKS_PER_MS, Ticks

__all__ = ["Clock", "HostDelay", "RemoteTimeline", "RoomTimeline", "Timelines", "anchor", "remote_timeline"]

STALE_MS = 5_000
"""A clock that its owner has not written for so long stands for a broadcast that is gone: it is written each second."""


class Clock(Protocol):
    """`now` drives timers, `wall` is Unix time; both in seconds."""

    def now(self) -> float: ...

    def wall(self) -> float: ...


class RoomTimeline(Protocol):
    """The timeline of a room's broadcast."""

    @property
    def epoch(self) -> str: ...

    def live_edge(self) -> Ticks: ...

    def to_media(self, wall_s: float) -> Ticks: ...

    def announce(self, event: Event) -> None: ...


class Timelines(Protocol):
    """The broadcasts that this node holds."""

    def timeline(self, room: str) -> RoomTimeline | None: ...

    def rooms(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True)
class HostDelay:
    """From the camera to the ingest, in ms, known to `bound_ms` either way."""

    ms: int = 0
    bound_ms: int = 0


@dataclass(frozen=True, slots=True)
class RemoteTimeline:
    """A broadcast that another node holds, as `{room}:clock` tells it: at the store's wall clock `at_ms` its timeline
    was at `t`. `offset_ms` is the store's wall clock minus this node's."""

    epoch: str
    t: Ticks
    edge: Ticks
    at_ms: int
    offset_ms: float

    def live_edge(self) -> Ticks:
        return self.edge

    def to_media(self, wall_s: float) -> Ticks:
        passed_ms = wall_s * 1000 + self.offset_ms - self.at_ms
        return Ticks(self.t + round(passed_ms * TICKS_PER_MS))

    def announce(self, event: Event) -> None:
        """The node that holds the stream writes the event into it."""


def remote_timeline(
    fields: Mapping[bytes, bytes], *, store_ms: int, wall_s: float
) -> tuple[RemoteTimeline | None, HostDelay]:
    """Read `{room}:clock`: the timeline, None if it is not running, and the host's delay."""
    numbers = {name: int(fields.get(name, 0)) for name in (b"host_delay", b"bound", b"t", b"edge", b"at")}
    delay = HostDelay(numbers[b"host_delay"], numbers[b"bound"])
    if b"epoch" not in fields or store_ms - numbers[b"at"] > STALE_MS:
        return None, delay
    offset_ms = store_ms - wall_s * 1000
    epoch, t, edge = fields[b"epoch"].decode(), Ticks(numbers[b"t"]), Ticks(numbers[b"edge"])
    return RemoteTimeline(epoch, t, edge, numbers[b"at"], offset_ms), delay


def anchor(timeline: RoomTimeline | None) -> dict[str, Any] | None:
    """Where RTP time and media time meet (docs/timeline.md)."""
    if timeline is None:
        return None
    origin = rtp_origin(timeline.epoch)
    t = timeline.live_edge()
    return {"epoch": timeline.epoch, "rtp": (origin + t) & 0xFFFFFFFF, "t": t}

"""Where an event's `t` comes from (docs/timeline.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from interaction.kinds import Role
from interaction.refusal import BODY, EPOCH, FORBIDDEN, FUTURE, NO_TIMELINE, Refused
from interaction.timelines import HostDelay, RoomTimeline
from media.ticks import TICKS_PER_MS, TICKS_PER_SECOND, Ticks

__all__ = ["Placed", "calibrated", "place"]

VIEWER_AHEAD = Ticks(2 * TICKS_PER_SECOND)
"""How far a viewer's position may be past the live edge: it is sampled a moment before, and players round up."""
HOST_AHEAD = Ticks(600 * TICKS_PER_SECOND)
"""How far ahead a host or a back end may place an event. A longer plan is the back end's to keep."""
MAX_HOST_DELAY_MS = 30_000
MAX_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class Placed:
    """`t` on broadcast `epoch`, both None for on arrival. `bound_ms`: how exactly `t` is known, if a delay is in it."""

    epoch: str | None
    t: Ticks | None
    bound_ms: int | None = None


def place(at: Any, *, role: Role, epoch: Any, timeline: RoomTimeline | None, delay: HostDelay, wall_s: float) -> Placed:
    """The place of an event that its sender puts `at`: None, "now", {"t": ticks} or {"wall_ms": Unix ms}.

    A viewer gives the position that their player was showing; hosts and back ends may name an instant instead, which is
    taken in front of the camera. `epoch` is the broadcast the sender means, None if it was not said.
    Raises Refused: EPOCH, FUTURE, FORBIDDEN, NO_TIMELINE, BODY.
    """
    if timeline is None:
        return _before_the_show(at, epoch)
    if epoch is not None and epoch != timeline.epoch:
        raise Refused(EPOCH, f"the event is for broadcast {str(epoch)[:32]}, this is {timeline.epoch}")
    trusted = role >= Role.HOST
    if isinstance(at, Mapping) and at.keys() == {"t"}:
        return _at_t(at["t"], trusted=trusted, timeline=timeline)
    if not trusted and at is not None:
        raise Refused(FORBIDDEN, "a viewer places events by the t that they saw")
    if not trusted or at is None or at == "now":
        instant = wall_s
    elif isinstance(at, Mapping) and at.keys() == {"wall_ms"}:
        instant = _wall(at["wall_ms"], wall_s)
    else:
        raise Refused(BODY, 'at must be "now", {"t": ticks} or {"wall_ms": Unix ms}')
    if not trusted:
        return Placed(timeline.epoch, timeline.live_edge())
    t = Ticks(max(0, timeline.to_media(instant + delay.ms / 1000)))
    return _bounded(Placed(timeline.epoch, t, delay.bound_ms), HOST_AHEAD, timeline)


def calibrated(samples: Any, timeline: RoomTimeline) -> HostDelay:
    """A host's delay from instants in front of the camera and the `t` of the picture that shows them.

    Each sample is {"wall_ms": Unix ms, "t": ticks}: at most 100. The delay is their median, the bound the largest
    deviation from it. Raises Refused.
    """
    if not isinstance(samples, Sequence) or isinstance(samples, str) or not 1 <= len(samples) <= MAX_SAMPLES:
        raise Refused(BODY, f"samples must be a list of 1 to {MAX_SAMPLES}")
    delays = []
    for sample in samples:
        if not isinstance(sample, Mapping) or not (_is_int(sample.get("wall_ms")) and _is_int(sample.get("t"))):
            raise Refused(BODY, 'a sample is {"wall_ms": integer, "t": integer}')
        delays.append((sample["t"] - timeline.to_media(sample["wall_ms"] / 1000)) / TICKS_PER_MS)
    middle = round(median(delays))
    if not 0 <= middle <= MAX_HOST_DELAY_MS:
        raise Refused(BODY, f"the samples give a delay of {middle} ms, allowed are 0 to {MAX_HOST_DELAY_MS}")
    return HostDelay(middle, round(max(abs(delay - middle) for delay in delays)))


def _before_the_show(at: Any, epoch: Any) -> Placed:
    if at is None or at == "now":
        return Placed(None, None)
    raise Refused(NO_TIMELINE, f"the room has no broadcast{' ' + str(epoch)[:32] if epoch else ''}: leave out at")


def _at_t(t: Any, *, trusted: bool, timeline: RoomTimeline) -> Placed:
    if not _is_int(t) or t < 0:
        raise Refused(BODY, "at.t must be a whole number of 90 kHz ticks, not below 0")
    return _bounded(Placed(timeline.epoch, Ticks(t)), HOST_AHEAD if trusted else VIEWER_AHEAD, timeline)


def _bounded(placed: Placed, ahead: Ticks, timeline: RoomTimeline) -> Placed:
    edge = timeline.live_edge()
    if placed.t is not None and placed.t > edge + ahead:
        late_ms = (placed.t - edge) // TICKS_PER_MS
        raise Refused(FUTURE, f"the event is {late_ms} ms ahead of the live edge, allowed are {ahead // TICKS_PER_MS}")
    return placed


def _wall(value: Any, wall_s: float) -> float:
    if not _is_int(value):
        raise Refused(BODY, "at.wall_ms must be whole Unix milliseconds")
    distance_ms = abs(value - wall_s * 1000)
    if distance_ms > HOST_AHEAD // TICKS_PER_MS:
        raise Refused(BODY, f"at.wall_ms is {distance_ms:.0f} ms from now, allowed are {HOST_AHEAD // TICKS_PER_MS}")
    return float(value) / 1000


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

"""A room on this node: its history, its viewers, and what is to be told them at the next tick."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interaction.broker import Opened, Position
from interaction.flood import Draw, Flood, Sampler
from interaction.history import History
from interaction.record import Record, to_client
from interaction.settings import RoomSettings
from interaction.spread import Spread, tick_s
from interaction.timelines import Clock, HostDelay, RoomTimeline, Timelines, anchor
from interaction.tokens import Identity
from interaction.viewer import Viewer
from media.event import Event
from media.reasons import SHUTDOWN, Reason

__all__ = ["Pending", "Room", "cursor_of", "position_of"]

ANCHOR_S = 10.0
"""How often everybody is told where RTP time and media time meet (docs/timeline.md)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A danmaku that waits for its tick's draw; `shown` tells its sender whether everybody sees it."""

    event: Event
    shown: asyncio.Future[bool]


class Room:
    """State of one room on one node. Everything here is synchronous; the broker and the timers are others' work."""

    def __init__(
        self,
        name: str,
        opened: Opened,
        *,
        settings: RoomSettings,
        clock: Clock,
        timelines: Timelines,
        choose: random.Random,
    ) -> None:
        now = clock.now()
        self.name = name
        self.settings = settings
        self.history = History(opened)
        self.viewers: set[Viewer] = set()
        self.flood = Flood(settings, now)
        self.sampler: Sampler[Pending] = Sampler(
            settings.danmaku_per_second, now, text=lambda pending: str(pending.event.body["text"]), choose=choose
        )
        self.outgoing: Sampler[Record] = Sampler(
            settings.danmaku_per_second, now, text=lambda record: str(record.event.body["text"]), choose=choose
        )
        self.spread = Spread(settings)
        self.dropped: Counter[str] = Counter()
        self.likes = 0
        self.likes_told = True
        self.presence = 0
        self.presence_due = False
        self.polls = 0
        self.idle_since: float | None = now
        self.remote: RoomTimeline | None = None
        self.delay = HostDelay()
        self._clock = clock
        self._timelines = timelines
        self._commerce: list[Record] = []
        self._ambient: list[Record] = []
        self._batch: asyncio.Future[None] | None = None
        self._told_epoch: str | None = None
        self.wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"Room({self.name} {self.history.log}:{self.history.seq}, {len(self.viewers)} viewers)"

    @property
    def position(self) -> Position:
        return self.history.position

    @property
    def timeline(self) -> RoomTimeline | None:
        """The broadcast's timeline: this node's own, else as another node tells it."""
        return self._timelines.timeline(self.name) or self.remote

    @property
    def is_local(self) -> bool:
        return self._timelines.timeline(self.name) is not None

    @property
    def sync(self) -> str:
        """The room's rule for when an event takes effect."""
        record = self.history.value("sync")
        return str(record.event.body["mode"]) if record else self.settings.sync

    def is_muted(self, sender: str) -> bool:
        """Whether `sender`, or every viewer, is muted now."""
        now_ms = self._clock.wall() * 1000
        records = (self.history.value(f"mute:{sender}"), self.history.value("mute:all"))
        return any(record is not None and record.event.body["until_ms"] > now_ms for record in records)

    def touch(self) -> None:
        """Somebody is about to come: do not let go of the room now."""
        if self.idle_since is not None:
            self.idle_since = self._clock.now()

    def enter(self, viewer: Viewer) -> None:
        self.viewers.add(viewer)
        self.idle_since = None

    def leave(self, viewer: Viewer) -> None:
        self.viewers.discard(viewer)
        if not self.viewers:
            self.idle_since = self._clock.now()

    def is_idle(self, now: float) -> bool:
        """Whether nobody has been here for so long that the room can be let go."""
        if self.viewers or self.polls or self.is_local or self.likes or self.idle_since is None:
            return False
        return now - self.idle_since >= self.settings.idle_s

    def take(self, commerce: Sequence[Record], ambient: Sequence[Record]) -> None:
        """Events that the store has. They are told at the next tick. Raises Gap."""
        timeline = self.timeline
        edge = None if timeline is None else timeline.live_edge()
        local = self._timelines.timeline(self.name)
        for record in commerce:
            if self.history.take_commerce(record, live_edge=edge):
                self._commerce.append(record)
                if local is not None:
                    local.announce(record.event)
        for record in ambient:
            self.history.take_ambient(record)
            if record.event.kind != "danmaku" or self.outgoing.offer(record, self._clock.now()):
                self._ambient.append(record)
        self.wake.set()

    def reload(self, opened: Opened) -> None:
        """The room anew from the store. Viewers hear the missing events, or honestly that there is a new beginning."""
        missing = [record for record in opened.commerce if (record.event.seq or 0) > self.history.seq]
        bridged = len(missing) == opened.position.seq - self.history.seq
        if opened.position.log == self.history.log and bridged and opened.position.seq >= self.history.seq:
            self.take(missing, ())
            return
        self.history = History(opened)
        self._commerce.clear()
        self._ambient.clear()
        self.dropped["reset"] += 1
        self.tell({"type": "reset", **self.now(), **self.beginning()})
        self._finish_batch()

    def hold(self, event: Event) -> asyncio.Future[bool]:
        """Offer a danmaku to the room: True when everybody is to see it, False when its sender alone."""
        pending = Pending(event, asyncio.get_running_loop().create_future())
        if self.sampler.offer(pending, self._clock.now()):
            pending.shown.set_result(True)
        else:
            self.wake.set()
        return pending.shown

    def tick(self) -> tuple[list[Record], list[Record]]:
        """What is to be told now: commerce and ambient. Danmaku that wait for a place hear whether they get one."""
        self._draw_held()
        self._draw_outgoing()
        commerce, self._commerce = self._commerce, []
        ambient, self._ambient = self._ambient, []
        if commerce or ambient:
            self._finish_batch()
        return commerce, ambient

    def messages(self, commerce: list[Record], ambient: list[Record]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """A tick's two messages."""
        cursor = cursor_of(self.history.position)
        head = {"type": "events", "log": self.history.log, "seq": self.history.seq, "cursor": cursor}
        return (
            {**head, "events": [to_client(record) for record in commerce]},
            {**head, "events": [to_client(record) for record in ambient]},
        )

    @property
    def has_news(self) -> bool:
        return bool(self._commerce or self._ambient or self.outgoing.holding)

    @property
    def tick_s(self) -> float:
        return tick_s(len(self.viewers), self.settings)

    def now(self) -> dict[str, Any]:
        """Where the broadcast is: `t` is what is in front of the camera at `wall_ms`."""
        timeline, wall_s = self.timeline, self._clock.wall()
        return {
            "wall_ms": round(wall_s * 1000),
            "epoch": None if timeline is None else timeline.epoch,
            "t": None if timeline is None else timeline.to_media(wall_s),
            "anchor": anchor(timeline),
            "sync": self.sync,
        }

    def beginning(self) -> dict[str, Any]:
        """What a newcomer is told."""
        history = self.history
        found = history.snapshot(self.timeline)
        return {
            "log": history.log,
            "seq": history.seq,
            "cursor": cursor_of(history.position),
            "recovered": False,
            "state": [to_client(record) for record in found.state],
            "events": [to_client(record) for record in found.after],
            "recent": [to_client(record) for record in history.recent(self.settings.recent_danmaku)],
            "totals": dict(history.totals),
        }

    def continuation(self, missed: Sequence[Record]) -> dict[str, Any]:
        """What somebody is told who comes back without a hole."""
        return {
            **self.beginning(),
            "recovered": True,
            "state": [],
            "events": [to_client(record) for record in missed],
        }

    def greeting(self, identity: Identity) -> dict[str, Any]:
        """What is the same for everybody but the name."""
        return {
            "type": "hello",
            "room": self.name,
            **self.now(),
            "you": {"sender": identity.sender, "role": identity.role.name.lower(), "may_send": identity.may_send},
            "heartbeat_ms": round(self.settings.heartbeat_s * 1000),
            "tick_ms": round(self.tick_s * 1000),
        }

    def tell(self, message: Mapping[str, Any]) -> None:
        """One message to everybody, outside the ticks. It is framed once per transport."""
        framed: dict[str, bytes] = {}
        for viewer in self.viewers:
            if viewer.closed is None and not viewer.transport.is_closing():
                name = viewer.framing.name
                if name not in framed:
                    framed[name] = viewer.framing.frame(message)
                viewer.transport.write(framed[name])

    @property
    def has_turned(self) -> bool:
        """Whether a broadcast has begun or ended since everybody was last told where it is."""
        timeline = self.timeline
        return self._told_epoch != (None if timeline is None else timeline.epoch)

    def tell_time(self) -> None:
        """Tell everybody where the broadcast is: who waits for the host hears it at once, by long polling too."""
        if self.has_turned:
            self._finish_batch()
        now = self.now()
        self._told_epoch = now["epoch"]
        self.tell({"type": "time", **now})

    def next_batch(self) -> asyncio.Future[None]:
        """Done when the next events are told; many may wait for it."""
        if self._batch is None or self._batch.done():
            self._batch = asyncio.get_running_loop().create_future()
        return self._batch

    def close(self, reason: Reason = SHUTDOWN) -> None:
        for viewer in tuple(self.viewers):
            viewer.close(reason)
        self._draw_held()
        self._finish_batch()

    def _draw_held(self) -> None:
        if not self.sampler.holding:
            return
        draw = self.sampler.draw(self._clock.now())
        self._count(draw)
        for items, is_shown in ((draw.shown, True), (draw.sampled, False), (draw.merged, False)):
            for pending in items:
                if not pending.shown.done():
                    pending.shown.set_result(is_shown)

    def _count(self, draw: Draw[Any]) -> None:
        self.dropped["sampled"] += len(draw.sampled)
        self.dropped["merged"] += len(draw.merged)

    def _draw_outgoing(self) -> None:
        if not self.outgoing.holding:
            return
        draw = self.outgoing.draw(self._clock.now())
        self._ambient.extend(draw.shown)
        self._count(draw)

    def _finish_batch(self) -> None:
        if self._batch is not None and not self._batch.done():
            self._batch.set_result(None)


def cursor_of(position: Position) -> str:
    """A long poll's place: log, seq, ambient entry."""
    return f"{position.log}.{position.seq}.{position.ambient}"


def position_of(cursor: str) -> Position | None:
    """The reverse; None for anything else."""
    log, _, rest = cursor.partition(".")
    seq, _, ambient = rest.partition(".")
    ms, dash, number = ambient.partition("-")
    if not (log and dash and all(part.isascii() and part.isdigit() and len(part) < 19 for part in (seq, ms, number))):
        return None
    return Position(log, int(seq), None, ambient)

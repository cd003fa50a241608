"""The broker: takes events into the store, once and in order, and gives them back.

What it guarantees. A commerce event that was answered `taken` has a `seq` without gaps in its `log`, is stored once
whatever is repeated, and is given to every reader of the room in order, or the log changes. Ambient events are stored
once and may be trimmed unread.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgpack  # type: ignore[import-untyped]

from interaction.record import Record, RecordError, pack_event, unpack_event
from interaction.refusal import STATE_FULL, Refused
from interaction.script import load_script
from interaction.store import Entries, Store, entries_of
from media.event import Event, Lane
from media.ticks import TICKS_PER_SECOND, Ticks

__all__ = ["Broker", "Opened", "Position", "RoomKeys", "Taken", "fresh_log"]

LATE_JOINER_TICKS = 15 * TICKS_PER_SECOND
"""How far behind the live edge a viewer may be and still not be told of the next product."""
STATE_MARGIN_TICKS = LATE_JOINER_TICKS + 15 * TICKS_PER_SECOND
"""State that is superseded is kept a little longer than anybody can need it."""
COMMERCE_TAIL = 1_000
"""Commerce events a node holds per room; older ones are read from the store when somebody recovers."""
ID_KEPT_MS = {Lane.COMMERCE: 86_400_000, Lane.AMBIENT: 120_000}
"""For how long an event id is known. A back end may retry for a day; a danmaku is retried for seconds."""
MAX_STATE_KEYS = 2_000
"""A shelf of some hundred products with price and stock, and as many muted senders."""
ROOM_KEPT_FACTOR = 2
"""An idle room's keys outlive its newest event's retention."""
LIKES_INTERVAL_MS = 500
PRESENCE_INTERVAL_MS = 2_000
PRESENCE_SILENT_MS = 15_000
PAGE = 500
AMBIENT_MIX = 4
"""Totals travel among the danmaku; so many entries are read for each danmaku that is wanted."""


def fresh_log() -> str:
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class RoomKeys:
    """The names of a room's keys. They share a hash tag, so that a cluster keeps them together."""

    room: str

    @property
    def commerce(self) -> str:
        return f"{{{self.room}}}:commerce"

    @property
    def ambient(self) -> str:
        return f"{{{self.room}}}:ambient"

    @property
    def state(self) -> str:
        return f"{{{self.room}}}:state"

    @property
    def log(self) -> str:
        return f"{{{self.room}}}:log"

    @property
    def clock(self) -> str:
        return f"{{{self.room}}}:clock"

    def id(self, event: str) -> str:
        return f"{{{self.room}}}:id:{event}"

    def lane(self, lane: Lane) -> str:
        return self.commerce if lane is Lane.COMMERCE else self.ambient


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has read: in log `log` up to `seq`, whose event had `event_id` (None: not said), and in the
    ambient stream up to the entry `ambient`."""

    log: str
    seq: int
    event_id: str | None = None
    ambient: str = "0-0"


@dataclass(frozen=True, slots=True)
class Taken:
    """A published event. `duplicate`: it had been taken before, under this `seq`."""

    log: str
    seq: int | None
    position: str
    at_ms: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A room as of one instant. `state` has, per key, the latest event and those that viewers behind still see."""

    position: Position
    now_ms: int
    state: Mapping[str, Sequence[Record]]
    commerce: Sequence[Record]
    ambient: Sequence[Record]
    totals: Mapping[str, int] = field(default_factory=dict)


class Broker:
    """Events of all rooms, in one store."""

    def __init__(self, store: Store, *, commerce_kept_s: float = 86_400, ambient_kept: int = 1_000, replicas: int = 0):
        self.store = store
        self.corrupt = 0
        self._commerce_kept_ms = int(commerce_kept_s * 1000)
        self._ambient_kept = ambient_kept
        self._replicas = replicas

    @property
    def room_kept_ms(self) -> int:
        return self._commerce_kept_ms * ROOM_KEPT_FACTOR

    async def publish(
        self,
        room: str,
        event: Event,
        *,
        state_key: str | None = None,
        live_edge: Ticks | None = None,
        bound_ms: int | None = None,
    ) -> Taken:
        """Take `event`, whose `seq` is given here. One script: id seen before, number, append, state.

        Raises Refused: UNAVAILABLE (repeat it with the same id), STATE_FULL.
        """
        keys = RoomKeys(room)
        past = "" if live_edge is None else str(live_edge - STATE_MARGIN_TICKS)
        arguments = (
            event.lane.value,
            event.id,
            pack_event(event, bound_ms),
            state_key or "",
            event.epoch or "",
            "" if event.t is None else str(event.t),
            past,
            fresh_log(),
            self._commerce_kept_ms,
            self._ambient_kept,
            ID_KEPT_MS[event.lane],
            MAX_STATE_KEYS,
            self.room_kept_ms,
        )
        names = (keys.commerce, keys.ambient, keys.state, keys.log, keys.id(f"{event.sender or ''}/{event.id}"))
        replicas = self._replicas if event.lane is Lane.COMMERCE else 0
        status, log, position, at_ms = await self.store.call(
            load_script("publish"), names, arguments, replicas=replicas
        )
        if status == b"full":
            raise Refused(STATE_FULL, f"the room has {MAX_STATE_KEYS} state keys")
        seq = int(position) if event.lane is Lane.COMMERCE else None
        return Taken(log.decode(), seq, position.decode(), at_ms, duplicate=status == b"duplicate")

    async def open(self, room: str, *, recent: int = 50) -> Opened:
        """The room now: state, the latest commerce events, `recent` ambient ones. Raises Unreachable."""
        keys = RoomKeys(room)
        names = (keys.commerce, keys.ambient, keys.state, keys.log)
        answer = await self.store.call(
            load_script("open"), names, (fresh_log(), COMMERCE_TAIL, recent * AMBIENT_MIX, self.room_kept_ms)
        )
        log, seq, now_ms, flat, commerce_rows, ambient_rows, ambient = answer
        named = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        commerce = self.records(entries_of(reversed(commerce_rows)), Lane.COMMERCE)
        ambient_records = self.records(entries_of(reversed(ambient_rows)), Lane.AMBIENT)
        danmaku = [record for record in ambient_records if record.event.kind == "danmaku"]
        last_id = commerce[-1].event.id if commerce else None
        return Opened(
            Position(log.decode(), seq, last_id, ambient.decode()),
            now_ms,
            {name: self._state(name, value) for name, value in named.items() if not name.startswith("#")},
            commerce,
            danmaku[-recent:] if recent else (),
            {
                name[1:-5]: int(value)
                for name, value in named.items()
                if name.startswith("#") and name.endswith(".told")
            },
        )

    async def verify(self, room: str, known: Position) -> bool:
        """Whether the room's history is still what `known` says. If it is not, its log has changed."""
        keys = RoomKeys(room)
        arguments = (known.log, known.seq, known.event_id or "", fresh_log())
        if known.event_id is None and known.seq:
            return False
        same, _ = await self.store.call(load_script("verify"), (keys.commerce, keys.log), arguments)
        return bool(same)

    async def history(
        self, room: str, lane: Lane, *, after: str = "-", limit: int | None = None
    ) -> AsyncIterator[Record]:
        """The stored events of a lane in order, after the entry id `after`."""
        key = RoomKeys(room).lane(lane)
        start, left = ("-" if after == "-" else f"({after}"), limit
        while left is None or left > 0:
            page = PAGE if left is None else min(PAGE, left)
            rows = await self.store.execute("XRANGE", key, start, "+", "COUNT", page)
            entries = entries_of(rows)
            for record in self.records(entries, lane):
                yield record
            if len(entries) < page:
                return
            start = f"({entries[-1][0]}"
            left = None if left is None else left - len(entries)

    async def like(self, room: str, count: int, batch: str) -> tuple[int, bool]:
        """Count likes, once per `batch`. Answers the total, and whether everybody has been told it."""
        keys = RoomKeys(room)
        arguments = (count, LIKES_INTERVAL_MS, self._ambient_kept, ID_KEPT_MS[Lane.AMBIENT], self.room_kept_ms)
        total, told = await self.store.call(load_script("like"), (keys.ambient, keys.state, keys.id(batch)), arguments)
        return total, bool(told)

    async def presence(self, room: str, node: str, viewers: int) -> tuple[int, bool]:
        """Say how many viewers `node` has. Answers the sum over all nodes, and whether everybody has been told it."""
        keys = RoomKeys(room)
        arguments = (node, viewers, PRESENCE_SILENT_MS, PRESENCE_INTERVAL_MS, self._ambient_kept, self.room_kept_ms)
        total, told = await self.store.call(load_script("presence"), (keys.ambient, keys.state), arguments)
        return total, bool(told)

    def records(self, entries: Entries, lane: Lane) -> list[Record]:
        """Stored entries as records. One that cannot be read is counted and left out."""
        found = []
        for position, fields in entries:
            try:
                found.append(_record(position, fields, lane))
            except (RecordError, KeyError, ValueError):
                self.corrupt += 1
        return found

    def _state(self, name: str, packed: bytes) -> tuple[Record, ...]:
        try:
            rows = msgpack.unpackb(packed, raw=True)
            entries = [
                (f"{seq}-0", {b"e": data, b"a": b"%d" % at_ms, b"s": name.encode()}) for seq, _, _, at_ms, data in rows
            ]
        except (ValueError, TypeError, msgpack.UnpackException):
            self.corrupt += 1
            return ()
        return tuple(self.records(entries, Lane.COMMERCE))


def _record(position: str, fields: Mapping[bytes, bytes], lane: Lane) -> Record:
    at_ms = int(fields[b"a"])
    if b"n" in fields:  # a total, which the server itself counted
        name = fields[b"n"].decode()
        event = Event(f"{name}-{position}", None, None, None, name, lane, None, None, {"total": int(fields[b"v"])})
        return Record(event, position, at_ms)
    state_key = fields.get(b"s", b"").decode() or None
    return unpack_event(fields[b"e"], lane, position=position, at_ms=at_ms, state_key=state_key)

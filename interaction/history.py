"""What a node remembers of a room, so that joining and recovering cost the store nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from interaction.broker import COMMERCE_TAIL, LATE_JOINER_TICKS, STATE_MARGIN_TICKS, Opened, Position
from interaction.record import Record
from interaction.snapshot import Snapshot, snapshot
from interaction.timelines import RoomTimeline
from media.ticks import Ticks

__all__ = ["Gap", "History"]

AMBIENT_TAIL = 1_000
"""Ambient events for long polls that come back; a second holds 20 of them."""
MAX_SUPERSEDED = 256
"""Superseded events kept per state key, as the script keeps them."""


class Gap(Exception):
    """A commerce event arrived whose `seq` is not the next."""


class History:
    """One room's past: state, the latest commerce events without a hole, the latest ambient ones."""

    def __init__(self, opened: Opened) -> None:
        self.log = opened.position.log
        self.seq = opened.position.seq
        self.ambient_position = opened.position.ambient
        self.commerce: deque[Record] = deque(opened.commerce, COMMERCE_TAIL)
        self.ambient: deque[Record] = deque(opened.ambient, AMBIENT_TAIL)
        self.totals = dict(opened.totals)
        self._last_id = opened.position.event_id
        self._state: dict[str, list[Record]] = {key: list(records) for key, records in opened.state.items()}

    @property
    def position(self) -> Position:
        return Position(self.log, self.seq, self._last_id, self.ambient_position)

    def take_commerce(self, record: Record, *, live_edge: Ticks | None) -> bool:
        """Add the next commerce event. False: it was known. Raises Gap."""
        seq = record.event.seq or 0
        if seq <= self.seq:
            return False
        if seq != self.seq + 1:
            raise Gap(f"event {seq} arrived after {self.seq}")
        self.seq, self._last_id = seq, record.event.id
        self.commerce.append(record)
        if record.state_key:
            self._supersede(record.state_key, record, live_edge)
        return True

    def take_ambient(self, record: Record) -> None:
        self.ambient_position = record.position
        self.ambient.append(record)
        if record.event.seq is None and "total" in record.event.body:
            self.totals[record.event.kind] = record.event.body["total"]

    def snapshot(self, timeline: RoomTimeline | None) -> Snapshot:
        if timeline is None:
            return snapshot(self._state, (), epoch=None, cut=None)
        cut = Ticks(timeline.live_edge() - LATE_JOINER_TICKS)
        return snapshot(self._state, self.commerce, epoch=timeline.epoch, cut=cut)

    def recent(self, count: int) -> list[Record]:
        """The latest danmaku."""
        danmaku = [record for record in self.ambient if record.event.kind == "danmaku"]
        return danmaku[-count:] if count else []

    def since(self, known: Position) -> Sequence[Record] | None:
        """The commerce events after `known`, None if they cannot be told without a hole from memory."""
        if not self.continues(known):
            return None
        first = self.seq - len(self.commerce) + 1
        if known.seq + 1 < first:
            return None
        return [record for record in self.commerce if (record.event.seq or 0) > known.seq]

    def continues(self, known: Position) -> bool:
        """Whether `known` is a point of this history: the same log, not ahead of it, and the same event there."""
        if known.log != self.log or not 0 <= known.seq <= self.seq:
            return False
        index = known.seq - (self.seq - len(self.commerce)) - 1
        if known.event_id is None or not 0 <= index < len(self.commerce):
            return True
        return self.commerce[index].event.id == known.event_id

    def ambient_since(self, position: str) -> list[Record]:
        """The ambient events after an entry id; of those that are no longer held, none."""
        after = _entry(position)
        return [record for record in self.ambient if _entry(record.position) > after]

    def value(self, key: str) -> Record | None:
        """The latest event of a state key, settled or not."""
        records = self._state.get(key)
        return records[-1] if records else None

    def _supersede(self, key: str, record: Record, live_edge: Ticks | None) -> None:
        records = self._state.setdefault(key, [])
        records.append(record)
        if live_edge is None:
            del records[:-1]
            return
        past = live_edge - STATE_MARGIN_TICKS
        epoch = record.event.epoch
        settled = [index for index, old in enumerate(records[:-1]) if _is_past(old, epoch, past)]
        first = max(settled[-1] if settled else 0, len(records) - MAX_SUPERSEDED)
        del records[:first]


def _is_past(record: Record, epoch: str | None, past: int) -> bool:
    event = record.event
    return event.epoch != epoch or event.t is None or event.t <= past


def _entry(position: str) -> tuple[int, int]:
    ms, _, number = position.partition("-")
    return int(ms), int(number or 0)

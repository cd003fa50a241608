"""Recovery, as a state machine: whatever is published, lost and reloaded, a client has every event or is reset."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interaction.broker import LATE_JOINER_TICKS, Opened, Position
from interaction.history import Gap, History
from interaction.record import Record
from interaction.room import Room, cursor_of, position_of
from interaction.settings import RoomSettings
from interaction.snapshot import order_of, snapshot
from media.event import Event, Lane
from media.ticks import Ticks
from tests.support.rooms import LocalTimelines, RealClock


def record(
    seq: int, *, log: str = "a", key: str | None = None, t: int | None = None, epoch: str | None = "e"
) -> Record:
    event = Event(
        f"{log}{seq}",
        None if t is None else epoch,
        None if t is None else Ticks(t),
        seq,
        "notice",
        Lane.COMMERCE,
        None,
        "host",
        {"text": "x"},
    )
    return Record(event, f"{seq}-0", 0, None, key)


def opened(log: str, records: list[Record]) -> Opened:
    last = records[-1] if records else None
    seq = (last.event.seq or 0) if last else 0
    return Opened(Position(log, seq, last.event.id if last else None), 0, {}, records[-1000:], ())


class _Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass


class Recovery(RuleBasedStateMachine):
    """A store, a node that reads it with interruptions, and a client that comes and goes.

    The store may lose its tail (a failover) or everything; either gives it another log, as `verify` sees to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.logs = 0
        self.log = "a0"
        self.stored: list[Record] = []
        self.node = Room(
            "r",
            opened(self.log, []),
            settings=RoomSettings(),
            clock=RealClock(),
            timelines=LocalTimelines(),
            choose=random.Random(1),
        )
        self.client_log, self.client = self.log, list[str]()

    def teardown(self) -> None:
        self.loop.close()

    def _new_log(self) -> None:
        self.logs += 1
        self.log = f"a{self.logs}"

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.stored.append(record(len(self.stored) + 1, log=f"{self.log}/{len(self.stored)}-"))

    @rule()
    def read(self) -> None:
        """The node reads on from its position. Another log it must not read on: that is what `verify` sees to."""
        if self.node.history.log == self.log:
            self.node.take(self.stored[self.node.history.seq :], [])

    @rule(skipped=st.integers(1, 3))
    def read_with_a_hole(self, skipped: int) -> None:
        late = self.stored[self.node.history.seq + skipped :]
        if self.node.history.log == self.log and late:
            with pytest.raises(Gap):
                self.node.take(late, [])
            self.reload()

    @rule()
    def reload(self) -> None:
        self.node.reload(opened(self.log, self.stored))

    @rule(lost=st.integers(0, 5))
    def fail_over(self, lost: int) -> None:
        """A replica that lacks the last writes takes over."""
        if lost and self.stored:
            del self.stored[-lost:]
            self._new_log()

    @rule()
    def empty(self) -> None:
        self.stored.clear()
        self._new_log()

    @rule()
    def come_back(self) -> None:
        """The client reconnects to the node with what it has."""
        known = Position(self.client_log, len(self.client), self.client[-1] if self.client else None)
        missed = self.node.history.since(known)
        if missed is None:
            self.client_log = self.node.history.log
            self.client = [item.event.id for item in self.node.history.commerce]
        else:
            self.client += [item.event.id for item in missed]

    @invariant()
    def the_client_has_a_whole_beginning_of_its_log(self) -> None:
        if self.client_log == self.log:
            assert self.client == [item.event.id for item in self.stored[: len(self.client)]]

    @invariant()
    def the_node_has_no_hole(self) -> None:
        seqs = [item.event.seq for item in self.node.history.commerce]
        assert seqs == list(range(self.node.history.seq - len(seqs) + 1, self.node.history.seq + 1))


Recovery.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestRecovery = Recovery.TestCase


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["product", "price:a", "sync"]), st.integers(0, 100), st.sampled_from(["old", "e", None])
    ),
    max_size=20,
)


@given(EVENTS, st.integers(0, 100), st.integers(0, 15))
@settings(max_examples=150)
def test_a_newcomer_ends_where_everybody_else_is_and_sees_nothing_early(
    rows: list[tuple[str, int, str | None]], edge_s: int, behind_s: int
) -> None:
    """A client that begins with a snapshot and fires the rest by its now_t shows what one shows that saw it all."""
    records = [
        record(seq, key=key, t=None if epoch is None else seconds * 90_000, epoch=epoch)
        for seq, (key, seconds, epoch) in enumerate(rows, 1)
    ]
    state: dict[str, list[Record]] = {}
    for item in records:
        state.setdefault(str(item.state_key), []).append(item)
    cut = Ticks(edge_s * 90_000 - LATE_JOINER_TICKS)
    found = snapshot(state, records, epoch="e", cut=cut)
    now_t = (edge_s - behind_s) * 90_000
    early = [item for item in found.state if item.event.epoch == "e" and (item.event.t or 0) > now_t]
    assert not early
    assert _fired(found.state, found.after, now_t) == _fired([], records, now_t)


def _fired(state: Any, events: Any, now_t: int) -> Mapping[str, int]:
    """What a client shows at `now_t`: state first, then what is due, in the order of its picture."""
    shown: dict[str, int] = {str(item.state_key): item.event.seq or 0 for item in state}
    due = [item for item in events if item.event.epoch != "e" or item.event.t is None or item.event.t <= now_t]
    for item in sorted(due, key=lambda item: order_of(item, "e")):
        shown[str(item.state_key)] = item.event.seq or 0
    return shown


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_a_cursor_is_one_of_ours_or_none(text: str) -> None:
    position = position_of(text)
    assert position is None or isinstance(position.seq, int)


def test_a_cursor_comes_back_as_it_went() -> None:
    position = Position("3f2a", 17, None, "1700000000000-3")
    assert position_of(cursor_of(position)) == position


def test_memory_keeps_superseded_state_as_the_store_does() -> None:
    history = History(opened("a", []))
    for seq, seconds in enumerate((10, 50, 100, 101), 1):
        edge = Ticks((seconds + 1) * 90_000)
        history.take_commerce(record(seq, key="product", t=seconds * 90_000), live_edge=edge)
    found = snapshot(history._state, (), epoch="e", cut=Ticks(60 * 90_000))
    assert [item.event.seq for item in found.state] == [2]
    assert len(history._state["product"]) == 3

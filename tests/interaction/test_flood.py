"""The flood rule."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interaction.flood import Flood, Sampler
from interaction.rates import RateTable, TokenBucket
from interaction.refusal import DUPLICATE, TOO_FAST, TOO_FAST_ADDRESS, TOO_FAST_ROOM, Refusal, Refused
from interaction.settings import RoomSettings
from media.event import Lane

RATE = 20.0


class Flooding(RuleBasedStateMachine):
    """Whatever is offered, at most the rate is shown, and each is shown or its loss counted, exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sampler: Sampler[tuple[int, str]] = Sampler(RATE, 0.0, text=lambda item: item[1], choose=random.Random(7))
        self.offered = 0
        self.shown: list[tuple[float, int]] = []
        self.fate: Counter[int] = Counter()

    @rule(text=st.sampled_from(["a", "A ", "b", "c", "666"]), count=st.integers(1, 8))
    def offer(self, text: str, count: int) -> None:
        for _ in range(count):
            self.offered += 1
            if self.sampler.offer((self.offered, text), self.now):
                self._show(self.offered)

    @rule(seconds=st.floats(0.0, 2.0))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        draw = self.sampler.draw(self.now)
        for number, _ in draw.shown:
            self._show(number)
        for number, _ in (*draw.sampled, *draw.merged):
            self.fate[number] += 1

    def _show(self, number: int) -> None:
        self.fate[number] += 1
        self.shown.append((self.now, number))

    @invariant()
    def never_more_than_the_rate(self) -> None:
        burst = RATE / 4
        assert len(self.shown) <= burst + RATE * self.now + 1e-6

    @invariant()
    def everything_has_one_fate(self) -> None:
        assert max(self.fate.values(), default=1) == 1
        assert self.sampler.holding == (len(self.fate) < self.offered)


Flooding.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestFlooding = Flooding.TestCase


def refusal(
    flood: Flood, lane: Lane = Lane.AMBIENT, kind: str = "danmaku", *, sender: str = "a", now: float = 0.0
) -> Refusal | None:
    try:
        flood.admit(lane, kind, sender=sender, address="::1", now=now)
    except Refused as refused:
        return refused.refusal
    return None


def test_a_sender_has_a_burst_and_then_a_rate() -> None:
    flood = Flood(RoomSettings(user_rate=1, user_burst=3), 0.0)
    assert [refusal(flood) for _ in range(4)] == [None, None, None, TOO_FAST]
    assert refusal(flood, sender="b") is None
    assert [refusal(flood, now=1.0) for _ in range(2)] == [None, TOO_FAST]
    assert flood.refused == {"too fast": 2}


def test_an_address_and_a_room_have_bounds_of_their_own() -> None:
    wide = RoomSettings(user_rate=1000, user_burst=1000)
    narrow = Flood(replace(wide, address_rate=1, address_burst=2), 0.0)
    assert [refusal(narrow, sender=str(n)) for n in range(3)] == [None, None, TOO_FAST_ADDRESS]
    room = Flood(replace(wide, address_rate=1000, address_burst=1000, room_rate=2), 0.0)
    assert [refusal(room, sender=str(n)) for n in range(3)] == [None, None, TOO_FAST_ROOM]
    assert refusal(room, kind="like") is None


def test_commerce_passes_however_great_the_flood() -> None:
    flood = Flood(RoomSettings(room_rate=1, commerce_burst=5), 0.0)
    for number in range(100):
        refusal(flood, sender=str(number))
    assert [refusal(flood, Lane.COMMERCE, "notice") for _ in range(6)] == [None] * 5 + [TOO_FAST_ROOM]


def test_a_sender_who_repeats_is_not_heard() -> None:
    flood = Flood(RoomSettings(), 0.0)
    flood.admit_words("a", "Hello  world", 0.0)
    flood.admit_words("b", "hello world", 1.0)
    with pytest.raises(Refused) as raised:
        flood.admit_words("a", "helloWORLD", 9.0)
    assert raised.value.refusal is DUPLICATE
    flood.admit_words("a", "hello world", 19.1)


def test_what_a_tick_leaves_out_is_not_who_came_last() -> None:
    """Over many ticks everybody has about the same chance."""
    shown: Counter[int] = Counter()
    sampler: Sampler[int] = Sampler(20, 0.0, text=str, choose=random.Random(3))
    for tick in range(400):
        for number in range(40):
            if sampler.offer(number, tick * 1.0):
                shown[number] += 1
        for number in sampler.draw(tick * 1.0).shown:
            shown[number] += 1
    late = [shown[number] for number in range(20, 40)]
    assert min(late) == max(late) == 0  # the bucket was full at each tick, so the first ones passed at once
    for tick in range(400, 1200):
        for number in range(40):
            sampler.offer(number, 400.0)
        for number in sampler.draw(400 + (tick - 399) / 20).shown:
            shown[number] += 1
    assert min(shown[number] for number in range(40)) > 5


def test_sampling_can_be_turned_off() -> None:
    sampler: Sampler[str] = Sampler(0, 0.0, text=str, choose=random.Random(1))
    assert all(sampler.offer("same", 0.0) for _ in range(1000))


def test_the_table_of_senders_is_bounded() -> None:
    table = RateTable(1, 1, limit=10)
    for number in range(100):
        table.take(str(number), 0.0)
    assert len(table) == 10


def test_a_bucket_does_not_fill_when_time_goes_back() -> None:
    bucket = TokenBucket(1, 1, 10.0)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)
    assert not bucket.take(10.5)
    assert bucket.take(11.0)

"""Which pictures become keyframes, which ones a rung takes, and how long pictures wait: decided by times alone."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode_turns import DecodeTurns
from ingest.picture_cadence import KeyframeClock, PictureCadence, RateMeter

STEPS = st.lists(st.integers(90, 9_000), min_size=1, max_size=200)


def times(steps: list[int]) -> list[int]:
    at, found = 0, []
    for step in steps:
        at += step
        found.append(at)
    return found


@given(STEPS, st.floats(0.5, 10), st.data())
def test_keyframes_are_never_further_apart_than_the_interval(
    steps: list[int], interval: float, data: st.DataObject
) -> None:
    clock = KeyframeClock()
    made, shown = [], times(steps)
    for pts in shown:
        own = data.draw(st.booleans())
        if clock.decide(pts, is_source_keyframe=own, interval=interval):
            made.append(pts)
        else:
            assert not own or pts - made[-1] < 22_500
    assert made[0] == shown[0]
    assert all(b - a <= interval * 90_000 + 9_000 for a, b in pairwise(made))


def test_a_forced_keyframe_is_the_next_picture_alone() -> None:
    clock = KeyframeClock()
    decided = []
    for pts in range(0, 36_000, 3_000):
        if pts in (9_000, 12_000):
            clock.force()
        decided.append(clock.decide(pts, is_source_keyframe=False, interval=2))
    assert [n for n, is_key in enumerate(decided) if is_key] == [0, 3, 4]


def test_an_interval_of_rounded_times_is_kept_with_the_source() -> None:
    """A GOP of 60 pictures at 29.97 in whole milliseconds: no second keyframe beside the source's."""
    clock = KeyframeClock()
    shown = [round(n * 1001 / 30) * 90 for n in range(600)]
    made = [n for n, pts in enumerate(shown) if clock.decide(pts, is_source_keyframe=n % 60 == 0, interval=2.0)]
    assert made == list(range(0, 600, 60))


def test_a_jump_back_begins_anew() -> None:
    clock = KeyframeClock()
    assert clock.decide(90_000, is_source_keyframe=False, interval=2)
    assert clock.decide(9_000, is_source_keyframe=False, interval=2)


@pytest.mark.parametrize(("source", "wanted", "expected"), [
    (60, 30, 300), (30, 15, 150), (30, 30, 300), (25, 30, 250), (29.97, 25, 250), (50, 24, 240), (240, 60, 600),
    (59.94, 29.97, 300), (1, 30, 10),
])  # fmt: skip
@pytest.mark.parametrize("grain", [1, 90])
def test_pictures_are_thinned_evenly(source: float, wanted: float, expected: int, grain: int) -> None:
    cadence = PictureCadence(wanted)
    shown = [round(n * 90_000 / source / grain) * grain for n in range(round(source * 10))]
    taken = [pts for pts in shown if cadence.takes(pts, keyframe=False)]
    assert abs(len(taken) - expected) <= 1
    if len(taken) > 20:
        steps = [b - a for a, b in pairwise(taken)]
        assert max(steps) <= 90_000 / wanted + 90_000 / source + 180


@given(STEPS, st.floats(1, 300), st.data())
def test_a_keyframe_is_always_taken(steps: list[int], rate: float, data: st.DataObject) -> None:
    cadence = PictureCadence(rate)
    assert all(cadence.takes(pts, keyframe=True) for pts in times(steps) if data.draw(st.booleans()))


def test_the_rate_is_measured_and_declared_until_then() -> None:
    meter = RateMeter()
    assert meter.rate == 30
    meter.declared = 50
    assert meter.rate == 50
    for n in range(20):
        meter.note(n * 3600)
    assert meter.rate == 25
    meter.note(0)  # a jump
    assert meter.rate == 50
    for n in range(1, 20):
        meter.note(n * 9)
    assert meter.rate == 300


def coded(shown: list[int], depth: int, order: list[int]) -> list[tuple[int, int]]:
    """dts and pts in decoding order: the n-th unit has the pts shown `depth` places before, as encoders make it."""
    early = [shown[0] - (depth - n) * 3600 for n in range(depth)]
    return [(dts, shown[index]) for dts, index in zip([*early, *shown], order, strict=False)]


def test_a_rate_is_settled_when_all_its_pictures_come_at_it() -> None:
    meter, settled = RateMeter(), []
    shown = times([6000] * 40 + [3000] * 60 + [75_000] + [3000] * 60 + [90] * 3 + [3000] * 40)
    for dts in shown:
        meter.note(dts)
        settled.append(round(meter.rate) if meter.is_settled else None)
    assert settled[:8] == [None] * 8
    assert set(settled[8:40]) == {15}
    assert set(settled[47:60]) == {None}
    assert {rate for rate in settled[40:75] if rate is not None} <= {15, 16, 17, *range(26, 31)}
    assert set(settled[75:100]) == {30}
    assert set(settled[100:131]) == {None}
    assert {rate for rate in settled[131:] if rate is not None} <= set(range(27, 37))


@given(st.lists(st.integers(-45, 45), min_size=40, max_size=40), st.sampled_from([15, 29.97, 60, 144]))
def test_times_in_whole_milliseconds_are_settled(jitter: list[int], rate: float) -> None:
    meter = RateMeter()
    for n, off in enumerate(jitter):
        meter.note(round(n * 90_000 / rate) + off)
    assert meter.is_settled


@given(st.integers(0, 4), st.lists(st.integers(90, 90_000), min_size=12, max_size=200), st.randoms())
def test_the_nth_picture_shown_has_the_nth_dts_whatever_the_order_and_the_intervals(
    depth: int, steps: list[int], rng: random.Random
) -> None:
    shown = times(steps)
    units = coded(shown, depth, _reordered(len(shown), depth, rng))
    turns, found = DecodeTurns(), []
    for number, unit in enumerate(units):
        turns.note(*unit)
        if number >= depth:  # by then this one can be shown
            found.append(turns.turn(shown[number - depth]))
    found += [turns.turn(pts) for pts in shown[len(found) :]]
    assert found == [dts for dts, _ in units]
    assert all(dts is not None and dts <= pts for dts, pts in zip(found, shown, strict=True))


@given(st.lists(st.integers(90, 90_000), min_size=30, max_size=60), st.integers(2, 20), st.randoms())
def test_pictures_that_are_lost_leave_the_others_where_they_were(
    steps: list[int], begin: int, rng: random.Random
) -> None:
    """Not decodable, not shown, or from before a decoder began."""
    shown = times(steps)
    units = coded(shown, 2, _reordered(len(shown), 2, rng))
    turns = DecodeTurns()
    for unit in units:
        turns.note(*unit)
    for number in range(begin, len(shown)):
        if number == begin or rng.random() < 0.7:
            assert turns.turn(shown[number]) == units[number][0]


def test_a_hole_moves_the_two_pictures_behind_it_and_no_other() -> None:
    shown = [n * 3000 + (72_000 if n >= 60 else 0) for n in range(150)]
    units = coded(shown, 2, [0, *(index for n in range(1, 148, 3) for index in (n + 2, n, n + 1) if index < 150)])
    turns, waits = DecodeTurns(), []
    for number, unit in enumerate(units):
        turns.note(*unit)
        dts = turns.turn(shown[max(0, number - 2)]) if number >= 2 else turns.turn(-1)
        waits += [] if dts is None else [shown[number - 2] - dts]
    assert [n for n, wait in enumerate(waits) if wait > 2 * 3600] == [60, 61]
    assert set(waits[62:]) == {6000}


def test_the_same_units_again_are_no_later_the_second_time() -> None:
    units = coded(times([3000] * 300), 1, [0, *(index for n in range(1, 297, 3) for index in (n + 2, n, n + 1))])
    turns = DecodeTurns()
    for unit in units:
        turns.note(*unit)
        turns.turn(unit[0])
    for unit in units[150:]:
        turns.note(*unit)
        due = turns.turn(unit[0])
        assert due is None or unit[0] - due <= 3000


def test_no_more_units_are_open_than_the_deepest_reordering_needs() -> None:
    turns = DecodeTurns()
    for n in range(1000):
        turns.note(n * 3000, n * 3000 + 6000)
    assert turns.turn(990 * 3000 + 6000) == 990 * 3000


def _reordered(count: int, depth: int, rng: random.Random) -> list[int]:
    """A decoding order in which no picture comes more than `depth` places after its turn, and the first one first."""
    waiting, order = list(range(1, count)), [0]
    for n in range(1, count):
        must = waiting[0] <= n - depth
        order.append(waiting.pop(0 if must else rng.randrange(min(len(waiting), 2 * depth + 1))))
    return order

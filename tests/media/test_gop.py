from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from media.gop import GopLimits, GopRing
from media.ticks import TICKS_PER_SECOND as SECOND
from tests.support.units import picture, sound


def filled(ring: GopRing, keys: set[int], count: int, *, size: int = 100) -> GopRing:
    for i in range(count):
        ring.push(picture(i * 3000, key=i in keys, size=size))
    return ring


def test_a_joiner_gets_the_newest_group_from_its_keyframe() -> None:
    ring = filled(GopRing(GopLimits(), has_video=True), {0, 60, 120}, 150)
    units = list(ring.replay())
    assert units[0].keyframe
    assert [u.dts for u in units] == [i * 3000 for i in range(120, 150)]


def test_before_the_first_keyframe_there_is_nothing_to_join() -> None:
    ring = filled(GopRing(GopLimits(), has_video=True), set(), 30)
    assert not ring.is_joinable
    assert list(ring.replay()) == []


def test_sound_from_before_the_keyframe_is_not_replayed_and_later_sound_is() -> None:
    ring = GopRing(GopLimits(), has_video=True)
    ring.push(picture(0, key=True))
    ring.push(sound(60_500))
    ring.push(picture(60_000, key=True))
    ring.push(sound(59_000))
    ring.push(sound(62_000))
    assert [u.dts for u in ring.replay()] == [60_500, 60_000, 62_000]


def test_a_group_that_is_too_long_is_not_kept() -> None:
    ring = filled(GopRing(GopLimits(seconds=2.0), has_video=True), {0}, 90)
    assert not ring.is_joinable
    assert ring.oversized == 1
    ring.push(picture(90 * 3000, key=True))
    assert len(list(ring.replay())) == 1


def test_the_older_group_goes_first_when_bytes_run_out() -> None:
    ring = filled(GopRing(GopLimits(size=5000), has_video=True), {0, 30}, 60)
    assert ring.is_joinable
    assert ring.oversized == 0
    assert ring.size <= 5000


def test_a_group_that_is_too_large_by_itself_is_not_kept() -> None:
    ring = filled(GopRing(GopLimits(size=5000), has_video=True), {0}, 60)
    assert not ring.is_joinable


def test_sound_alone_has_a_sync_point_each_second() -> None:
    ring = GopRing(GopLimits(), has_video=False)
    for i in range(200):
        ring.push(sound(i * 1920))
    units = list(ring.replay())
    assert 0 < units[-1].dts - units[0].dts < SECOND


@example([(True, 1, 1), (True, 1, 2000), (False, 50001, 3000), (False, 400000, 3000)])  # too long and too large at once
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400_000), st.integers(1, 3000)), max_size=80))
def test_a_replay_always_starts_on_a_keyframe_and_stays_within_the_limits(rows: list[tuple[bool, int, int]]) -> None:
    limits = GopLimits(seconds=5.0, size=8000)
    ring, dts = GopRing(limits, has_video=True), 0
    for key, step, size in rows:
        dts += step
        ring.push(picture(dts, key=key, size=size))
        units = list(ring.replay())
        assert ring.size <= limits.size
        if units:
            assert units[0].keyframe
            assert units[-1].dts - units[0].dts <= limits.seconds * SECOND
            assert not any(u.keyframe for u in units[1:])

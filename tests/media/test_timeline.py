from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.flv_muxer import unit_tag
from media.ticks import TICKS_PER_SECOND as SECOND
from media.timeline import MAX_COMPOSITION, MIN_STEP, Timeline
from media.unit import AccessUnit
from tests.support.units import picture, sound

FRAME = 3000
AAC = 1920


def place(timeline: Timeline, units: Iterable[AccessUnit], wall: float = 0.0) -> list[AccessUnit]:
    return [placed for unit in units for placed in timeline.place(unit, wall)]


def session(start: int, seconds: float, *, audio_start: int | None = None, first: str = "video") -> list[AccessUnit]:
    """A publisher's units, interleaved by dts, on its own clock that begins at `start`."""
    count = int(seconds * SECOND)
    audio_base = start if audio_start is None else audio_start
    rows = [
        (d, 0 if first == "video" else 1, picture(start + d, key=d % (60 * FRAME) == 0)) for d in range(0, count, FRAME)
    ]
    rows += [(d, 1 if first == "video" else 0, sound(audio_base + d)) for d in range(0, count, AAC)]
    return [unit for _, _, unit in sorted(rows, key=lambda row: row[:2])]


def video_dts(units: Iterable[AccessUnit]) -> list[int]:
    return [u.dts for u in units if u.is_video]


def audio_dts(units: Iterable[AccessUnit]) -> list[int]:
    return [u.dts for u in units if not u.is_video]


def steps(values: list[int]) -> set[int]:
    return {b - a for a, b in itertools.pairwise(values)}


def lip_offset(before: list[AccessUnit], placed: list[AccessUnit]) -> set[int]:
    """For each kind, placed minus raw."""
    raw = {(u.is_video, u.parts[0]): u for u in before}
    return {u.dts - raw[u.is_video, u.parts[0]].dts for u in placed}


@pytest.mark.parametrize("start", [0, 12_345, -5_000, 4_000_000_000 * 90])
def test_the_first_unit_is_the_beginning(start: int) -> None:
    placed = place(Timeline("e"), session(start, 1))
    assert placed[0].dts == 0
    assert video_dts(placed) == list(range(0, SECOND, FRAME))
    assert audio_dts(placed) == list(range(0, SECOND, AAC))


def test_picture_and_sound_keep_their_offset() -> None:
    placed = place(Timeline("e"), [picture(9000, key=True), sound(9450), picture(12_000), sound(11_370)])
    assert [u.dts for u in placed] == [0, 450, 3000, 2370]


def test_a_picture_that_starts_before_the_first_sound_moves_the_start() -> None:
    placed = place(Timeline("e"), [sound(9000), picture(7200, key=True), sound(10_920), picture(10_200)])
    assert [u.dts for u in placed] == [0, 0, 3720, 3000]


def test_composition_times_are_kept() -> None:
    placed = place(Timeline("e"), [picture(0, key=True, composition=6000), picture(3000, composition=9000)])
    assert [(u.dts, u.pts) for u in placed] == [(0, 6000), (3000, 12_000)]


def test_a_small_step_back_is_clamped() -> None:
    timeline = Timeline("e")
    placed = place(timeline, [picture(0, key=True), picture(9000), picture(3000), picture(12_000)])
    assert video_dts(placed) == [0, 9000, 9090, 12_000]
    assert timeline.rebases == 0


def test_a_pts_before_its_dts_lowers_the_dts_or_is_dropped() -> None:
    timeline = Timeline("e")
    placed = place(timeline, [picture(0, key=True), picture(6000, composition=-900), picture(9000, composition=-6000)])
    assert [(u.dts, u.pts) for u in placed] == [(0, 0), (5100, 5100)]
    assert timeline.drops["pts before dts"] == 1


def test_a_pts_hours_after_its_dts_is_bounded_and_fits_flv() -> None:
    timeline = Timeline("e")
    placed = place(timeline, [picture(0, key=True), picture(3000, composition=3 * 3600 * SECOND), picture(6000)])
    assert [(u.dts, u.pts) for u in placed] == [(0, 0), (3000, 3000 + MAX_COMPOSITION), (6000, 6000)]
    assert timeline.live_edge == 3000 + MAX_COMPOSITION
    assert all(unit_tag(unit) for unit in placed)


@pytest.mark.parametrize("jump", [3600 * SECOND, -3600 * SECOND, 4 * SECOND, -SECOND])
@pytest.mark.parametrize("first", ["video", "audio"])
def test_a_jump_of_both_clocks_leaves_no_gap_and_keeps_lip_sync(jump: int, first: str) -> None:
    timeline = Timeline("e")
    before = session(0, 5)
    after = session(5 * SECOND + jump, 5, first=first)
    placed = place(timeline, [*before, *after])
    assert steps(video_dts(placed)) == {FRAME}
    tail = [u for u in placed if u.dts > 6 * SECOND]
    assert {u.dts % FRAME for u in tail if u.is_video} == {0}
    assert max(audio_dts(placed)) - max(video_dts(placed)) == max(audio_dts(after)) - max(video_dts(after))
    assert timeline.rebases == 1


def test_a_jump_whose_kinds_arrive_out_of_step_is_one_jump() -> None:
    timeline = Timeline("e")
    jump = 3600 * SECOND
    place(timeline, session(0, 2))
    late_sound = [sound(2 * SECOND + i * AAC) for i in range(3)]
    mixed = [picture(2 * SECOND + jump), late_sound[0], picture(2 * SECOND + FRAME + jump), *late_sound[1:]]
    placed = place(timeline, mixed)
    assert steps(video_dts(placed)) == {FRAME}
    assert audio_dts(placed) == [2 * SECOND + i * AAC for i in range(3)]
    placed = place(timeline, [sound(2 * SECOND + 3 * AAC + jump)])
    assert audio_dts(placed) == [2 * SECOND + 3 * AAC]


def test_bases_minutes_apart_are_aligned_by_arrival() -> None:
    placed = place(Timeline("e"), session(0, 3, audio_start=300 * SECOND))
    assert steps(video_dts(placed)) == {FRAME}
    assert max(abs(a - v) for a, v in zip(audio_dts(placed)[::3], video_dts(placed)[::2], strict=False)) < SECOND


def test_sound_that_pauses_keeps_its_place() -> None:
    timeline = Timeline("e")
    place(timeline, session(0, 1))
    placed = place(timeline, [picture(SECOND + i * FRAME) for i in range(300)])
    assert steps(video_dts(placed)) == {FRAME}
    placed = place(timeline, [sound(11 * SECOND)])
    assert audio_dts(placed) == [11 * SECOND]
    assert timeline.rebases == 0


@pytest.mark.parametrize("first", ["video", "audio"])
@pytest.mark.parametrize("start", [0, 77_777, 5_000_000])
def test_a_splice_continues_one_frame_after_the_last_picture(first: str, start: int) -> None:
    timeline = Timeline("e")
    before = place(timeline, session(0, 5))
    timeline.splice()
    after = place(timeline, session(start, 5, first=first))
    assert video_dts(after)[0] == video_dts(before)[-1] + FRAME
    assert steps(video_dts([*before, *after])) == {FRAME}
    assert audio_dts(after)[0] > audio_dts(before)[-1]
    shift = video_dts(after)[0] - start
    assert {(dts - shift - start) % AAC for dts in audio_dts(after)} == {0}


def test_sound_that_overlaps_a_splice_is_dropped_and_counted() -> None:
    timeline = Timeline("e")
    place(timeline, [picture(0, key=True), sound(0), *(sound(i * AAC) for i in range(1, 20))])
    timeline.splice()
    placed = place(timeline, [picture(0, key=True), *(sound(i * AAC) for i in range(40))])
    assert placed[0].dts == FRAME
    assert 20 * AAC - 2 * MIN_STEP <= audio_dts(placed)[0] < 21 * AAC
    assert timeline.drops["overlap"] > 10


def test_sound_alone_splices_after_its_own_duration() -> None:
    timeline = Timeline("e")
    place(timeline, [sound(i * AAC) for i in range(10)])
    timeline.splice()
    placed = place(timeline, [sound(500 + i * AAC) for i in range(3)])
    assert audio_dts(placed) == [10 * AAC, 11 * AAC, 12 * AAC]


def test_sound_goes_on_alone_when_no_picture_comes_after_a_splice() -> None:
    timeline = Timeline("e")
    place(timeline, session(0, 2))
    timeline.splice()
    placed = place(timeline, [sound(i * AAC) for i in range(200)])
    assert len(placed) > 190
    assert steps(audio_dts(placed)) == {AAC}


def test_live_edge_is_the_largest_video_pts() -> None:
    timeline = Timeline("e")
    assert timeline.live_edge == 0
    place(timeline, [sound(0), sound(AAC)])
    assert timeline.live_edge == AAC
    place(timeline, [picture(0, key=True, composition=9000), picture(FRAME, composition=0), sound(2 * AAC)])
    assert timeline.live_edge == 9000


misbehaviour = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(st.integers(0, 6000), st.sampled_from([-(2**40), 2**40, -27_001, -26_999, 270_001, 0, 1, -1])),
        st.integers(-9000, 18_000),
        st.integers(0, 30),
    ),
    max_size=120,
)


@given(misbehaviour)
def test_whatever_a_publisher_sends_the_rules_hold(script: list[tuple[bool, int, int, int]]) -> None:
    timeline = Timeline("e")
    clocks = {True: 0, False: 0}
    placed: list[AccessUnit] = []
    sent = 0
    for is_video, step, composition, dice in script:
        if dice == 0:
            timeline.splice()
        clocks[is_video] += step
        raw = clocks[is_video]
        unit = picture(raw, key=True, composition=composition) if is_video else sound(raw)
        placed += timeline.place(unit, sent / 30)
        sent += 1
    for kind in (video_dts(placed), audio_dts(placed)):
        assert all(step >= MIN_STEP for step in steps(kind))
    assert all(u.pts >= u.dts >= 0 for u in placed)
    assert len(placed) <= sent

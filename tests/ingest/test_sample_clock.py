"""The count of samples against the source's times."""

from __future__ import annotations

import itertools

import pytest

from ingest.sample_clock import MAX_ERROR, MAX_SILENCE, SLEW, Remedy, SampleClock

FRAME = 1920  # ticks of 1024 samples at 48 kHz
RATE = 48_000


def run(clock: SampleClock, times: list[int]) -> list[Remedy]:
    """Every frame is taken as the clock says, and comes out as long as it was taken for."""
    remedies = []
    for t in times:
        remedy = clock.judge(t)
        remedies.append(remedy)
        if remedy is Remedy.FILL:
            clock.advance(round(clock.error * RATE / 90_000), RATE)
            clock.filled()
        if remedy is not Remedy.SKIP:
            factor = {Remedy.STRETCH: 1 - SLEW, Remedy.SQUEEZE: 1 + SLEW}.get(remedy, 1.0)
            clock.advance(1024, RATE * factor)
    return remedies


def even(count: int, start: int = 0, step: int = FRAME) -> list[int]:
    return [start + index * step for index in range(count)]


def test_even_times_are_left_alone() -> None:
    clock = SampleClock(0, RATE)
    assert set(run(clock, even(1000))) == {Remedy.RUN}
    assert clock.error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("step", "remedy"), [(FRAME + 4, Remedy.STRETCH), (FRAME - 4, Remedy.SQUEEZE)])
def test_drift_is_led_back_from_20_ms_on(step: int, remedy: Remedy) -> None:
    clock, worst = SampleClock(0, RATE), 0.0
    used = set()
    for t in even(20_000, step=step):
        used |= set(run(clock, [t]))
        worst = max(worst, abs(clock.error))
    assert used == {Remedy.RUN, remedy}
    assert 20 * 90 < worst < 25 * 90


def test_an_offset_that_does_not_grow_is_led_back_once() -> None:
    clock = SampleClock(0, RATE)
    remedies = run(clock, [*even(10), *even(600, start=10 * FRAME + 35 * 90)])
    assert Remedy.FILL not in remedies
    changes = [b for a, b in itertools.pairwise(remedies) if a is not b]
    assert changes == [Remedy.STRETCH, Remedy.RUN]
    assert abs(clock.error) < 5 * 90


@pytest.mark.parametrize("hole_ms", [41, 100, 900])
def test_a_sudden_hole_is_filled_at_once(hole_ms: int) -> None:
    clock = SampleClock(0, RATE)
    remedies = run(clock, [*even(10), *even(50, start=10 * FRAME + hole_ms * 90)])
    assert remedies.count(Remedy.FILL) == 1
    assert remedies[10] is Remedy.FILL
    assert abs(clock.error) < 90


def test_a_hole_over_the_limit_means_to_start_over() -> None:
    clock = SampleClock(0, RATE)
    run(clock, even(10))
    assert clock.judge(10 * FRAME + MAX_SILENCE + 90) is Remedy.RESTART


def test_sound_that_comes_twice_is_skipped_until_it_is_new() -> None:
    clock = SampleClock(0, RATE)
    run(clock, even(100))
    back = 100 * FRAME - MAX_ERROR - 5 * FRAME
    remedies = run(clock, even(40, start=back))
    skipped = remedies.count(Remedy.SKIP)
    assert remedies[:skipped] == [Remedy.SKIP] * skipped
    assert skipped == pytest.approx((MAX_ERROR + 5 * FRAME) / FRAME, abs=1)
    assert Remedy.SKIP not in remedies[skipped:]


def test_jitter_of_a_frame_changes_nothing() -> None:
    clock = SampleClock(0, RATE)
    times = [t + (FRAME if index % 2 else -FRAME) // 2 for index, t in enumerate(even(500))]
    assert set(run(clock, times)) == {Remedy.RUN}


def test_what_really_came_out_counts_in_the_end() -> None:
    clock = SampleClock(900, RATE)
    clock.advance(4410, 44_100)
    assert clock.expected == 900 + 9000
    clock.settle(4801)
    assert clock.expected == 900 + 4801 * 90_000 / RATE

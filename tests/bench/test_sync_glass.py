"""The way through the glass: latency from capture to screen, and how it moves."""

from __future__ import annotations

import pytest

from bench.sync_figures import Drawn
from bench.sync_glass import glass
from bench.sync_host import Capture, Captures


def frame(n: int, latency_ms: float, *, read: bool = True, count: int | None = None) -> Drawn:
    at = 100_000 + 40 * n
    return Drawn(40 * n, (1, 40 * n) if read else None, at + latency_ms - 10, at + latency_ms, count or n)


CAPTURES = Captures(Capture(1, 40 * n, 100 + 0.04 * n) for n in range(10_000))


def test_latency_is_from_capture_to_screen() -> None:
    found = glass([frame(n, 150 + n % 3) for n in range(300)], CAPTURES, every=1, wrong_frame=2)
    assert found.latency.p50 == pytest.approx(151)
    assert found.latency.max == pytest.approx(152)
    assert found.presented.p50 == pytest.approx(141)
    assert (found.frames, found.read, found.skipped, found.unreadable, found.wrong_frame) == (300, 300, 0, 0, 2)
    assert found.drift_ms == pytest.approx(0)
    assert len(found.slices) == 6


def test_drift_is_between_minutes() -> None:
    found = glass([frame(n, 150 + n * 40 / 60_000) for n in range(9_000)], CAPTURES, every=1, wrong_frame=0)
    assert len(found.slices) == 6
    assert found.trend_ms == pytest.approx(5, abs=0.1)
    assert found.drift_ms == pytest.approx(5, abs=0.1)


def test_frames_that_nobody_was_told_of_and_codes_that_nobody_can_read_are_counted() -> None:
    drawn = [frame(n, 150, read=n % 5 == 0 and n != 50, count=n if n < 90 else n + 10) for n in range(100)]
    found = glass(drawn, CAPTURES, every=5, wrong_frame=0)
    assert (found.frames, found.skipped, found.read, found.unreadable) == (100, 10, 19, 1)
    empty = glass([], CAPTURES, every=1, wrong_frame=0)
    assert (empty.frames, empty.drift_ms, empty.latency.count) == (0, None, 0)

"""When frames and flashes happen."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cadence import FLASH_MS, Cadence

RATES = [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60)]


@pytest.mark.parametrize("fps", RATES)
def test_each_second_has_one_flash_of_at_least_one_frame(fps: Fraction) -> None:
    cadence = Cadence(fps)
    lit = [n for n in range(10 * int(fps) + 1) if cadence.is_lit(n)]
    starts = [n for n in lit if n - 1 not in lit]
    assert [cadence.pts_ms(n) // 1000 for n in starts] == list(range(len(starts)))
    assert len(starts) == 10 + (cadence.pts_ms(10 * int(fps)) >= 10_000)


def test_flash_is_on_the_full_second_when_a_frame_is() -> None:
    assert [Cadence(Fraction(30)).flash_ms(second) for second in range(4)] == [0, 1000, 2000, 3000]


@given(st.integers(0, 100_000), st.sampled_from(RATES))
def test_flash_begins_on_a_frame_within_a_frame_of_its_second(second: int, fps: Fraction) -> None:
    cadence = Cadence(fps)
    start = cadence.flash_ms(second)
    first = cadence.first_frame_at(second)
    assert 0 <= start - 1000 * second <= 1000 / fps
    assert cadence.pts_ms(first) == start
    assert cadence.is_lit(first)
    assert not cadence.is_lit(first - 1) or start - FLASH_MS < 0

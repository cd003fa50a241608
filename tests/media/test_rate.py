from __future__ import annotations

from media.rate import RateMeter
from media.ticks import TICKS_PER_SECOND


def test_a_rate_is_known_after_a_whole_second_and_follows_the_last_five() -> None:
    meter = RateMeter()
    for number in range(30):
        meter.note(number * 3000, 1000)
        assert meter.bits_per_second is None
    meter.note(TICKS_PER_SECOND, 1000)
    assert meter.bits_per_second == 240_000
    for number in range(31, 300):
        meter.note(number * 3000, 500)
    assert meter.bits_per_second == 120_000


def test_a_pause_forgets_what_was_before_it() -> None:
    meter = RateMeter()
    for number in range(90):
        meter.note(number * 3000, 1000)
    meter.note(10 * TICKS_PER_SECOND, 1000)
    assert meter.bits_per_second is None

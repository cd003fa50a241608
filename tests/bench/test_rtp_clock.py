"""RTP time on a common clock."""

from __future__ import annotations

import pytest

from bench.rtp_clock import ReportClock, TimelineClock
from bench.timeline_origin import TimelineOrigin

NTP = 3_900_000_000 << 32


def ntp(seconds: float) -> int:
    return NTP + int(seconds * (1 << 32))


def test_one_report_tells_at_the_nominal_rate() -> None:
    clock = ReportClock([(ntp(10), 90_000)], 90_000)
    assert clock.ms(180_000) - clock.ms(90_000) == pytest.approx(1000, abs=0.01)
    assert clock.ms(90_000) == pytest.approx(1000 * (3_900_000_000 + 10), abs=0.01)


def test_several_reports_tell_the_real_rate_and_take_out_their_jitter() -> None:
    """The sender's clock runs 0.1 % fast, and its reports are early and late by 2 ms in turn."""
    reports = [(ntp(2 * k + (0.002 if k % 2 else -0.002)), round(2 * k * 48_048)) for k in range(20)]
    clock = ReportClock(reports, 48_000)
    assert clock.ms(30 * 48_048) - clock.ms(0) == pytest.approx(30_000, abs=1)
    assert clock.ms(0) == pytest.approx(1000 * 3_900_000_000, abs=1)


def test_reports_and_times_may_wrap() -> None:
    clock = ReportClock([(ntp(0), (1 << 32) - 90_000), (ntp(2), 90_000)], 90_000)
    assert clock.ms(45_000) - clock.ms((1 << 32) - 45_000) == pytest.approx(1000, abs=0.01)


def test_without_reports_there_is_no_clock() -> None:
    with pytest.raises(ValueError, match="no sender report"):
        ReportClock([], 90_000)


def test_the_timeline_puts_picture_and_sound_of_one_moment_together() -> None:
    zero, t = (1 << 32) - 1000, 90_000 * 3600
    origin = TimelineOrigin("e", (zero + t) % (1 << 32), t)
    picture, sound = TimelineClock(origin, 90_000), TimelineClock(origin, 48_000)
    moment = t + 90 * 1500
    at_picture = picture.ms((zero + moment) % (1 << 32))
    at_sound = sound.ms((zero + moment * 48 // 90) % (1 << 32))
    assert at_picture == pytest.approx(moment / 90)
    assert at_sound == pytest.approx(at_picture, abs=0.03)

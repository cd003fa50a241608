"""Alignment of picture and sound, in numbers."""

from __future__ import annotations

import itertools

import pytest

from ingest.av_sync import AvSync
from ingest.rtp_units import RawUnit
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.units import VIDEO
from wire.codecs.opus import OpusConfig
from wire.rtp.rtcp import SenderReport

SOUND = Track(Codec.OPUS, OpusConfig(2, pre_skip=0))
NTP = 3_900_000_000 << 32
WRAP = 1 << 32


def picture(time: int) -> RawUnit:
    return RawUnit(VIDEO, time, time, True, (b"\x65\x88",))


def sound(time: int) -> RawUnit:
    return RawUnit(SOUND, time, time, True, (b"\xfc",))


def report(seconds: float, rtp_time: int, packets: int = 1) -> SenderReport:
    return SenderReport(1, NTP + int(seconds * WRAP), rtp_time % WRAP, packets, 1)


def apart(units: list[AccessUnit]) -> int:
    """Ticks from the first picture to the first sound."""
    first = {unit.is_video: unit.dts for unit in reversed(units)}
    return first[False] - first[True]


def test_one_kind_waits_for_nothing() -> None:
    assert len(AvSync(video=True, audio=False).push(picture(5), 1.0)) == 1
    assert len(AvSync(video=False, audio=True).push(sound(5), 1.0)) == 1


def test_both_reports_end_the_wait_and_place_the_sound() -> None:
    sync = AvSync(video=True, audio=True)
    assert sync.push(picture(WRAP + 1000), 10.0) == []
    assert sync.push(sound(WRAP + 5000), 10.1) == []
    assert sync.note_report(report(100.0, 1000), video=True) == []
    units = sync.note_report(report(100.0, 5000 - 4800), video=False)
    assert apart(units) == 9000, "the sound is of 100 ms later, whenever it came"
    assert sorted(unit.dts for unit in units) == [unit.dts for unit in units]


def test_after_400_ms_arrival_has_to_do() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(picture(90_000), 10.0)
    sync.push(sound(48_000), 10.05)
    assert sync.handle_timeout(10.39) == []
    units = sync.handle_timeout(10.4)
    assert apart(units) == pytest.approx(4500, abs=2)


def test_a_kind_that_comes_late_is_placed_by_its_arrival() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(sound(48_000), 10.0)
    sync.handle_timeout(10.5)
    earlier = sync.push(sound(48_000 + 960 * 50), 11.0)[0]
    later = sync.push(picture(7), 11.1)[0]
    assert later.dts - earlier.dts == pytest.approx(9000, abs=2)


def test_reports_across_the_wrap_of_rtp_time_mean_the_nearest() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(picture(2 * WRAP + 100), 10.0)
    sync.push(sound(WRAP + 48_000), 10.0)
    sync.note_report(report(50.0, WRAP - 8900), video=True)
    units = sync.note_report(report(50.0, 48_000), video=False)
    assert apart(units) == -9000


def test_a_report_before_the_first_unit_counts_from_it_on() -> None:
    sync = AvSync(video=True, audio=True)
    sync.note_report(report(100.0, 1000), video=True)
    sync.note_report(report(100.0, 5000), video=False)
    sync.push(picture(WRAP + 1000), 10.0)
    units = sync.push(sound(WRAP + 5000), 10.2)
    assert apart(units) == 0


def test_reports_that_contradict_arrival_by_seconds_are_wrong() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(picture(90_000), 10.0)
    sync.push(sound(48_000), 10.0)
    sync.note_report(report(100.0, 90_000), video=True)
    units = sync.note_report(report(107.0, 48_000), video=False)
    assert apart(units) == 0
    assert sync.skew is None


def test_reports_that_count_no_packets_say_nothing() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(picture(90_000), 10.0)
    sync.push(sound(48_000), 10.0)
    for video in (True, False):
        assert sync.note_report(report(100.0, 0xFFFFFFFF, packets=0), video=video) == []
    assert sync.handle_timeout(10.4)[0].captured_at is None


def test_small_errors_are_left_alone_and_large_ones_taken_slowly() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(picture(90_000), 10.0)
    sync.push(sound(48_000), 10.0)
    sync.handle_timeout(10.4)
    sync.note_report(report(100.0, 90_000), video=True)
    sync.note_report(report(100.004, 48_000), video=False)
    steady = [sync.push(sound(48_000 + 960 * n), 10.0 + n / 50)[0].dts for n in range(1, 51)]
    assert {b - a for a, b in itertools.pairwise(steady)} == {1800}, "4 ms"
    sync.note_report(report(100.050, 48_000), video=False)
    moving = [sync.push(sound(48_000 + 960 * n), 10.0 + n / 50)[0].dts for n in range(51, 1000)]
    assert moving[50] - moving[0] == pytest.approx(90_000 + 450, abs=2), "5 ms in a second"
    assert sync.skew == pytest.approx(0, abs=1)


def test_a_clock_that_jumps_takes_the_sound_along_at_once() -> None:
    sync = AvSync(video=True, audio=True)
    sync.push(picture(90_000), 10.0)
    sync.push(sound(48_000), 10.0)
    sync.note_report(report(100.0, 90_000), video=True)
    sync.note_report(report(100.0, 48_000), video=False)
    before = sync.push(picture(93_000), 10.03)[0].dts
    jump = 1_000_000_000
    picture_after = sync.push(picture(96_000 + jump), 10.07)[0].dts
    sync.push(sound(49_920), 10.04)
    sync.note_report(report(100.07, 96_000 + jump), video=True)
    sound_after = sync.push(sound(48_000 + 3360), 10.07)[0].dts
    assert picture_after - before == 3000 + jump
    assert abs(sound_after - picture_after) < 9000

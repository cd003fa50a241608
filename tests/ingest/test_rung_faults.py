"""What is left alone after faults, and for how long."""

from __future__ import annotations

from ingest.rung_faults import REFUSED_FOR, RungFaults
from media.track import Track
from tests.support.units import VIDEO, hevc_track, picture
from wire.codecs.h264 import H264Config


def test_an_encoder_that_fails_twice_soon_is_left_alone_for_a_while() -> None:
    faults = RungFaults()
    assert not faults.failed("720p", 0)
    assert not faults.failed("720p", 40)
    assert not faults.is_barred("720p", 40)
    assert faults.failed("720p", 50)
    assert faults.is_barred("720p", 51)
    assert faults.barred(51) == ("720p",)
    assert not faults.is_barred("360p", 51)
    assert not faults.is_barred("720p", 50 + REFUSED_FOR)


def test_a_source_that_is_refused_is_known_by_its_configuration() -> None:
    faults = RungFaults()
    faults.refuse(VIDEO, "too large")
    same = Track(VIDEO.codec, H264Config(VIDEO.config.sps, VIDEO.config.pps))
    assert faults.problem(same, 1e9) == "too large"
    assert faults.problem(hevc_track(), 0) == ""


def test_two_deaths_in_one_group_make_the_rest_of_it_poisonous() -> None:
    faults = RungFaults()
    assert not faults.died(VIDEO, 900, 0)
    assert not faults.is_poisonous(picture(1800))
    assert not faults.died(VIDEO, 900, 1)
    assert faults.is_poisonous(picture(900, key=True))
    assert faults.is_poisonous(picture(1800))
    assert not faults.is_poisonous(picture(2700, key=True))
    assert not faults.is_poisonous(picture(3600))


def test_deaths_in_different_groups_poison_nothing_until_they_are_too_many() -> None:
    faults = RungFaults()
    assert not any(faults.died(VIDEO, group, group) for group in range(3))
    assert not faults.is_poisonous(picture(1800))
    assert faults.died(VIDEO, 3, 3)
    assert "4 workers" in faults.problem(VIDEO, 10)
    assert faults.problem(VIDEO, 3 + REFUSED_FOR) == ""


def test_a_worker_that_was_not_ready_says_nothing_about_the_source() -> None:
    faults = RungFaults()
    assert [faults.died(VIDEO, 900, now, was_ready=False) for now in range(4)] == [False, False, False, True]
    assert faults.problem(VIDEO, 4) == ""
    assert not faults.is_poisonous(picture(1800))
    faults.miss_worker(4)
    assert faults.misses_worker(3 + REFUSED_FOR - 1)
    assert not faults.misses_worker(3 + REFUSED_FOR)


def test_deaths_long_apart_are_not_in_a_row() -> None:
    faults = RungFaults()
    assert not any(faults.died(VIDEO, None, 40.0 * number) for number in range(20))

"""What is read from the seconds that a checked viewer kept: through real encoders and decoders."""

from __future__ import annotations

import pytest

from bench.clip import CLIP_NUMBER
from bench.sample_reading import SILENCE_DB, read_samples
from bench.timeline_origin import TimelineOrigin
from tests.support.sampled import sampled

TIMELINE = TimelineOrigin("e", 77, 90_000 * 3600)


@pytest.mark.parametrize("late_ms", [0, 30, -60])
def test_the_beep_is_as_far_from_the_flash_as_it_was_put(late_ms: int) -> None:
    reading = read_samples([sampled(late_ms=late_ms)])
    assert [flash.number for flash in reading.flashes] == [CLIP_NUMBER] * len(reading.flashes)
    assert len(reading.flashes) >= 3
    for flash in reading.flashes:
        assert flash.by_reports_ms == pytest.approx(late_ms, abs=1.5)
        assert flash.by_timeline_ms is None


def test_the_timeline_tells_without_reports() -> None:
    reading = read_samples([sampled(late_ms=20, reports=False, timeline=TIMELINE)])
    assert [flash.by_reports_ms for flash in reading.flashes] == [None] * len(reading.flashes)
    assert all(flash.by_timeline_ms == pytest.approx(20, abs=1.5) for flash in reading.flashes)


def test_both_clocks_are_told_where_there_are_both() -> None:
    (first, *_) = read_samples([sampled(timeline=TIMELINE)]).flashes
    assert first.by_reports_ms == pytest.approx(0, abs=1.5)
    assert first.by_timeline_ms == pytest.approx(0, abs=1.5)
    assert first.at == pytest.approx(1.0, abs=0.01)


def test_without_a_clock_in_common_nothing_is_said_of_lips() -> None:
    reading = read_samples([sampled(reports=False)])
    assert (reading.flashes, reading.undecodable_sounds, reading.undecodable_pictures) == ([], 0, 0)


def test_the_loudness_is_known_and_silence_is_found() -> None:
    sample = sampled()
    assert -35 < read_samples([sample]).levels_db[0] < -15
    sample.sounds = [(960 * n, b"\xfc\xff\xfe") for n in range(50)]  # Opus' own silence
    assert read_samples([sample]).levels_db == [SILENCE_DB]


def test_a_flash_without_a_beep_is_told() -> None:
    sample = sampled()
    sample.sounds = [(at, b"\xfc\xff\xfe") for at, _ in sample.sounds]
    reading = read_samples([sample])
    assert len(reading.flashes) >= 3
    assert {flash.by_reports_ms for flash in reading.flashes} == {None}


def test_what_cannot_be_decoded_is_counted() -> None:
    sample = sampled()
    sample.sounds[3] = (sample.sounds[3][0], b"\xff\xff" + bytes(3))
    sample.pictures[3] = (sample.pictures[3][0], b"\0\0\0\1\x67\xff")
    reading = read_samples([sample])
    assert (reading.undecodable_sounds, reading.sounds) == (1, len(sample.sounds))
    assert reading.undecodable_pictures == 1

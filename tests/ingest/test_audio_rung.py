"""Sound through real codecs, as the worker runs them: what is heard keeps its place on the timeline."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import av
import numpy as np
import pytest

from ingest.audio_rung import AudioRung
from ingest.audio_target import TARGETS, track_of
from ingest.transcode_messages import Done, MadeUnit, Message, SourceTrack, SourceUnit, StartOutput
from ingest.transcode_worker import AudioLane
from media.ticks import TICKS_PER_SECOND
from tests.support.sound import Sound, beep_sound, config_record, drifted, heard_in, onsets

MS = 90


class Lane:
    """The worker's sound lane and what it says."""

    def __init__(self, sound: Sound, output: str, *, follows: int | None = None) -> None:
        self.output = output
        self.channels = sound.channels
        self.said: list[Message] = []
        self.lane = AudioLane(self.said.append)
        record = b"" if sound.codec not in ("aac", "opus") else config_record(sound.track)
        record = record[:10] + b"\0\0" + record[12:] if sound.codec == "opus" else record
        self.lane.handle(SourceTrack(1, sound.codec, record, sound.rate, sound.channels))
        self.lane.handle(StartOutput(output, 0, sound.channels, follows))
        self._seq = itertools.count(1)

    def feed(self, units: Iterable[tuple[int, bytes]]) -> None:
        for t, data in units:
            self.lane.handle(SourceUnit(next(self._seq), 1, t, t, True, (data,)))

    @property
    def made(self) -> list[tuple[int, bytes]]:
        return [(m.dts, m.parts[0]) for m in self.said if isinstance(m, MadeUnit)]

    @property
    def problems(self) -> list[str]:
        return [m.problem for m in self.said if isinstance(m, Done) and m.problem]

    def onsets(self, after: int = 0) -> list[float]:
        record = config_record(track_of(TARGETS[self.output], self.channels))
        return [at for at in onsets(self.output, self.made, record, self.channels) if at >= after]


def steps(made: list[tuple[int, bytes]]) -> set[int]:
    return {b - a for (a, _), (b, _) in itertools.pairwise(made)}


def apart_ms(before: list[float], after: list[float]) -> float:
    """The largest distance of a beep from where it was."""
    assert len(before) == len(after)
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) / MS


@pytest.mark.parametrize(("codec", "rate", "channels", "output"), [
    ("aac", 44_100, 1, "opus"), ("aac", 44_100, 2, "opus"), ("aac", 48_000, 1, "opus"), ("aac", 48_000, 2, "opus"),
    ("aac", 22_050, 1, "opus"), ("opus", 48_000, 1, "aac"), ("opus", 48_000, 2, "aac"), ("mp3", 44_100, 2, "opus"),
    ("mp3", 44_100, 2, "aac"), ("pcma", 8_000, 1, "opus"), ("pcmu", 8_000, 1, "aac"),
])  # fmt: skip
def test_beeps_keep_their_time(codec: str, rate: int, channels: int, output: str) -> None:
    sound = beep_sound(codec, rate, channels, 30)
    lane = Lane(sound, output)
    lane.feed(sound.units)
    assert not lane.problems
    assert steps(lane.made) == {TARGETS[output].frame_ticks}
    before = heard_in(sound)
    assert len(before) >= 29
    assert apart_ms(before[: len(lane.onsets())], lane.onsets()) < 5
    assert len(lane.onsets()) >= 29


def check_drift(sound: Sound, output: str, seconds: int, ppm: float) -> None:
    units, due = drifted(sound, seconds, ppm)
    lane = Lane(sound, output)
    lane.feed(units)
    heard = lane.onsets()
    assert not lane.problems
    assert steps(lane.made) == {TARGETS[output].frame_ticks}, "slewing leaves no hole"
    assert abs(len(heard) - len(due)) <= 1
    assert apart_ms(due[: len(heard)], heard) < 40


@pytest.mark.parametrize("ppm", [-5000, 5000])
@pytest.mark.parametrize(("codec", "output"), [("aac", "opus"), ("opus", "aac")])
def test_a_clock_that_drifts_is_followed_within_40_ms(codec: str, output: str, ppm: float) -> None:
    check_drift(beep_sound(codec, 48_000, 1, 30), output, 60, ppm)


@pytest.mark.long
@pytest.mark.parametrize("ppm", [-500, 500])
@pytest.mark.parametrize(("codec", "output"), [("aac", "opus"), ("opus", "aac")])
def test_a_clock_that_drifts_is_followed_for_an_hour(codec: str, output: str, ppm: float) -> None:
    check_drift(beep_sound(codec, 48_000, 1, 30), output, 3600, ppm)


def moved(sound: Sound, at: int, by: int) -> list[tuple[int, bytes]]:
    """The sound with a step in its times after `at` units."""
    return [(t + (by if index >= at else 0), data) for index, (t, data) in enumerate(sound.units)]


@pytest.mark.parametrize("output", ["opus", "aac"])
def test_a_short_hole_is_filled_with_silence(output: str) -> None:
    sound = beep_sound("mp3", 48_000, 1, 10)
    lane = Lane(sound, output)
    lost = [*sound.units[:150], *sound.units[165:]]  # 0.36 s
    lane.feed(lost)
    assert steps(lane.made) == {TARGETS[output].frame_ticks}
    heard = lane.onsets(after=sound.units[170][0])
    due = [at for at in heard_in(sound) if at >= sound.units[170][0]]
    assert apart_ms(due[: len(heard)], heard) < 5


def test_two_lost_frames_are_led_back_without_a_hole() -> None:
    sound = beep_sound("opus", 48_000, 1, 10)
    lane = Lane(sound, "aac")
    lane.feed([*sound.units[:100], *sound.units[102:]])
    assert len(steps(lane.made)) == 1
    late = sound.units[400][0]
    heard, due = lane.onsets(after=late), [at for at in heard_in(sound) if at >= late]
    assert apart_ms(due[: len(heard)], heard) < 5


def test_a_long_hole_stays_one_and_sound_is_in_place_after_it() -> None:
    sound = beep_sound("aac", 48_000, 1, 10)
    lane = Lane(sound, "opus")
    units = moved(sound, 200, 5 * TICKS_PER_SECOND)
    lane.feed(units)
    frame = TARGETS["opus"].frame_ticks
    assert len([b for a, b in itertools.pairwise(t for t, _ in lane.made) if b - a != frame]) == 1
    seam = units[200][0]
    due = [at + 5 * TICKS_PER_SECOND for at in heard_in(sound) if at >= sound.units[200][0]]
    heard = lane.onsets(after=seam)
    assert apart_ms(due[: len(heard)], heard) < 5


def test_sound_that_overlaps_is_left_out() -> None:
    sound = beep_sound("aac", 48_000, 1, 10)
    lane = Lane(sound, "opus")
    lane.feed(moved(sound, 200, -TICKS_PER_SECOND // 2))
    assert steps(lane.made) == {TARGETS["opus"].frame_ticks}
    late = sound.units[250][0]
    due = [at - TICKS_PER_SECOND / 2 for at in heard_in(sound) if at - TICKS_PER_SECOND / 2 >= late]
    heard = lane.onsets(after=late)
    assert apart_ms(due[: len(heard)], heard) < 25


@pytest.mark.parametrize("jitter_ms", [1, 15])
def test_times_that_jitter_do_not_move_the_sound(jitter_ms: int) -> None:
    sound = beep_sound("aac", 44_100, 2, 10)
    lane = Lane(sound, "opus")
    lane.feed((t + jitter_ms * MS * (-1) ** index, data) for index, (t, data) in enumerate(sound.units))
    assert steps(lane.made) == {TARGETS["opus"].frame_ticks}
    heard = lane.onsets()
    assert apart_ms(heard_in(sound)[: len(heard)], heard) < 5 + jitter_ms


@pytest.mark.parametrize("output", ["opus", "aac"])
def test_a_second_worker_counts_in_step_with_the_first(output: str) -> None:
    sound = beep_sound("mp3", 44_100, 2, 10)
    first = Lane(sound, output)
    first.feed(sound.units[:150])
    due = first.made[-1][0] + TARGETS[output].frame_ticks
    second = Lane(sound, output, follows=due)
    second.feed(sound.units[142:])
    seam = [made for made in second.made if made[0] >= due]
    assert seam[0][0] == due
    joined = first.made + seam
    assert steps(joined) == {TARGETS[output].frame_ticks}
    heard = onsets(output, joined, config_record(track_of(TARGETS[output], 2)), 2)
    assert apart_ms(heard_in(sound)[: len(heard)], heard) < 5


def tone(form: str, layout: str, rate: int) -> av.AudioFrame:
    """20 ms of 480 Hz, which begins where the one before it ended."""
    wave = np.sin(np.arange(rate // 50) * 2 * np.pi * 480 / rate)
    channels = 1 if layout == "mono" else 2
    samples = np.tile(wave, (channels, 1)) if form.endswith("p") else np.repeat(wave, channels)[np.newaxis]
    typed = (samples * 8000).astype(np.int16) if form.startswith("s16") else (samples / 4).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(typed, form, layout)
    frame.sample_rate = rate
    return frame


@pytest.mark.parametrize("output", ["opus", "aac"])
def test_sound_of_any_form_may_follow_any_other(output: str) -> None:
    """A decoder comes out with another form, rate or number of channels: what is made of it has no hole."""
    forms = [("fltp", "stereo", 48_000), ("s16", "mono", 8_000), ("fltp", "stereo", 44_100), ("flt", "stereo", 48_000)]
    rung, target = AudioRung(TARGETS[output], 2, None), TARGETS[output]
    shapes = [form for form in (*forms, forms[0]) for _ in range(50)]
    made = [unit for number, form in enumerate(shapes) for unit in rung.feed(tone(*form), number * 20 * MS)]
    assert steps(made) == {target.frame_ticks}
    assert len(made) * target.frame_ticks > (len(shapes) * 20 - 100) * MS
    assert abs(rung.error) < 2 * MS


@pytest.mark.parametrize("codec", ["aac", "opus", "mp3"])
def test_garbage_is_reported_and_sound_goes_on(codec: str) -> None:
    sound = beep_sound(codec, 48_000, 2, 10)
    lane = Lane(sound, "aac" if codec == "opus" else "opus")
    junk = bytes(range(200, 256)) * 5
    lane.feed((t, junk[index % 40 :] if 100 <= index < 120 else data) for index, (t, data) in enumerate(sound.units))
    late = sound.units[len(sound.units) * 2 // 3][0]
    due = [at for at in heard_in(sound) if at >= late]
    heard = lane.onsets(after=late)
    assert apart_ms(due[: len(heard)], heard) < 5
    assert heard
    if codec == "aac":
        assert lane.problems


def test_a_unit_without_bytes_or_of_an_old_track_is_reported() -> None:
    sound = beep_sound("aac", 48_000, 2, 10)
    lane = Lane(sound, "opus")
    lane.feed([(0, b"")])
    lane.lane.handle(SourceUnit(7, 2, 0, 0, True, (b"x",)))
    assert lane.problems == ["undecodable: empty unit", "unit of track 2, which is not the last one"]


def test_the_encoders_have_the_delay_that_is_promised() -> None:
    sound = beep_sound("mp3", 48_000, 2, 10)
    for output, target in TARGETS.items():
        lane = Lane(sound, output)
        lane.feed(sound.units)
        assert lane.made[0][0] == sound.units[0][0] - target.delay_ticks

"""What is in the kept seconds: does the sound decode, is it loud, and is the beep with the flash?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import log10
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from bench.lip_sync import BeepFinder, FlashFinder, luma_of, nearest
from bench.media_sample import MediaSample
from bench.rtp_clock import ReportClock, TimelineClock

__all__ = ["FlashSeen", "Reading", "read_samples"]

VIDEO_RATE, AUDIO_RATE = 90_000, 48_000  # RFC 6184, 8.2.1; RFC 7587, 4.1
SILENCE_DB = -100.0  # what digital silence is called, whose level has no logarithm
MARGIN_MS = 500  # of sound that must be there around a flash, for a beep that is early or late to be in it


class Clock(Protocol):
    def ms(self, rtp_time: float) -> float: ...


@dataclass(frozen=True, slots=True)
class FlashSeen:
    """A flash of publisher `number`, `at` seconds of the window. How much later than it the beep was, milliseconds:
    by sender reports and by Streamer-Timeline, None where there were none, or no beep near.
    """

    number: int
    at: float
    by_reports_ms: float | None
    by_timeline_ms: float | None


@dataclass(slots=True)
class Reading:
    """`levels_db` has the loudness of each sample, RMS of full scale; `flashes` those with sound all around them."""

    sounds: int = 0
    undecodable_sounds: int = 0
    undecodable_pictures: int = 0
    levels_db: list[float] = field(default_factory=list)
    flashes: list[FlashSeen] = field(default_factory=list)


def read_samples(samples: Iterable[MediaSample]) -> Reading:
    """Decodes them, which takes about a tenth of the time that they last."""
    reading = Reading()
    for sample in samples:
        beeps = _listen(sample, reading)
        if sample.lips and sample.sounds:
            flashes = _look(sample, reading)
            reading.flashes += _match(sample, flashes, beeps)
    return reading


def _listen(sample: MediaSample, reading: Reading) -> list[float]:
    """RTP times of 48 kHz at which beeps begin: a decoder that cuts nothing plays a packet at its own time."""
    decoder = av.CodecContext.create("opus", "r")
    decoder.sample_rate, decoder.layout = AUDIO_RATE, "stereo"
    finder, power, count = BeepFinder(), 0.0, 0
    for time, data in sample.sounds:
        reading.sounds += 1
        try:
            frames = _decode(decoder, data, time)
        except av.FFmpegError:
            reading.undecodable_sounds += 1
            continue
        for frame in frames:
            channel: NDArray[np.float32] = frame.to_ndarray()[0]
            finder.listen(float(time), channel, 1.0)
            power, count = power + float(np.dot(channel, channel)), count + len(channel)
    if count:
        reading.levels_db.append(10 * log10(power / count) if power > count * 1e-10 else SILENCE_DB)
    return finder.starts


def _look(sample: MediaSample, reading: Reading) -> list[tuple[float, int]]:
    """(RTP time, publisher number) of the first picture of each flash."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_type = "NONE"
    finder = FlashFinder()
    pictures = [(time, sample.parameter_sets * (n == 0) + data) for n, (time, data) in enumerate(sample.pictures)]
    for time, data in (*pictures, (0, b"")):  # what is empty makes the decoder give back what it holds
        try:
            frames = _decode(decoder, data, time)
        except av.FFmpegError:
            reading.undecodable_pictures += 1
            continue
        for frame in frames:
            if frame.pts is not None:
                finder.look(float(frame.pts), luma_of(frame))
    return [(at, number) for at, number in finder.starts if number >= 0]


def _decode(decoder: Any, data: bytes, time: int) -> list[Any]:
    if not data:
        return list(decoder.decode(None))
    packet = av.Packet(data)
    packet.pts = packet.dts = time
    return list(decoder.decode(packet))


def _match(sample: MediaSample, flashes: list[tuple[float, int]], beeps: list[float]) -> Iterator[FlashSeen]:
    """Nothing where sound and picture have no clock in common."""
    by_reports, by_timeline = _report_clocks(sample), _timeline_clocks(sample)
    clocks = by_reports or by_timeline
    if clocks is None:
        return
    for at, number in flashes:
        if clocks.has_sound_around(at, sample):
            seconds = sample.begun + (at - sample.pictures[0][0]) / VIDEO_RATE
            apart = [None if pair is None else pair.apart(at, beeps) for pair in (by_reports, by_timeline)]
            yield FlashSeen(number, seconds, *apart)


@dataclass(frozen=True, slots=True)
class _Clocks:
    """Of pictures and of sound, to the same milliseconds."""

    video: Clock
    audio: Clock

    def apart(self, flash: float, beeps: Iterable[float]) -> float | None:
        return nearest(self.video.ms(flash), [self.audio.ms(beep) for beep in beeps])

    def has_sound_around(self, flash: float, sample: MediaSample) -> bool:
        first, last = (self.audio.ms(sample.sounds[k][0]) for k in (0, -1))
        return first + MARGIN_MS <= self.video.ms(flash) <= last - MARGIN_MS


def _report_clocks(sample: MediaSample) -> _Clocks | None:
    if not sample.video_reports or not sample.audio_reports:
        return None
    return _Clocks(ReportClock(sample.video_reports, VIDEO_RATE), ReportClock(sample.audio_reports, AUDIO_RATE))


def _timeline_clocks(sample: MediaSample) -> _Clocks | None:
    if sample.timeline is None:
        return None
    return _Clocks(TimelineClock(sample.timeline, VIDEO_RATE), TimelineClock(sample.timeline, AUDIO_RATE))

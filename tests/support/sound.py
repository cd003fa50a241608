"""Beeps through real encoders and decoders: what goes into a transcoder and what comes out of it, in ticks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np

from bench.demo_sound import beeps
from media.ticks import TICKS_PER_SECOND, Ticks
from media.track import AudioConfig, Codec, Track
from media.unit import AccessUnit
from wire.codecs.aac import AacConfig
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig

LOUD = 0.05
BEEP_MS = 100
QUIET_S = 0.2
ENCODERS = {"aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "pcma": "pcm_alaw", "pcmu": "pcm_mulaw"}
DECODERS = {"aac": "aac", "opus": "opus", "mp3": "mp3float", "pcma": "pcm_alaw", "pcmu": "pcm_mulaw"}


@dataclass(frozen=True)
class Sound:
    """Encoded units of one codec, each with the ticks at which a plain decoder's output of it begins."""

    codec: str
    rate: int
    channels: int
    record: bytes
    units: tuple[tuple[int, bytes], ...]

    @property
    def track(self) -> Track:
        config: AudioConfig = OpaqueConfig(b"", self.rate, self.channels)
        if self.codec == "aac":
            config = AacConfig(self.record)
        if self.codec == "opus":
            config = OpusConfig(self.channels)
        return Track(Codec(self.codec), config)


def _at(second: int) -> int:
    """A beep each second, never at the same place in a frame."""
    return second * 1000 + 300 + second * 7 % 50


@cache
def beep_sound(codec: str, rate: int, channels: int, seconds: int) -> Sound:
    """A beep every second from 0.3 s on, encoded. Ticks count from 1 s: what precedes the sound has room there."""
    encoder: Any = av.CodecContext.create(ENCODERS[codec], "w")
    encoder.sample_rate, encoder.layout = rate, "mono" if channels == 1 else "stereo"
    encoder.format = encoder.codec.audio_formats[0].name if codec != "opus" else "flt"
    encoder.time_base, encoder.bit_rate = Fraction(1, rate), 128_000
    encoder.open()
    fifo = av.AudioFifo()
    resampler = av.AudioResampler(encoder.format.name, encoder.layout.name, rate)
    for start in range(0, seconds * 48_000, 48_000):
        frame = av.AudioFrame.from_ndarray(beeps(start, 48_000, _at, BEEP_MS)[np.newaxis], "fltp", "mono")
        frame.sample_rate = 48_000
        for out in resampler.resample(frame):
            out.pts, out.time_base = None, Fraction(1, rate)
            fifo.write(out)
    units, count = [], 0
    for frame in fifo.read_many(encoder.frame_size or rate // 50):
        frame.pts, frame.time_base = count, Fraction(1, rate)
        count += frame.samples
        units += [(packet.pts, bytes(packet)) for packet in encoder.encode(frame)]
    placed = tuple((TICKS_PER_SECOND + round(pts * TICKS_PER_SECOND / rate), data) for pts, data in units)
    return Sound(codec, rate, channels, bytes(encoder.extradata or b""), placed)


def access_units(sound: Sound, track: Track | None = None, *, shift: int = 0) -> list[AccessUnit]:
    used = track or sound.track
    return [AccessUnit(used, Ticks(t + shift), Ticks(t + shift), True, (data,)) for t, data in sound.units]


def _decoder(codec: str, record: bytes, rate: int, channels: int) -> Any:
    decoder: Any = av.CodecContext.create(DECODERS[codec], "r")
    if record:
        # pre-skip 0: a plain decoder cuts nothing
        decoder.extradata = record[:10] + b"\0\0" + record[12:] if codec == "opus" else record
    decoder.sample_rate, decoder.layout = rate, "mono" if channels == 1 else "stereo"
    return decoder


def onsets(
    codec: str, units: Iterable[tuple[int, bytes]], record: bytes, channels: int, rate: int = 48_000
) -> list[float]:
    """The ticks at which beeps begin, as a player hears them that plays each unit at its own time."""
    decoder = _decoder(codec, record, rate, channels)
    found: list[float] = []
    last_loud = float("-inf")
    for t, data in units:
        for frame in decoder.decode(av.Packet(data)):
            samples = np.abs(frame.to_ndarray().astype(np.float64)).max(axis=0)
            if frame.format.name.startswith("s16"):
                samples = samples.reshape(-1) / 32768
            loud = np.flatnonzero(samples > LOUD)
            if len(loud):
                first = t + loud[0] * TICKS_PER_SECOND / frame.sample_rate
                if first - last_loud > QUIET_S * TICKS_PER_SECOND:
                    found.append(first)
                last_loud = t + loud[-1] * TICKS_PER_SECOND / frame.sample_rate
    return found


def heard_in(sound: Sound) -> list[float]:
    """The ticks at which its beeps begin."""
    return onsets(sound.codec, sound.units, sound.record, sound.channels, sound.rate)


def drifted(sound: Sound, seconds: int, ppm: float) -> tuple[list[tuple[int, bytes]], list[float]]:
    """The sound again and again for so long, on a clock that is `ppm` off; and when its beeps are to be heard."""
    start, step = sound.units[0][0], sound.units[1][0] - sound.units[0][0]
    length = step * len(sound.units)
    beeps = heard_in(sound)

    def warp(t: float) -> float:
        return start + (t - start) * (1 + ppm / 1e6)

    rounds = range(seconds * TICKS_PER_SECOND // length)
    units = [(round(warp(t + length * turn)), data) for turn in rounds for t, data in sound.units]
    return units, [warp(at + length * turn) for turn in rounds for at in beeps]


def config_record(track: Track) -> bytes:
    config = track.config
    if isinstance(config, AacConfig):
        return config.asc
    return config.to_head() if isinstance(config, OpusConfig) else b""

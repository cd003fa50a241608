"""Sound decoded once, and encoded again per output: the codecs of the worker, without its process."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import av
from av.audio.codeccontext import AudioCodecContext

from ingest.audio_target import SAMPLE_RATE, TICKS_PER_SAMPLE, AudioTarget
from ingest.sample_clock import SLEW, Remedy, SampleClock
from ingest.transcode_messages import SourceTrack, SourceUnit
from media.ticks import TICKS_PER_SECOND
from media.track import Codec

__all__ = ["AudioDecoder", "AudioRung", "Undecodable"]

_DECODERS = {
    Codec.AAC: "aac",
    Codec.OPUS: "opus",
    Codec.MP3: "mp3float",
    Codec.SPEEX: "speex",
    Codec.PCMA: "pcm_alaw",
    Codec.PCMU: "pcm_mulaw",
}
MIN_RATE, MAX_RATE = 4_000, 192_000
"""Sample rates in Hz that a decoder may come out with: damaged units have claimed others."""
_SAMPLE_TIME = Fraction(1, SAMPLE_RATE)
_PLAIN = "fltp"
"""The form in memory that decoders give and encoders are given."""


class Undecodable(Exception):
    """Nothing came of a source unit; the sentence says why."""


class AudioDecoder:
    """One source track. `decode` gives raw frames with the `t` of their first samples. Undecodable.

    Nothing is cut from the start: a unit's sound begins at the unit's time, as players of FLV and RTP have it.
    """

    def __init__(self, track: SourceTrack) -> None:
        self._context = context = _create(_DECODERS[Codec(track.codec)], "r")
        if track.record:
            context.extradata = track.record
        elif MIN_RATE <= track.sample_rate <= MAX_RATE:
            context.sample_rate = track.sample_rate
            context.layout = "mono" if track.channels == 1 else "stereo"

    def decode(self, unit: SourceUnit) -> list[tuple[av.AudioFrame, int]]:
        packet = av.Packet(unit.parts[0] if unit.parts else b"")
        if not packet.size:
            # to the decoder an empty packet means the end
            raise Undecodable("empty unit")
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError as exc:
            raise Undecodable(str(exc)) from exc
        placed: list[tuple[av.AudioFrame, int]] = []
        t = unit.pts
        for frame in frames:
            if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
                raise Undecodable(f"decoded to {frame.sample_rate} Hz")
            placed.append((frame, t))
            t += frame.samples * TICKS_PER_SECOND // frame.sample_rate
        return placed


class AudioRung:
    """One encoder with its own count of samples. `follows` is the dts its units must be in step with, if any."""

    def __init__(self, target: AudioTarget, channels: int, follows: int | None) -> None:
        self._target = target
        self._layout = "mono" if channels == 1 else "stereo"
        self._bit_rate = target.bit_rates[channels]
        self._follows = follows
        self._clock: SampleClock | None = None
        self._made: list[tuple[int, bytes]] = []

    @property
    def error(self) -> float:
        """How many ticks later the source's times are than the count of samples."""
        return self._clock.error if self._clock is not None else 0.0

    def feed(self, frame: av.AudioFrame, t: int) -> list[tuple[int, bytes]]:
        """Raw sound whose first sample is at `t`; encoded units with their dts. av.FFmpegError if a codec fails."""
        if self._clock is None:
            self._clock = self._begin(t)
        remedy = self._clock.judge(t)
        if remedy is Remedy.RESTART:
            self._flush()
            self._encode(None)
            self._clock = self._begin(t)
        elif remedy is Remedy.FILL:
            samples = round(self._clock.error * frame.sample_rate / TICKS_PER_SECOND)
            self._take(self._clock, _silence(frame.format.name, frame.layout.name, samples), frame.sample_rate)
            self._clock.filled()
        if remedy is not Remedy.SKIP:
            self._take(self._clock, frame, _rate(frame.sample_rate, remedy))
        made, self._made = self._made, []
        return made

    def _begin(self, t: int) -> SampleClock:
        """From `t` on, after up to a frame of silence, so that the units come in step with those before them."""
        target = self._target
        silent = 0 if self._follows is None else (t - target.delay_ticks - self._follows) % target.frame_ticks
        self._first = t - silent
        self._encoder = _open(target, self._layout, self._bit_rate)
        self._taken = 0
        self._shape = _PLAIN, self._layout, SAMPLE_RATE
        self._resampler: av.AudioResampler | None = None
        clock = SampleClock(self._first, SAMPLE_RATE)
        samples = round(silent / TICKS_PER_SAMPLE)
        if samples:
            self._take(clock, _silence(_PLAIN, self._layout, samples), SAMPLE_RATE)
        return clock

    def _take(self, clock: SampleClock, frame: av.AudioFrame, rate: int) -> None:
        """Resample as if it had been recorded at `rate`: that is how it is stretched and squeezed.

        Sound of the right rate goes straight to the encoder, which makes frames of its own length and form of it.
        """
        shape = frame.format.name, frame.layout.name, rate
        if shape != self._shape:
            self._flush()
            clock.settle(self._taken)
            self._shape = shape
            if shape != (_PLAIN, self._layout, SAMPLE_RATE):
                self._resampler = av.AudioResampler(_PLAIN, self._layout, SAMPLE_RATE)
        clock.advance(frame.samples, rate)
        frame.sample_rate, frame.pts = rate, None
        if self._resampler is None:
            self._encode(frame)
            return
        for resampled in self._resampler.resample(frame):
            self._encode(resampled)

    def _flush(self) -> None:
        """What is still inside of the resampler."""
        resampler, self._resampler = self._resampler, None
        if resampler is not None:
            for frame in resampler.resample(None):
                self._encode(frame)

    def _encode(self, frame: av.AudioFrame | None) -> None:
        if frame is not None:
            frame.pts = self._taken
            self._taken += frame.samples
        for packet in self._encoder.encode(frame):
            # The encoder says its delay in the pts of what it makes: the first one is negative.
            self._made.append((self._first + round((packet.pts or 0) * TICKS_PER_SAMPLE), bytes(packet)))


def _create(name: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    return context


def _open(target: AudioTarget, layout: str, bit_rate: int) -> AudioCodecContext:
    encoder = _create(target.encoder, "w")
    encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE, layout, target.sample_format
    encoder.time_base, encoder.bit_rate, encoder.options = _SAMPLE_TIME, bit_rate, dict(target.options)
    encoder.open()
    return encoder


def _rate(rate: int, remedy: Remedy) -> int:
    if remedy is Remedy.STRETCH:
        return round(rate * (1 - SLEW))
    return round(rate * (1 + SLEW)) if remedy is Remedy.SQUEEZE else rate


def _silence(form: str, layout: str, samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(form, layout, samples)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame

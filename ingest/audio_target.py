"""The sound that a worker can make: what the encoder is told, and what its units look like to viewers.

Both sides read this: the node promises a track before the worker runs, and the worker keeps the promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from media.ticks import TICKS_PER_SECOND, Ticks
from media.track import AudioConfig, Codec, Track
from wire.codecs.aac import LC, AacConfig
from wire.codecs.opus import OpusConfig

__all__ = ["SAMPLE_RATE", "TARGETS", "TICKS_PER_SAMPLE", "AudioTarget", "channels_of", "track_of"]

SAMPLE_RATE = 48_000
"""Of everything that is made: Opus has no other, and what an AAC viewer resamples from hardly matters."""
TICKS_PER_SAMPLE = TICKS_PER_SECOND / SAMPLE_RATE
"""15/8, so that frames of 960 and of 1024 samples, and both encoders' delays, are whole ticks."""


@dataclass(frozen=True, slots=True)
class AudioTarget:
    """One encoder. `delay` is how many samples of the past its first unit holds: that unit lies so much earlier."""

    codec: Codec
    encoder: str
    sample_format: str
    frame_samples: int
    delay: int
    options: Mapping[str, str]
    bit_rates: Mapping[int, int]

    @property
    def frame_ticks(self) -> Ticks:
        """How long one unit lasts."""
        return Ticks(self.frame_samples * TICKS_PER_SECOND // SAMPLE_RATE)

    @property
    def delay_ticks(self) -> Ticks:
        return Ticks(self.delay * TICKS_PER_SECOND // SAMPLE_RATE)


BIT_RATES = {1: 96_000, 2: 128_000}
"""By channels: transparent for speech with music, and small beside any picture."""

TARGETS: Mapping[str, AudioTarget] = {
    Codec.OPUS: AudioTarget(
        Codec.OPUS,
        "libopus",
        "flt",
        frame_samples=960,
        delay=120,
        # "lowdelay" is Opus without its speech layer, which these bit rates never use: the same sound as "audio" makes,
        # 4 ms sooner. Its 2.5 ms of look-ahead are taken back, so they cost no lip sync. No in-band FEC: only the
        # speech layer has it (RFC 6716, 2.1.7), and WebRTC viewers ask for lost packets again. A constant rate, so that
        # packets are of one size and several leave with one segmented send. No DTX: silence too is sent every 20 ms, or
        # a viewer's jitter buffer cannot tell it from loss. Half the effort: 4 would be 1 dB worse.
        options={"application": "lowdelay", "vbr": "off", "frame_duration": "20", "compression_level": "5"},
        bit_rates=BIT_RATES,
    ),
    Codec.AAC: AudioTarget(
        Codec.AAC,
        "aac",
        "fltp",
        frame_samples=1024,
        delay=1024,
        # half the CPU of the default search, and at these bit rates nobody hears the difference
        options={"aac_coder": "fast"},
        bit_rates=BIT_RATES,
    ),
}


def channels_of(source: Track) -> int:
    """Mono stays mono, everything else becomes stereo. Said by the configuration, so that damaged units cannot."""
    return 1 if getattr(source.config, "channels", None) == 1 else 2


def track_of(target: AudioTarget, channels: int) -> Track:
    """The track of the target's units. Its rendition is the codec's name: SOURCE is the publisher's alone."""
    config: AudioConfig
    if target.codec is Codec.OPUS:
        config = OpusConfig(channels, pre_skip=target.delay)
    else:
        config = AacConfig.build(LC, SAMPLE_RATE, channels)
    return Track(target.codec, config, rendition=target.codec)

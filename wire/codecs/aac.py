"""AAC: the AudioSpecificConfig (ISO 14496-3, 1.6.2.1) and ADTS headers (1.A.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from wire.bits import BitReader, BitWriter
from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported

__all__ = ["AacConfig", "AdtsHeader", "build_adts", "parse_adts", "split_adts"]

LC, SBR, PS = 2, 5, 29

# ISO 14496-3, table 1.18
SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# Table 1.19: channels by channelConfiguration; 0 means a program config element says it
CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}
# Main, LC, SSR, LTP, scalable is left out, ER LC, ER LTP, ER BSAC and TwinVQ are left out, ER LD: those with a
# GASpecificConfig (4.4.1) that somebody encodes
_GENERAL_AUDIO = frozenset({1, 2, 3, 4, 17, 19, 23})
_LOW_DELAY = 23

MAX_ASC_SIZE = 1024
"""An AudioSpecificConfig has 2 to 7 bytes, a few dozen with a program config element and its comment (257 at most)."""
MAX_SAMPLE_RATE = 192_000
"""The escape value can code any 24-bit rate; nothing records faster than this."""
MAX_ADTS_FRAMES = 1024
"""Frames in one buffer to split: 21 seconds of sound."""


@dataclass(frozen=True, slots=True)
class AacConfig:
    """An AudioSpecificConfig, parsed when it is made: Truncated, Malformed, Unsupported, LimitExceeded.

    `object_type` is the core's (2 for LC, with or without SBR); `frame_samples` (1024 or 960; 512 or 480 for LD)
    counts at `core_sample_rate`, and `sample_rate` and `channels` are what comes out when SBR and PS are decoded.
    """

    asc: bytes
    object_type: int = field(init=False, compare=False)
    core_sample_rate: int = field(init=False, compare=False)
    sample_rate: int = field(init=False, compare=False)
    channels: int = field(init=False, compare=False)
    frame_samples: int = field(init=False, compare=False)
    signalled_type: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.asc) > MAX_ASC_SIZE:
            raise LimitExceeded(f"AudioSpecificConfig of {len(self.asc)} bytes exceeds {MAX_ASC_SIZE}")
        for name, value in zip(_DERIVED, _parse_asc(BitReader(self.asc)), strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def build(cls, object_type: int, sample_rate: int, channels: int) -> AacConfig:
        """The configuration of plain sound, frames of 1024. Unsupported for channel counts that have no number."""
        numbers = [number for number, count in CHANNELS.items() if count == channels]
        if not numbers or not 1 <= object_type <= 30:
            raise Unsupported(f"AAC object type {object_type} with {channels} channels")
        bits = BitWriter().write(object_type, 5)
        if sample_rate in SAMPLE_RATES:
            bits.write(SAMPLE_RATES.index(sample_rate), 4)
        else:
            bits.write(15, 4).write(sample_rate, 24)
        return cls(bits.write(numbers[0], 4).write(0, 3).getvalue())

    @property
    def codec_string(self) -> str:
        """RFC 6381, 3.3: the object type that the record names first, mp4a.40.2 or, with explicit SBR, mp4a.40.5."""
        return f"mp4a.40.{self.signalled_type}"


_DERIVED = ("object_type", "core_sample_rate", "sample_rate", "channels", "frame_samples", "signalled_type")


@dataclass(frozen=True, slots=True)
class AdtsHeader:
    """One ADTS header. `frame_size` counts its `header_size` (7, or 9 with a CRC) too."""

    object_type: int
    sample_rate: int
    channels: int
    header_size: int
    frame_size: int
    blocks: int

    @property
    def config(self) -> AacConfig:
        return AacConfig.build(self.object_type, self.sample_rate, self.channels)


def parse_adts(data: bytes) -> AdtsHeader:
    """The header at the start of `data`. Truncated, Malformed; Unsupported without a channel configuration."""
    if len(data) < 7:
        raise Truncated(f"ADTS header of {len(data)} bytes")
    bits = BitReader(data[:7])
    if bits.read(12) != 0xFFF:
        raise Malformed(f"no ADTS sync word: {data[:2].hex()}")
    bits.skip(1)
    if bits.read(2):
        raise Malformed("ADTS layer is not 0")
    header_size = 7 if bits.flag() else 9
    object_type = bits.read(2) + 1
    rate = _rate_of(bits.read(4))
    bits.skip(1)
    channels = _channels_of(bits.read(3))
    bits.skip(4)
    frame_size = bits.read(13)
    bits.skip(11)
    if frame_size < header_size:
        raise Malformed(f"ADTS frame of {frame_size} bytes with a header of {header_size}")
    return AdtsHeader(object_type, rate, channels, header_size, frame_size, bits.read(2) + 1)


def split_adts(data: bytes) -> list[bytes]:
    """The raw frames of whole ADTS frames, one after the other. Truncated when the last one is not whole."""
    frames: list[bytes] = []
    position = 0
    while position < len(data):
        header = parse_adts(data[position : position + 7])
        if header.blocks > 1:
            raise Unsupported(f"ADTS frame of {header.blocks} raw data blocks")
        end = position + header.frame_size
        if end > len(data):
            raise Truncated(f"ADTS frame of {header.frame_size} bytes with {len(data) - position} left")
        if len(frames) == MAX_ADTS_FRAMES:
            raise LimitExceeded(f"more than {MAX_ADTS_FRAMES} ADTS frames")
        frames.append(data[position + header.header_size : end])
        position = end
    return frames


def build_adts(config: AacConfig, size: int) -> bytes:
    """The 7-byte header for a raw frame of `size` bytes. Unsupported where ADTS has no field for the configuration."""
    numbers = [number for number, count in CHANNELS.items() if count == config.channels and number < 8]
    if config.object_type > 4 or config.core_sample_rate not in SAMPLE_RATES or not numbers:
        raise Unsupported(f"{config} has no ADTS header")
    if size + 7 > 0x1FFF:
        raise LimitExceeded(f"AAC frame of {size} bytes exceeds ADTS' {0x1FFF - 7}")
    bits = BitWriter().write(0xFFF1, 16).write(config.object_type - 1, 2)
    bits.write(SAMPLE_RATES.index(config.core_sample_rate), 4).write(0, 1).write(numbers[0], 3).write(0, 4)
    return bits.write(size + 7, 13).write(0x7FF, 11).write(0, 2).getvalue()


def _parse_asc(bits: BitReader) -> tuple[int, int, int, int, int, int]:
    signalled = object_type = _object_type(bits)
    core_rate = rate = _sample_rate(bits)
    channel_configuration = bits.read(4)
    if object_type in (SBR, PS):
        # explicit hierarchical signalling (1.6.5.2): the output rate, then the core's object type
        rate = _sample_rate(bits)
        object_type = _object_type(bits)
    if object_type not in _GENERAL_AUDIO:
        raise Unsupported(f"AAC object type {object_type}")
    frame_samples, channels = _general_audio(bits, object_type, channel_configuration)
    stereo_from_mono = signalled == PS
    if signalled not in (SBR, PS):
        extended_rate, stereo_from_mono = _sync_extension(bits)
        rate = extended_rate or rate
    return object_type, core_rate, rate, 2 if stereo_from_mono and channels == 1 else channels, frame_samples, signalled


def _object_type(bits: BitReader) -> int:
    kind = bits.read(5)
    return 32 + bits.read(6) if kind == 31 else kind


def _rate_of(index: int) -> int:
    if index >= len(SAMPLE_RATES):
        raise Malformed(f"AAC sampling frequency index {index} is reserved")
    return SAMPLE_RATES[index]


def _sample_rate(bits: BitReader) -> int:
    index = bits.read(4)
    if index != 15:
        return _rate_of(index)
    rate = bits.read(24)
    if not 0 < rate <= MAX_SAMPLE_RATE:
        raise Malformed(f"AAC sample rate {rate} Hz is not 1 to {MAX_SAMPLE_RATE}")
    return rate


def _channels_of(configuration: int) -> int:
    if configuration not in CHANNELS:
        raise Unsupported(f"AAC channel configuration {configuration}")
    return CHANNELS[configuration]


def _general_audio(bits: BitReader, object_type: int, channel_configuration: int) -> tuple[int, int]:
    # GASpecificConfig, 4.4.1
    short = bits.flag()
    samples = (480 if short else 512) if object_type == _LOW_DELAY else (960 if short else 1024)
    if bits.flag():  # dependsOnCoreCoder
        bits.skip(14)
    extended = bits.flag()
    channels = _program_channels(bits) if channel_configuration == 0 else _channels_of(channel_configuration)
    if extended and object_type in (17, 19, 23):
        bits.skip(3)
    if extended:
        bits.skip(1)
    if object_type >= 17:
        bits.skip(2)  # epConfig, 1.6.2.1
    return samples, channels


def _program_channels(bits: BitReader) -> int:
    # program_config_element, 4.4.1.1
    bits.skip(10)
    front, side, back = bits.read(4), bits.read(4), bits.read(4)
    low, associated, coupling = bits.read(2), bits.read(3), bits.read(4)
    for size in (4, 4, 3):  # mono, stereo and matrix mixdown
        if bits.flag():
            bits.skip(size)
    channels = low
    for _ in range(front + side + back):
        channels += 2 if bits.flag() else 1
        bits.skip(4)
    bits.skip(4 * (low + associated) + 5 * coupling)
    bits.skip(-bits.position % 8)
    bits.skip(8 * bits.read(8))  # comment
    if not channels:
        raise Malformed("AAC program config element without channels")
    return channels


def _sync_extension(bits: BitReader) -> tuple[int | None, bool]:
    # 1.6.5.3, backward compatible signalling behind the core's configuration
    if bits.remaining < 16 or bits.read(11) != 0x2B7 or _object_type(bits) != SBR or bits.remaining < 5:
        return None, False
    if not bits.flag():
        return None, False
    rate = _sample_rate(bits)
    return rate, bits.remaining >= 12 and bits.read(11) == 0x548 and bits.flag()

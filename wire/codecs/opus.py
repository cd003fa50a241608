"""Opus: the identification header (RFC 7845, 5.1) and the duration of a packet (RFC 6716, 3.1 and 3.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wire.errors import Malformed, Truncated, Unsupported

__all__ = ["SAMPLE_RATE", "OpusConfig", "packet_samples"]

SAMPLE_RATE = 48_000
"""Opus time is always counted at 48 kHz (RFC 7845, 4)."""

MAX_PACKET_SAMPLES = 5_760
"""A packet lasts at most 120 ms (RFC 6716, 3.4 [R5])."""

_MAGIC = b"OpusHead"
_HEAD = struct.Struct("<8sBBHIh")
# RFC 6716, table 2: samples of one frame at 48 kHz, by configuration number
_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)


@dataclass(frozen=True, slots=True)
class OpusConfig:
    """What OpusHead says. `pre_skip` counts 48 kHz samples, `gain` is in 1/256 dB (signed).

    `mapping` is the head from the channel mapping family on: one zero byte for mono and stereo, else family, stream
    count, coupled count and one byte per channel.
    """

    channels: int
    pre_skip: int = 312
    input_sample_rate: int = SAMPLE_RATE
    gain: int = 0
    mapping: bytes = b"\x00"

    def __post_init__(self) -> None:
        if not self.mapping:
            raise Truncated("OpusHead without a channel mapping family")
        if self.mapping[0] == 0:
            if self.channels not in (1, 2):
                raise Malformed(f"{self.channels} channels in Opus mapping family 0, which has 1 or 2")
        elif not self.channels:
            raise Malformed("OpusHead with 0 channels")
        elif len(self.mapping) < 3 + self.channels:
            raise Truncated(f"Opus channel mapping of {len(self.mapping)} bytes for {self.channels} channels")

    @classmethod
    def from_head(cls, head: bytes) -> OpusConfig:
        """An OpusHead packet. Truncated, Malformed, Unsupported (a new major version)."""
        if len(head) < _HEAD.size + 1:
            raise Truncated(f"OpusHead of {len(head)} bytes")
        magic, version, channels, pre_skip, rate, gain = _HEAD.unpack_from(head)
        if magic != _MAGIC:
            raise Malformed(f"not an OpusHead: {magic.hex()}")
        if version >> 4:
            raise Unsupported(f"OpusHead version {version}")
        mapping = head[_HEAD.size :]
        size = 1 if mapping[0] == 0 else 3 + channels
        return cls(channels, pre_skip, rate, gain, mapping[:size])

    def to_head(self) -> bytes:
        """The OpusHead packet, version 1."""
        fixed = _HEAD.pack(_MAGIC, 1, self.channels, self.pre_skip, self.input_sample_rate, self.gain)
        return fixed + self.mapping

    @property
    def codec_string(self) -> str:
        return "opus"

    @property
    def sample_rate(self) -> int:
        """Always 48,000: the rate at which time is counted and sound comes out."""
        return SAMPLE_RATE


def packet_samples(packet: bytes) -> int:
    """How long a packet lasts, in samples at 48 kHz, read from its first bytes. Truncated, Malformed."""
    if not packet:
        raise Truncated("empty Opus packet")
    samples = _frame_samples(packet[0] >> 3) * _frame_count(packet)
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise Malformed(f"Opus packet of {samples} samples, at most {MAX_PACKET_SAMPLES}")
    return samples


def _frame_samples(config: int) -> int:
    if config < 12:
        return _SILK[config & 3]
    return _HYBRID[config & 1] if config < 16 else _CELT[config & 3]


def _frame_count(packet: bytes) -> int:
    # RFC 6716, 3.1: the two low bits of the TOC; code 3 has a count byte
    code = packet[0] & 3
    if code < 3:
        return 2 if code else 1
    if len(packet) < 2:
        raise Truncated("Opus packet of code 3 without its frame count")
    return packet[1] & 0x3F

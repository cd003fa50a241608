"""RTCP feedback: NACK, PLI, FIR and REMB (RFC 4585, RFC 5104, draft-alvestrand-rmcat-remb)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct, pack, unpack_from

from wire.errors import LimitExceeded, Malformed, Truncated
from wire.rtp.rtcp_block import build, read_u32

__all__ = [
    "PAYLOAD_FEEDBACK",
    "TRANSPORT_FEEDBACK",
    "Fir",
    "Nack",
    "Pli",
    "Remb",
    "_nack_pairs",
    "parse_payload_feedback",
]

TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
NACK = 1
_PLI = 1
_FIR = 4
_APPLICATION = 15

MAX_LOST = 2048
"""Sequence numbers in one NACK: half of a 4,096 packet history."""
_NACK_ENTRY = Struct("!HH")
_SSRCS = Struct("!II")
_FIR_ENTRY = Struct("!IB3x")
_REMB_MARK = b"REMB"
_MANTISSA_BITS = 18


@dataclass(frozen=True, slots=True)
class Nack:
    """RFC 4585, 6.2.1: sequence numbers that are missing."""

    sender_ssrc: int
    media_ssrc: int
    lost: tuple[int, ...]

    def to_bytes(self) -> bytes:
        entries = b"".join(_NACK_ENTRY.pack(first, mask) for first, mask in _nack_pairs(self.lost))
        return build(TRANSPORT_FEEDBACK, NACK, _SSRCS.pack(self.sender_ssrc, self.media_ssrc) + entries)


@dataclass(frozen=True, slots=True)
class Pli:
    """RFC 4585, 6.3.1: the picture is broken, a keyframe is wanted."""

    sender_ssrc: int
    media_ssrc: int

    def to_bytes(self) -> bytes:
        return build(PAYLOAD_FEEDBACK, _PLI, _SSRCS.pack(self.sender_ssrc, self.media_ssrc))


@dataclass(frozen=True, slots=True)
class Fir:
    """RFC 5104, 4.3.1: keyframes wanted, as pairs of (SSRC, command number); a repeated number is the same command."""

    sender_ssrc: int
    commands: tuple[tuple[int, int], ...]

    def to_bytes(self) -> bytes:
        entries = b"".join(_FIR_ENTRY.pack(ssrc, number) for ssrc, number in self.commands)
        return build(PAYLOAD_FEEDBACK, _FIR, _SSRCS.pack(self.sender_ssrc, 0) + entries)


@dataclass(frozen=True, slots=True)
class Remb:
    """draft-alvestrand-rmcat-remb-03, 2.2: what the receiver thinks the path carries, in bits per second."""

    sender_ssrc: int
    bitrate: int
    ssrcs: tuple[int, ...]

    def to_bytes(self) -> bytes:
        exponent = max(0, self.bitrate.bit_length() - _MANTISSA_BITS)
        word = len(self.ssrcs) << 24 | exponent << _MANTISSA_BITS | self.bitrate >> exponent
        ssrcs = b"".join(ssrc.to_bytes(4, "big") for ssrc in self.ssrcs)
        return build(
            PAYLOAD_FEEDBACK, _APPLICATION, _SSRCS.pack(self.sender_ssrc, 0) + _REMB_MARK + pack("!I", word) + ssrcs
        )


def parse_nack(body: bytes) -> Nack:
    sender, media = _ssrcs(body)
    if len(body) % 4:
        raise Malformed(f"NACK of {len(body)} bytes")
    lost = tuple(sequence for at in range(8, len(body), 4) for sequence in _lost(*_NACK_ENTRY.unpack_from(body, at)))
    if len(lost) > MAX_LOST:
        raise LimitExceeded(f"NACK of {len(lost)} packets exceeds {MAX_LOST}")
    return Nack(sender, media, lost)


def parse_payload_feedback(kind: int, body: bytes) -> Pli | Fir | Remb | None:
    """None for a kind that is not one of these. Raises `WireError`."""
    if kind == _PLI:
        return Pli(*_ssrcs(body))
    if kind == _FIR:
        if len(body) % 8:
            raise Malformed(f"FIR of {len(body)} bytes")
        return Fir(_ssrcs(body)[0], tuple(_FIR_ENTRY.unpack_from(body, at) for at in range(8, len(body), 8)))
    if kind == _APPLICATION and body[8:12] == _REMB_MARK:
        return _parse_remb(body)
    return None


def _nack_pairs(lost: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Sequence numbers, in order and across the wrap, as (first, bit mask of the 16 after it)."""
    first: int | None = None
    mask = 0
    for sequence in lost:
        offset = 0 if first is None else (sequence - first) & 0xFFFF
        if first is not None and 0 < offset <= 16:
            mask |= 1 << (offset - 1)
            continue
        if first is not None:
            yield first, mask
        first, mask = sequence, 0
    if first is not None:
        yield first, mask


def _lost(first: int, mask: int) -> Iterator[int]:
    yield first
    offset = 1
    while mask:
        if mask & 1:
            yield (first + offset) & 0xFFFF
        mask >>= 1
        offset += 1


def _parse_remb(body: bytes) -> Remb:
    word = read_u32(body, 12, "REMB bit rate")
    count = word >> 24
    if len(body) < 16 + 4 * count:
        raise Truncated(f"REMB names {count} SSRCs in {len(body)} bytes")
    ssrcs = unpack_from(f"!{count}I", body, 16)
    bitrate = (word & ((1 << _MANTISSA_BITS) - 1)) << (word >> _MANTISSA_BITS & 0x3F)
    return Remb(_ssrcs(body)[0], bitrate, ssrcs)


def _ssrcs(body: bytes) -> tuple[int, int]:
    if len(body) < 8:
        raise Truncated(f"RTCP feedback has {len(body)} of 8 bytes of SSRCs")
    sender, media = _SSRCS.unpack_from(body)
    return sender, media

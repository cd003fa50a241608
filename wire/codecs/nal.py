"""NAL units in their two envelopes: start codes (H.264 Annex B) and length prefixes (ISO 14496-15)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = [
    "MAX_NALS",
    "escape",
    "join_annexb",
    "join_length_prefixed",
    "split_annexb",
    "split_length_prefixed",
    "unescape",
]

MAX_NALS = 1024
"""NAL units in one access unit. A 4K picture cut in one slice per macroblock row has 270; drones send 48. Beyond a
thousand the peer wants to make us build lists of nothing."""

START_CODE = b"\x00\x00\x01"
LONG_START_CODE = b"\x00\x00\x00\x01"
# H.264 7.4.1: these three-byte patterns, and two zeros at the end, may not occur inside a NAL unit.
_TO_ESCAPE = re.compile(rb"\x00\x00(?=[\x00-\x03]|\Z)")


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units between the start codes, without trailing zeros and without empty ones.

    Malformed when anything but zeros stands before the first start code, LimitExceeded above MAX_NALS.
    """
    start = data.find(START_CODE)
    if data[: start if start >= 0 else len(data)].strip(b"\x00"):
        raise Malformed(f"{len(data)} bytes do not begin with a start code")
    nals: list[bytes] = []
    found = 0
    while start >= 0:
        found += 1
        if found > MAX_NALS:
            raise LimitExceeded(f"more than {MAX_NALS} NAL units in one access unit")
        following = data.find(START_CODE, start + 3)
        nal = data[start + 3 : following if following >= 0 else len(data)].rstrip(b"\x00")
        if nal:
            nals.append(nal)
        start = following
    return nals


def split_length_prefixed(data: bytes, length_size: int) -> list[bytes]:
    """The NAL units behind length prefixes of `length_size` (1 to 4) bytes; empty ones are left out.

    Truncated when a length points past the end, LimitExceeded above MAX_NALS (empty ones count: a flood of zeros).
    """
    if not 1 <= length_size <= 4:
        raise Malformed(f"NAL length size {length_size} is not 1 to 4")
    nals: list[bytes] = []
    position, end, found = 0, len(data), 0
    while position < end:
        body = position + length_size
        size = int.from_bytes(data[position:body], "big")
        position = body + size
        if position > end:
            raise Truncated(f"NAL unit of {size} bytes with {max(end - body, 0)} left")
        found += 1
        if found > MAX_NALS:
            raise LimitExceeded(f"more than {MAX_NALS} NAL units in one access unit")
        if size:
            nals.append(data[body:position])
    return nals


def join_length_prefixed(parts: Iterable[bytes]) -> bytes:
    """Each part behind its 4-byte length, in one join: this runs once per picture."""
    pieces: list[bytes] = []
    for part in parts:
        pieces += (len(part).to_bytes(4, "big"), part)
    return b"".join(pieces)


def join_annexb(parts: Iterable[bytes]) -> bytes:
    """Each part behind a 4-byte start code."""
    pieces: list[bytes] = []
    for part in parts:
        pieces += (LONG_START_CODE, part)
    return b"".join(pieces)


def unescape(nal: bytes) -> bytes:
    """Without the emulation prevention bytes (H.264 7.3.1): NAL unit to RBSP."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")


def escape(rbsp: bytes) -> bytes:
    """With emulation prevention bytes (H.264 7.4.1): RBSP to NAL unit. `unescape` undoes it exactly."""
    return _TO_ESCAPE.sub(b"\x00\x00\x03", rbsp)

"""The frame that all RTCP packets share (RFC 3550, 6.4.1): cut a compound packet into blocks, and build one."""

from __future__ import annotations

from struct import Struct

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported

__all__ = ["RtcpBlock", "blocks", "build", "read_u32"]

MAX_BLOCKS = 64
"""Packets in one compound: a datagram of 1,500 bytes from a browser has at most eight."""
_HEADER = Struct("!BBH")
_PADDING = 0x20
_U32 = Struct("!I")


RtcpBlock = tuple[int, int, bytes]
"""Kind, the five-bit number of the header (a report count, or the message type of feedback), and body."""


def blocks(compound: bytes) -> list[RtcpBlock]:
    """The packets of a compound in order, padding removed. Raises `WireError`."""
    at = 0
    size = len(compound)
    found: list[RtcpBlock] = []
    while at < size:
        if size - at < 4:
            raise Truncated(f"RTCP header has {size - at} of 4 bytes")
        first, kind, words = _HEADER.unpack_from(compound, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2:
            raise Unsupported(f"RTCP version {first >> 6}")
        if end > size:
            raise Truncated(f"RTCP packet {kind} ends at {end} of {size} bytes")
        if len(found) >= MAX_BLOCKS:
            raise LimitExceeded(f"more than {MAX_BLOCKS} RTCP packets in one datagram")
        body = compound[at + 4 : end]
        found.append((kind, first & 0x1F, _unpadded(body) if first & _PADDING else body))
        at = end
    return found


def build(kind: int, count: int, body: bytes) -> bytes:
    """One packet; the body is padded with zeros to whole words, as SDES and BYE want it."""
    words = (len(body) + 3) // 4
    return _HEADER.pack(0x80 | count, kind, words) + body.ljust(4 * words, b"\0")


def read_u32(body: bytes, at: int, what: str) -> int:
    if len(body) < at + 4:
        raise Truncated(f"{what} at {at} of {len(body)} bytes of RTCP")
    value: int = _U32.unpack_from(body, at)[0]
    return value


def _unpadded(body: bytes) -> bytes:
    if not body or not 0 < body[-1] <= len(body):
        raise Malformed(f"RTCP padding of {body[-1] if body else 0} bytes in {len(body)}")
    return body[: -body[-1]]

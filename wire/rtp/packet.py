"""RTP packets (RFC 3550, 5.1) with their header extensions (RFC 8285) left raw; `extensions` reads those."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from wire.errors import Malformed, Truncated, Unsupported

__all__ = ["MIN_HEADER_SIZE", "RtpPacket", "header", "header_size", "is_rtcp", "is_rtp_or_rtcp", "parse"]

MIN_HEADER_SIZE = 12
_FIXED = Struct("!BBHII")
_EXTENSION = Struct("!HH")
_SSRC = Struct("!I")
_VERSION_2 = 0x80
_PADDING = 0x20
_EXTENDED = 0x10
_MARKER = 0x80


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. `extension_profile` is the number in front of the extension block, None without a block."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension_profile: int | None = None
    extension: bytes = b""

    def __repr__(self) -> str:
        mark = " marker" if self.marker else ""
        return f"<RtpPacket pt={self.payload_type} seq={self.sequence} ts={self.timestamp} {len(self.payload)} B{mark}>"

    def to_bytes(self) -> bytes:
        front = header(
            self.payload_type,
            self.sequence,
            self.timestamp,
            self.ssrc,
            marker=self.marker,
            csrcs=self.csrcs,
            extension_profile=self.extension_profile,
            extension=self.extension,
        )
        return front + self.payload


def is_rtp_or_rtcp(datagram: bytes) -> bool:
    """RFC 7983, 7."""
    return len(datagram) >= 8 and 128 <= datagram[0] <= 191


def is_rtcp(datagram: bytes) -> bool:
    """RFC 5761, 4: on one port, packet types 192 to 223 are RTCP."""
    return 192 <= datagram[1] <= 223


def header(
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    *,
    marker: bool = False,
    csrcs: tuple[int, ...] = (),
    extension_profile: int | None = None,
    extension: bytes = b"",
    padded: bool = False,
) -> bytes:
    """The bytes in front of a payload. `extension` is padded to whole words with zeros; `padded` speaks of the payload,
    whose last byte then says how many of its bytes are padding."""
    first = _VERSION_2 | len(csrcs) | (0 if extension_profile is None else _EXTENDED) | (_PADDING if padded else 0)
    second = payload_type | (_MARKER if marker else 0)
    front = _FIXED.pack(first, second, sequence, timestamp, ssrc)
    if csrcs:
        front += b"".join(map(_SSRC.pack, csrcs))
    if extension_profile is not None:
        words = (len(extension) + 3) // 4
        front += _EXTENSION.pack(extension_profile, words) + extension.ljust(4 * words, b"\0")
    return front


def header_size(packet: bytes) -> int:
    """Bytes in front of the payload, extension block included. Raises `WireError` when they are not all there."""
    size = len(packet)
    if size < MIN_HEADER_SIZE:
        raise Truncated(f"RTP header has {size} of {MIN_HEADER_SIZE} bytes")
    first = packet[0]
    if first & 0xC0 != _VERSION_2:
        raise Unsupported(f"RTP version {first >> 6}")
    end = MIN_HEADER_SIZE + 4 * (first & 0x0F)
    if first & _EXTENDED:
        if size < end + 4:
            raise Truncated(f"RTP extension header ends at {end + 4} of {size} bytes")
        end += 4 + 4 * ((packet[end + 2] << 8) | packet[end + 3])
    if end > size:
        raise Truncated(f"RTP header of {end} bytes in a packet of {size}")
    return end


def parse(packet: bytes) -> RtpPacket:
    """Read one packet in clear; padding is removed. Raises `WireError`."""
    end = header_size(packet)
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(packet)
    csrc_end = MIN_HEADER_SIZE + 4 * (first & 0x0F)
    profile, extension = None, b""
    if first & _EXTENDED:
        profile = (packet[csrc_end] << 8) | packet[csrc_end + 1]
        extension = packet[csrc_end + 4 : end]
    payload_end = len(packet)
    if first & _PADDING:
        payload_end -= _padding(packet, end)
    return RtpPacket(
        payload_type=second & 0x7F,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=packet[end:payload_end],
        marker=second & _MARKER != 0,
        csrcs=tuple(_SSRC.unpack_from(packet, at)[0] for at in range(MIN_HEADER_SIZE, csrc_end, 4)),
        extension_profile=profile,
        extension=extension,
    )


def _padding(packet: bytes, payload_at: int) -> int:
    # RFC 3550, 5.1: the last byte counts the padding, itself included
    padding = packet[-1]
    if padding == 0 or payload_at + padding > len(packet):
        raise Malformed(f"{padding} bytes of padding in {len(packet) - payload_at} bytes of payload")
    return padding

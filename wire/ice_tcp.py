"""Datagrams over ICE-TCP (RFC 6544, 3): each with its length in front (RFC 4571)."""

from __future__ import annotations

from collections.abc import Iterator

from wire.errors import LimitExceeded

__all__ = ["MAX_FRAME_SIZE", "FrameReader", "frame"]

MAX_FRAME_SIZE = 4096
"""STUN, DTLS records and RTP all fit 1,500 bytes; the rest is slack for peers that know no path MTU on TCP."""


def frame(datagram: bytes) -> bytes:
    """The datagram with its two-byte length."""
    return len(datagram).to_bytes(2, "big") + datagram


class FrameReader:
    """Cuts a TCP byte stream into datagrams. Raises `LimitExceeded`, after which the connection must be closed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> list[bytes]:
        """The datagrams that are complete now. Empty frames, which RFC 4571 allows, are skipped."""
        self._buffer += data
        return [datagram for datagram in self._frames() if datagram]

    def _frames(self) -> Iterator[bytes]:
        buffer = self._buffer
        at = 0
        try:
            while len(buffer) - at >= 2:
                size = (buffer[at] << 8) | buffer[at + 1]
                if size > MAX_FRAME_SIZE:
                    raise LimitExceeded(f"RFC 4571 frame of {size} bytes exceeds {MAX_FRAME_SIZE}")
                if len(buffer) - at < 2 + size:
                    return
                yield bytes(buffer[at + 2 : at + 2 + size])
                at += 2 + size
        finally:
            del buffer[:at]

"""WebSocket frames (RFC 6455, 5): ready-made ones for many clients, and a client's reading and writing.

The server frames once and sends the same bytes to everybody; no extensions, no fragmentation on sending.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from wire.errors import LimitExceeded, Malformed

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "WsFrame",
    "WsParser",
    "accept_key",
    "encode_close",
    "encode_frame",
    "encode_masked_frame",
    "encode_ping",
    "encode_pong",
    "frame_header",
    "parse_close",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NO_STATUS = 1005
"""Stands for a close frame without a code (7.4.1); never on the wire."""

MAX_FRAME_SIZE = 16 * 1024 * 1024
"""A frame to a viewer holds at most a group of pictures that a joiner gets at once, a few megabytes."""
MAX_CONTROL_SIZE = 125
"""RFC 6455, 5.5."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})


@dataclass(frozen=True, slots=True)
class WsFrame:
    """One frame. A message is a TEXT or BINARY frame and the CONTINUATION frames up to one with `fin`."""

    opcode: int
    payload: bytes
    fin: bool = True


def frame_header(length: int, opcode: int = BINARY) -> bytes:
    """The head of an unmasked, final frame with `length` bytes of payload: 2, 4 or 10 bytes (5.2)."""
    return bytes([0x80 | opcode]) + _length(length, 0)


def encode_frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """A server's frame."""
    return frame_header(len(payload), opcode) + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A server's close frame; the reason is cut to 123 bytes at a character."""
    return encode_frame(_close_payload(code, reason), CLOSE)


def encode_ping(payload: bytes = b"") -> bytes:
    """A server's ping. LimitExceeded above 125 bytes."""
    return encode_frame(_control(payload), PING)


def encode_pong(payload: bytes = b"") -> bytes:
    """A server's pong. LimitExceeded above 125 bytes."""
    return encode_frame(_control(payload), PONG)


def encode_masked_frame(payload: bytes, opcode: int, mask: bytes) -> bytes:
    """A client's frame; `mask` is 4 random bytes (5.3)."""
    return bytes([0x80 | opcode]) + _length(len(payload), 0x80) + mask + _xor(payload, mask)


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """A close frame's payload -> (code, reason); 1005 without a code. Malformed."""
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise Malformed("close frame with one byte of code")
    try:
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()
    except UnicodeDecodeError as exc:
        raise Malformed(f"close reason is not UTF-8: {payload[2:].hex()}") from exc


class WsParser:
    """What a client receives, cut anywhere, to WsFrames. Call `receive_data`, then `next_event` until it is None."""

    def __init__(self, max_frame_size: int = MAX_FRAME_SIZE) -> None:
        self._buffer = bytearray()
        self._max_frame_size = max_frame_size
        self._fragmented = False

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_event(self) -> WsFrame | None:
        """The next frame, None when more bytes are needed. Malformed, LimitExceeded."""
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[0], self._buffer[1]
        fin, opcode = bool(first & 0x80), first & 0x0F
        self._check(first, second, opcode, fin)
        start = {126: 4, 127: 10}.get(second, 2)
        if len(self._buffer) < start:
            return None
        size = int.from_bytes(self._buffer[2:start], "big") if start > 2 else second
        if size > self._max_frame_size:
            raise LimitExceeded(f"WebSocket frame of {size} bytes exceeds {self._max_frame_size}")
        if len(self._buffer) < start + size:
            return None
        payload = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        if opcode < CLOSE:
            self._fragmented = not fin
        return WsFrame(opcode, payload, fin)

    def _check(self, first: int, second: int, opcode: int, fin: bool) -> None:
        if first & 0x70:
            raise Malformed(f"WebSocket frame with reserved bits {first:#04x}; no extension was agreed on")
        if opcode not in _OPCODES:
            raise Malformed(f"WebSocket opcode {opcode}")
        if second & 0x80:
            raise Malformed("a masked frame from a server (RFC 6455, 5.1)")
        if opcode >= CLOSE and (not fin or second > MAX_CONTROL_SIZE):
            raise Malformed(f"control frame {opcode} is fragmented or longer than {MAX_CONTROL_SIZE} bytes")
        if opcode < CLOSE and (opcode == CONTINUATION) != self._fragmented:
            raise Malformed(f"opcode {opcode} {'inside' if self._fragmented else 'outside'} a fragmented message")


def _length(length: int, mask_bit: int) -> bytes:
    if length < 126:
        return bytes([mask_bit | length])
    if length < 1 << 16:
        return bytes([mask_bit | 126]) + length.to_bytes(2, "big")
    return bytes([mask_bit | 127]) + length.to_bytes(8, "big")


def _control(payload: bytes) -> bytes:
    if len(payload) > MAX_CONTROL_SIZE:
        raise LimitExceeded(f"control frame of {len(payload)} bytes exceeds {MAX_CONTROL_SIZE}")
    return payload


def _close_payload(code: int, reason: str) -> bytes:
    text = reason.encode()[: MAX_CONTROL_SIZE - 2].decode(errors="ignore")
    return code.to_bytes(2, "big") + text.encode()


def _xor(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")

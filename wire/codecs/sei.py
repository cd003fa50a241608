"""Supplemental enhancement information: the messages that H.264 (Annex D) and H.265 (Annex D) share.

An RBSP here is the SEI NAL unit after its header, unescaped. Building returns the RBSP; `h264` and `h265` add headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wire.errors import LimitExceeded, Malformed, Truncated, WireError

__all__ = [
    "RECOVERY_POINT",
    "USER_DATA_UNREGISTERED",
    "SeiMessage",
    "build_sei",
    "find_user_data",
    "has_message",
    "parse_sei",
    "user_data",
]

USER_DATA_UNREGISTERED = 5
RECOVERY_POINT = 6

MAX_MESSAGES = 256
"""Messages in one SEI NAL unit. Real ones carry one to five."""


@dataclass(frozen=True, slots=True)
class SeiMessage:
    """One sei_message: `kind` is the payload type of Annex D, `payload` its bytes."""

    kind: int
    payload: bytes


def parse_sei(rbsp: bytes) -> Iterator[SeiMessage]:
    """The messages one after the other, up to rbsp_trailing_bits. Truncated, LimitExceeded."""
    position, count = 0, 0
    while len(rbsp) - position > 1:  # the last byte is the stop bit
        kind, position = _read_varying(rbsp, position)
        size, position = _read_varying(rbsp, position)
        if position + size > len(rbsp):
            raise Truncated(f"SEI payload of {size} bytes with {len(rbsp) - position} left")
        count += 1
        if count > MAX_MESSAGES:
            raise LimitExceeded(f"more than {MAX_MESSAGES} messages in one SEI")
        yield SeiMessage(kind, rbsp[position : position + size])
        position += size


def has_message(rbsp: bytes, kind: int) -> bool:
    """Whether a message of that kind is there. Broken SEI never spoils a picture: what cannot be read is not there."""
    try:
        return any(message.kind == kind for message in parse_sei(rbsp))
    except WireError:
        return False


def build_sei(message: SeiMessage) -> bytes:
    """The RBSP of one message with its trailing bits."""
    return _varying(message.kind) + _varying(len(message.payload)) + message.payload + b"\x80"


def user_data(uuid: bytes, payload: bytes) -> SeiMessage:
    """user_data_unregistered (D.1.7): a 16-byte uuid, then anything."""
    if len(uuid) != 16:
        raise Malformed(f"SEI uuid of {len(uuid)} bytes, not 16")
    return SeiMessage(USER_DATA_UNREGISTERED, uuid + payload)


def find_user_data(rbsp: bytes, uuid: bytes) -> bytes | None:
    """The payload of the first user_data_unregistered with that uuid. Truncated, LimitExceeded."""
    for message in parse_sei(rbsp):
        if message.kind == USER_DATA_UNREGISTERED and message.payload[:16] == uuid:
            return message.payload[16:]
    return None


def _read_varying(rbsp: bytes, position: int) -> tuple[int, int]:
    # H.264 7.3.2.3.1: 0xff bytes add 255 each, the first other byte ends the number
    value = 0
    while position < len(rbsp):
        byte = rbsp[position]
        position += 1
        value += byte
        if byte != 0xFF:
            return value, position
    raise Truncated("SEI message header ends early")


def _varying(value: int) -> bytes:
    return b"\xff" * (value // 255) + bytes([value % 255])

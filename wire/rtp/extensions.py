"""RTP header extensions: the one-byte and two-byte forms (RFC 8285, 4), and the ones that this server speaks."""

from __future__ import annotations

from collections.abc import Mapping

from wire.errors import Malformed, Truncated, Unsupported

__all__ = [
    "ABS_SEND_TIME",
    "MID",
    "ONE_BYTE",
    "REPAIRED_STREAM_ID",
    "STREAM_ID",
    "TRANSPORT_SEQUENCE",
    "VIDEO_ORIENTATION",
    "abs_send_time",
    "build",
    "parse",
    "read_text",
    "read_transport_sequence",
]

ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
"""Named to be refused: a phone whose offer of it is declined rotates the pixels itself."""

ONE_BYTE = 0xBEDE
_TWO_BYTE = 0x1000
_TWO_BYTE_MASK = 0xFFF0  # the last four bits are for the application
_MAX_ONE_BYTE_ID = 14
_MAX_ONE_BYTE_SIZE = 16


def parse(profile: int, block: bytes) -> dict[int, bytes]:
    """Extension values by their id. Raises `WireError`."""
    if profile == ONE_BYTE:
        return _parse_one_byte(block)
    if profile & _TWO_BYTE_MASK == _TWO_BYTE:
        return _parse_two_byte(block)
    raise Unsupported(f"RTP extension profile 0x{profile:04x}")


def build(values: Mapping[int, bytes]) -> tuple[int, bytes]:
    """Profile number and block, padded to whole words; two-byte form only where the one-byte form cannot say it."""
    short = all(
        1 <= number <= _MAX_ONE_BYTE_ID and 1 <= len(value) <= _MAX_ONE_BYTE_SIZE for number, value in values.items()
    )
    if short:
        block = b"".join(bytes([number << 4 | len(value) - 1]) + value for number, value in values.items())
    else:
        block = b"".join(bytes([number, len(value)]) + value for number, value in values.items())
    return ONE_BYTE if short else _TWO_BYTE, block + bytes(-len(block) % 4)


def abs_send_time(seconds: float) -> bytes:
    """The three bytes of a send time on any steady clock: 6.18 fixed-point seconds."""
    return (int(seconds * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")


def read_transport_sequence(value: bytes) -> int:
    if len(value) < 2:
        raise Truncated(f"transport sequence number has {len(value)} of 2 bytes")
    return value[0] << 8 | value[1]


def read_text(value: bytes) -> str:
    """A mid or rid (RFC 8852, 3): ASCII."""
    try:
        return value.decode("ascii")
    except UnicodeDecodeError as exc:
        raise Malformed(f"RTP stream id is not ASCII: {value!r}") from exc


def _parse_one_byte(block: bytes) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    at = 0
    while at < len(block):
        number, size = block[at] >> 4, (block[at] & 0x0F) + 1
        if block[at] == 0:
            at += 1  # padding
            continue
        if number == 15:
            break  # RFC 8285, 4.2: stop here
        if at + 1 + size > len(block):
            raise Truncated(f"RTP extension {number} of {size} bytes at {at} of {len(block)}")
        values[number] = block[at + 1 : at + 1 + size]
        at += 1 + size
    return values


def _parse_two_byte(block: bytes) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    at = 0
    while at < len(block):
        if block[at] == 0:
            at += 1  # padding
            continue
        if at + 2 > len(block) or at + 2 + block[at + 1] > len(block):
            raise Truncated(f"RTP extension {block[at]} at {at} of {len(block)} bytes")
        values[block[at]] = block[at + 2 : at + 2 + block[at + 1]]
        at += 2 + block[at + 1]
    return values

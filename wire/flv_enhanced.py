"""What Enhanced RTMP v2 puts in front of audio and of video alike: modifiers, one track of many, the FourCC."""

from __future__ import annotations

from collections.abc import Mapping

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported

__all__ = ["MOD_EX", "read_byte", "read_fourcc", "read_track", "skip_modifiers"]

MOD_EX = 7
"""The same number in VideoPacketType and AudioPacketType."""

MAX_MODIFIERS = 16
"""One is defined (nanoseconds); a chain of thousands is not a message."""

_ONE_TRACK, _MANY_TRACKS = 0, 1


def read_byte(body: bytes, position: int) -> int:
    if position >= len(body):
        raise Truncated(f"message of {len(body)} bytes ends in its header")
    return body[position]


def skip_modifiers(body: bytes, packet_type: int, position: int) -> tuple[int, int]:
    """-> (real packet type, position behind the modifiers). Truncated, LimitExceeded.

    ModEx carries an offset of nanoseconds, below the resolution of anything here.
    """
    count = 0
    while packet_type == MOD_EX:
        count += 1
        if count > MAX_MODIFIERS:
            raise LimitExceeded(f"more than {MAX_MODIFIERS} modifiers in one message")
        size = read_byte(body, position) + 1
        position += 1
        if size == 256:
            read_byte(body, position + 1)
            size = int.from_bytes(body[position : position + 2], "big") + 1
            position += 2
        packet_type = read_byte(body, position + size) & 0x0F
        position += size + 1
    return packet_type, position


def read_track(body: bytes, position: int, multitrack: int) -> tuple[int, bytes, bytes]:
    """Behind a Multitrack header -> (packet type, FourCC, payload) of its one track. Truncated, Malformed.

    Unsupported for several tracks in a message and for any track but number 0, which is the one that a player
    without multitrack would get; a caller may drop such a message and go on.
    """
    byte = read_byte(body, position)
    kind, packet_type = byte >> 4, byte & 0x0F
    if packet_type == multitrack:
        raise Malformed("multitrack inside multitrack")
    if kind not in (_ONE_TRACK, _MANY_TRACKS):
        raise Unsupported(f"multitrack type {kind}")
    fourcc = body[position + 1 : position + 5]
    track = read_byte(body, position + 5)
    start = position + 6
    if kind == _MANY_TRACKS:
        size, start = int.from_bytes(body[start : start + 3], "big"), start + 3
        if len(body) < start + size:
            raise Truncated(f"track of {size} bytes in a message of {len(body)}")
        if len(body) > start + size:
            raise Unsupported("several tracks in one message")
    if track:
        raise Unsupported(f"track {track}: only track 0 is taken")
    return packet_type, fourcc, body[start:]


def read_fourcc(fourcc: bytes, codecs: Mapping[bytes, str]) -> str:
    """The codec's name. Truncated, Unsupported."""
    if len(fourcc) < 4:
        raise Truncated("message ends in its FourCC")
    codec = codecs.get(fourcc)
    if codec is None:
        raise Unsupported(f"codec {fourcc!r}")
    return codec

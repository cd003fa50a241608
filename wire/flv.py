"""The FLV container: header and tags (Adobe Video File Format Specification v10.1, annex E.2 to E.4.1).

What is inside the bodies is in `flv_video`, `flv_audio` and `flv_script`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag

__all__ = [
    "AUDIO",
    "SCRIPT",
    "VIDEO",
    "FlvHeader",
    "FlvParser",
    "FlvTag",
    "encode_header",
    "encode_tag",
    "encode_tag_parts",
    "signed_timestamp",
]

MAX_TAG_SIZE = 8 * 1024 * 1024
"""A tag's body. A keyframe of a 100 Mb/s stream has 2 MB at most; the format's own limit is 16 MB."""
MAX_HEADER_SIZE = 1024
"""The header says where the tags begin, always at 9 so far; some room, but not gigabytes to skip."""

_HEADER = struct.Struct(">3sBBI")
_TAG = struct.Struct(">II3x")  # kind and size, timestamp with its extension byte last, stream id 0
_KINDS = frozenset({AUDIO, VIDEO, SCRIPT})


@dataclass(frozen=True, slots=True)
class FlvHeader:
    """Which kinds of tags the file promises."""

    has_audio: bool
    has_video: bool


class FlvParser:
    """FLV bytes, cut anywhere, to one FlvHeader and then FlvTags.

    Call `receive_data`, then `next_event` until it is None. After a WireError the parser is of no more use.
    PreviousTagSize is skipped unread, because live servers write it wrong.
    """

    def __init__(self, max_tag_size: int = MAX_TAG_SIZE) -> None:
        self._buffer = bytearray()
        self._max_tag_size = max_tag_size
        self._header_done = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes. At most one tag stays buffered between calls when events are drained."""
        self._buffer += data

    def receive_eof(self) -> None:
        """The bytes are over; call it when `next_event` has returned None. Truncated when a tag is unfinished."""
        if len(self._buffer) > 4 or (self._buffer and not self._header_done):
            raise Truncated(f"FLV ends with {len(self._buffer)} bytes of an unfinished tag")

    def next_event(self) -> FlvHeader | FlvTag | None:
        """The next header or tag, None when more bytes are needed. Malformed, Unsupported, LimitExceeded."""
        return self._tag() if self._header_done else self._header()

    def _header(self) -> FlvHeader | None:
        if len(self._buffer) < _HEADER.size:
            return None
        signature, _, flags, offset = _HEADER.unpack_from(self._buffer)
        if signature != b"FLV":
            raise Malformed(f"not FLV: {signature.hex()}")
        if not _HEADER.size <= offset <= MAX_HEADER_SIZE:
            raise Malformed(f"FLV header of {offset} bytes is not {_HEADER.size} to {MAX_HEADER_SIZE}")
        if len(self._buffer) < offset:
            return None
        del self._buffer[:offset]
        self._header_done = True
        return FlvHeader(has_audio=bool(flags & 4), has_video=bool(flags & 1))

    def _tag(self) -> FlvTag | None:
        # E.3: each tag stands behind the PreviousTagSize of the one before it
        start = 4 + _TAG.size
        if len(self._buffer) < start:
            return None
        word, time = _TAG.unpack_from(self._buffer, 4)
        kind, size = word >> 24, word & 0xFFFFFF
        self._check(kind, size)
        if len(self._buffer) < start + size:
            return None
        body = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return FlvTag(kind & 0x1F, (time & 0xFF) << 24 | time >> 8, body)

    def _check(self, kind: int, size: int) -> None:
        if kind & 0x20:
            raise Unsupported("an encrypted FLV tag")
        if kind not in _KINDS:
            raise Malformed(f"FLV tag type {kind} is not 8, 9 or 18")
        if size > self._max_tag_size:
            raise LimitExceeded(f"FLV tag of {size} bytes exceeds {self._max_tag_size}")


def encode_header(has_audio: bool, has_video: bool) -> bytes:
    """The file header and PreviousTagSize0: 13 bytes, after which tags follow."""
    return _HEADER.pack(b"FLV", 1, has_audio << 2 | has_video, _HEADER.size) + bytes(4)


def encode_tag(tag: FlvTag) -> bytes:
    """The tag and its PreviousTagSize. LimitExceeded when the body does not fit 24 bits."""
    return encode_tag_parts(tag.kind, tag.timestamp, tag.body)


def encode_tag_parts(kind: int, timestamp: int, *pieces: bytes) -> bytes:
    """A tag whose body is the pieces one after the other, with its PreviousTagSize, in one join.

    `timestamp` is milliseconds; negative ones and those past 2**32 wrap as the wire does. LimitExceeded as above.
    """
    size = sum(map(len, pieces))
    if size > 0xFFFFFF:
        raise LimitExceeded(f"FLV tag body of {size} bytes exceeds {0xFFFFFF}")
    time = (timestamp & 0xFFFFFF) << 8 | (timestamp >> 24) & 0xFF
    return b"".join((_TAG.pack(kind << 24 | size, time), *pieces, (size + _TAG.size).to_bytes(4, "big")))


def signed_timestamp(timestamp: int) -> int:
    """A wire timestamp read as E.4.1 has it, SI32: players see the upper half of the range as negative."""
    return timestamp - (1 << 32) if timestamp >= 1 << 31 else timestamp

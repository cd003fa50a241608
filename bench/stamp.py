"""A time stamp inside the bitstream: when a picture left the publisher, readable behind any server that passes it on.

It is an SEI message user_data_unregistered (ITU-T H.264, D.1.7; H.265, D.2.7): a fixed uuid, then CLOCK_MONOTONIC in
nanoseconds as 16 hexadecimal digits. Digits keep the size fixed and need no emulation prevention, so that a publisher
can overwrite them in place. The clock is the machine's own: publisher and probe must run on one machine.
"""

from __future__ import annotations

from wire.codecs.sei import build_sei, user_data

__all__ = ["SEARCHED", "STAMP_SIZE", "UUID", "find_ns", "sei_nal", "stamp"]

UUID = bytes.fromhex("9d1a6c7e52b34f8ea1c64b7d3e92f518")
STAMP_SIZE = 16
SEARCHED = 512  # bytes of a picture in which the stamp is looked for: it comes before the slices
H264_SEI = b"\x06"


def stamp(ns: int) -> bytes:
    """The digits that stand for a time."""
    return b"%016x" % ns


def sei_nal(ns: int) -> bytes:
    """A whole H.264 SEI NAL unit without start code; the digits are its bytes 19 to 34."""
    return H264_SEI + build_sei(user_data(UUID, stamp(ns)))


def find_ns(picture: bytes | memoryview) -> int | None:
    """The time in a picture (any framing of its NAL units), or None when it carries no stamp."""
    head = bytes(picture[:SEARCHED])
    at = head.find(UUID)
    digits = head[at + len(UUID) : at + len(UUID) + STAMP_SIZE]
    if at < 0 or len(digits) < STAMP_SIZE:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None

"""RTCP extended reports (RFC 3611): receiver reference times and their answers, by which a receiver learns its RTT."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from wire.errors import Truncated
from wire.rtp.rtcp_block import build, read_u32

__all__ = ["EXTENDED_REPORT", "Dlrr", "ReferenceTime", "parse_extended_report"]

EXTENDED_REPORT = 207
_RRTR = 4
_DLRR = 5
_BLOCK = Struct("!BxH")
_NTP = Struct("!Q")
_ANSWER = Struct("!III")


@dataclass(frozen=True, slots=True)
class ReferenceTime:
    """RFC 3611, 4.4: a receiver's own NTP time (32.32 fixed point), to be answered with a `Dlrr`."""

    ssrc: int
    ntp: int

    def to_bytes(self) -> bytes:
        return build(EXTENDED_REPORT, 0, self.ssrc.to_bytes(4, "big") + _BLOCK.pack(_RRTR, 2) + _NTP.pack(self.ntp))


@dataclass(frozen=True, slots=True)
class Dlrr:
    """RFC 3611, 4.5: per receiver (SSRC, middle of its last reference time, delay since then in 1/65536 s)."""

    ssrc: int
    answers: tuple[tuple[int, int, int], ...]

    def to_bytes(self) -> bytes:
        body = b"".join(_ANSWER.pack(*answer) for answer in self.answers)
        header = _BLOCK.pack(_DLRR, 3 * len(self.answers))
        return build(EXTENDED_REPORT, 0, self.ssrc.to_bytes(4, "big") + header + body)


def parse_extended_report(body: bytes) -> tuple[ReferenceTime | Dlrr, ...]:
    """The blocks that are known. Raises `WireError`."""
    ssrc = read_u32(body, 0, "XR SSRC")
    found: list[ReferenceTime | Dlrr] = []
    at = 4
    while at < len(body):
        if at + 4 > len(body):
            raise Truncated(f"XR block header at {at} of {len(body)} bytes")
        kind, words = _BLOCK.unpack_from(body, at)
        end = at + 4 + 4 * words
        if end > len(body):
            raise Truncated(f"XR block {kind} ends at {end} of {len(body)} bytes")
        if kind == _RRTR and words == 2:
            found.append(ReferenceTime(ssrc, _NTP.unpack_from(body, at + 4)[0]))
        elif kind == _DLRR:
            found.append(Dlrr(ssrc, tuple(_ANSWER.unpack_from(body, offset) for offset in range(at + 4, end - 11, 12))))
        at = end
    return tuple(found)

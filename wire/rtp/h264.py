"""H.264 in RTP, packetization mode 1 (RFC 6184): single NAL units, STAP-A and FU-A; no interleaving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported
from wire.rtp.grouping import MAX_AGGREGATED, equal_share, group_nals

__all__ = ["MAX_NAL_SIZE", "H264Depacketiser", "packetise"]

MAX_NAL_SIZE = 8 * 1024 * 1024
"""An intra picture of a 4K source at its best quality is about 2 MB."""

_STAP_A = 24
_FU_A = 28
_START = 0x80
_END = 0x40
_TYPE_MASK = 0x1F
_KEEP_NRI = 0xE0


def packetise(nals: Sequence[bytes], max_payload: int) -> list[bytes]:
    """The RTP payloads of one access unit, in order; the last of them takes the marker.

    Small neighbours share a STAP-A. A NAL unit that does not fit is cut into FU-A fragments of exactly `max_payload`
    bytes and one shorter tail, so that a run of them can leave in a single segmented send.
    """
    return group_nals(nals, max_payload, header_size=1, aggregate=_aggregate, fragment=_fragment)


class H264Depacketiser:
    """NAL units from payloads in sequence order. After a gap call `reset`: a fragmented unit is then given up."""

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._size = 0

    def receive(self, payload: bytes) -> list[bytes]:
        """The NAL units that this payload completes. Raises `WireError`."""
        if not payload:
            raise Truncated("empty H.264 payload")
        kind = payload[0] & _TYPE_MASK
        if kind == _FU_A:
            return self._receive_fragment(payload)
        self.reset()
        if kind == _STAP_A:
            return _split(payload)
        if not 1 <= kind <= 23:
            raise Unsupported(f"H.264 payload type {kind}")
        return [payload]

    def reset(self) -> None:
        self._fragments = []
        self._size = 0

    def _receive_fragment(self, payload: bytes) -> list[bytes]:
        if len(payload) < 3:
            raise Truncated(f"FU-A of {len(payload)} bytes")
        indicator, header = payload[0], payload[1]
        if header & _START:
            self.reset()
            self._fragments.append(bytes([indicator & _KEEP_NRI | header & _TYPE_MASK]))
        elif not self._fragments:
            return []  # its start was lost
        self._fragments.append(payload[2:])
        self._size += len(payload) - 2
        if self._size > MAX_NAL_SIZE:
            self.reset()
            raise LimitExceeded(f"fragmented H.264 NAL unit exceeds {MAX_NAL_SIZE} bytes")
        if not header & _END:
            return []
        nal = b"".join(self._fragments)
        self.reset()
        return [nal]


def _aggregate(nals: Sequence[bytes]) -> bytes:
    # RFC 6184, 5.7.1: the highest NRI of all, F when any has it
    forbidden = 0x80 if any(nal[0] & 0x80 for nal in nals) else 0
    importance = max(nal[0] & 0x60 for nal in nals)
    parts = [bytes([forbidden | importance | _STAP_A])]
    for nal in nals:
        parts += (len(nal).to_bytes(2, "big"), nal)
    return b"".join(parts)


def _fragment(nal: bytes, max_payload: int) -> Iterator[bytes]:
    # RFC 6184, 5.8: indicator and header replace the first byte
    indicator = nal[0] & _KEEP_NRI | _FU_A
    kind = nal[0] & _TYPE_MASK
    step = equal_share(len(nal) - 1, max_payload - 2)
    for at in range(1, len(nal), step):
        flags = (_START if at == 1 else 0) | (_END if at + step >= len(nal) else 0)
        yield bytes((indicator, flags | kind)) + nal[at : at + step]


def _split(payload: bytes) -> list[bytes]:
    at = 1
    nals: list[bytes] = []
    while at < len(payload):
        end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
        if at + 2 > len(payload) or end > len(payload):
            raise Truncated(f"STAP-A unit ends at {end} of {len(payload)} bytes")
        if end == at + 2:
            raise Malformed(f"empty NAL unit at {at} of a STAP-A")
        nals.append(payload[at + 2 : end])
        if len(nals) > MAX_AGGREGATED:
            raise LimitExceeded(f"more than {MAX_AGGREGATED} NAL units in a STAP-A")
        at = end
    return nals

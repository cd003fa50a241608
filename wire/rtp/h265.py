"""H.265 in RTP without decoding order numbers (RFC 7798): single NAL units, aggregation (AP) and fragments (FU)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported
from wire.rtp.grouping import MAX_AGGREGATED, equal_share, group_nals
from wire.rtp.h264 import MAX_NAL_SIZE

__all__ = ["H265Depacketiser", "packetise"]

_AP = 48
_FU = 49
_START = 0x80
_END = 0x40
_FU_TYPE_MASK = 0x3F
_HEADER_SIZE = 2


def packetise(nals: Sequence[bytes], max_payload: int) -> list[bytes]:
    """The RTP payloads of one access unit, in order; the last of them takes the marker.

    Small neighbours share an AP. A NAL unit that does not fit is cut into FUs of exactly `max_payload` bytes and one
    shorter tail.
    """
    return group_nals(nals, max_payload, header_size=_HEADER_SIZE, aggregate=_aggregate, fragment=_fragment)


class H265Depacketiser:
    """NAL units from payloads in sequence order. After a gap call `reset`: a fragmented unit is then given up."""

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._size = 0

    def receive(self, payload: bytes) -> list[bytes]:
        """The NAL units that this payload completes. Raises `WireError`."""
        if len(payload) < _HEADER_SIZE + 1:
            raise Truncated(f"H.265 payload of {len(payload)} bytes")
        kind = payload[0] >> 1 & 0x3F
        if kind == _FU:
            return self._receive_fragment(payload)
        self.reset()
        if kind == _AP:
            return _split(payload)
        if kind > _AP:
            raise Unsupported(f"H.265 payload type {kind}")
        return [payload]

    def reset(self) -> None:
        self._fragments = []
        self._size = 0

    def _receive_fragment(self, payload: bytes) -> list[bytes]:
        if len(payload) < 4:
            raise Truncated(f"H.265 FU of {len(payload)} bytes")
        header = payload[2]
        if header & _START:
            self.reset()
            self._fragments.append(bytes([payload[0] & 0x81 | (header & _FU_TYPE_MASK) << 1, payload[1]]))
        elif not self._fragments:
            return []  # its start was lost
        self._fragments.append(payload[3:])
        self._size += len(payload) - 3
        if self._size > MAX_NAL_SIZE:
            self.reset()
            raise LimitExceeded(f"fragmented H.265 NAL unit exceeds {MAX_NAL_SIZE} bytes")
        if not header & _END:
            return []
        nal = b"".join(self._fragments)
        self.reset()
        return [nal]


def _aggregate(nals: Sequence[bytes]) -> bytes:
    # RFC 7798, 4.4.2: F when any has it, the lowest layer id and temporal id of all
    headers = [int.from_bytes(nal[:2], "big") for nal in nals]
    forbidden = 0x8000 if any(header & 0x8000 for header in headers) else 0
    layer = min(header & 0x01F8 for header in headers)
    temporal = min(header & 0x0007 for header in headers)
    parts = [(forbidden | _AP << 9 | layer | temporal).to_bytes(2, "big")]
    for nal in nals:
        parts += (len(nal).to_bytes(2, "big"), nal)
    return b"".join(parts)


def _fragment(nal: bytes, max_payload: int) -> Iterator[bytes]:
    # RFC 7798, 4.4.3: the unit's header becomes the payload header, its type moves to the FU header
    payload_header = bytes([nal[0] & 0x81 | _FU << 1, nal[1]])
    kind = nal[0] >> 1 & 0x3F
    step = equal_share(len(nal) - _HEADER_SIZE, max_payload - 3)
    for at in range(_HEADER_SIZE, len(nal), step):
        flags = (_START if at == _HEADER_SIZE else 0) | (_END if at + step >= len(nal) else 0)
        yield payload_header + bytes([flags | kind]) + nal[at : at + step]


def _split(payload: bytes) -> list[bytes]:
    at = _HEADER_SIZE
    nals: list[bytes] = []
    while at < len(payload):
        end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
        if at + 2 > len(payload) or end > len(payload):
            raise Truncated(f"AP unit ends at {end} of {len(payload)} bytes")
        if end < at + 2 + _HEADER_SIZE:
            raise Malformed(f"NAL unit of {end - at - 2} bytes at {at} of an AP")
        nals.append(payload[at + 2 : end])
        if len(nals) > MAX_AGGREGATED:
            raise LimitExceeded(f"more than {MAX_AGGREGATED} NAL units in an AP")
        at = end
    return nals

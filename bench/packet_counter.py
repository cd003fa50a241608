"""Counts a batch of datagrams of one viewer without looking at each: what makes hundreds of viewers affordable.

RTP's header is in clear. Its second byte tells the payload type, so that strided slices say how many packets of each
kind there are and where the last one is, and that one's sequence number how many there should be.
"""

from __future__ import annotations

from struct import Struct

from bench.datagrams import DatagramBatch
from bench.rtp_meter import RtpMeter

__all__ = ["PacketCounter"]

MARKER = 0x80
_HEADER = Struct("!BBHII")
_RTP_FIRST = bytes(range(128, 192))  # RFC 7983, 7: RTP and RTCP; RTCP's second byte is no payload type of ours


class PacketCounter:
    """One viewer's. Meters of kinds that may be counted are added with `add`."""

    def __init__(self) -> None:
        self._kinds: list[tuple[int, RtpMeter]] = []

    def add(self, meter: RtpMeter) -> None:
        """Packets of this meter's payload type are all its own; of two meters for one type the newer counts."""
        self._kinds = [(kind, other) for kind, other in self._kinds if kind != meter.payload_type]
        self._kinds.append((meter.payload_type, meter))

    def count(self, batch: DatagramBatch, count: int) -> int | None:
        """How many bytes there were. None, and nothing is counted, when something in it needs a closer look: what is
        no RTP, or a kind or a source that is not known.
        """
        buffer, room, end = batch.buffer, batch.room, count * batch.room
        lengths = batch.lengths(count)
        if min(lengths) < _HEADER.size or buffer[0:end:room].translate(None, _RTP_FIRST):
            return None
        types, left, found = buffer[1:end:room], count, []
        for kind, meter in self._kinds:
            packets = types.count(kind) + types.count(kind | MARKER)
            if packets:
                last = max(types.rfind(kind), types.rfind(kind | MARKER))
                _, _, sequence, _, ssrc = _HEADER.unpack_from(buffer, last * room)
                if ssrc != meter.ssrc:
                    return None
                found.append((meter, packets, sequence))
                left -= packets
        if left:
            return None
        for meter, packets, sequence in found:
            meter.take_many(packets, sequence)
        return sum(lengths)

"""The Opus track of a checked viewer: packets in order, and whether their RTP times follow each other."""

from __future__ import annotations

from bench.media_sample import SampleTaker
from wire.codecs.opus import packet_samples
from wire.errors import WireError
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import InOrder, ReorderBuffer
from wire.rtp.sequence import Unwrapper

__all__ = ["SoundProbe"]

GIVE_UP_S = 0.1  # for what was overtaken: sound is not asked for again


class SoundProbe:
    """`receive` each packet in clear. Counted while `measuring`: `packets` in order, `lost`, `gaps` (RTP time that no
    packet fills although none is missing), `steps_back` (RTP time that overlaps) and `malformed`.
    """

    def __init__(self, taker: SampleTaker | None = None) -> None:
        self.measuring = False
        self._taker = taker
        self.packets = self.gaps = self.steps_back = self.malformed = 0
        self._order = ReorderBuffer(give_up_after=GIVE_UP_S)
        self._unwrap = Unwrapper(32)
        self._due: int | None = None
        self._lost_before = 0

    @property
    def lost(self) -> int:
        return self._order.lost - self._lost_before

    def measure(self) -> None:
        self.measuring = True
        self.packets = self.gaps = self.steps_back = self.malformed = 0
        self._lost_before = self._order.lost

    def receive(self, packet: RtpPacket, now: float) -> None:
        self._take(self._order.receive(packet, now), now)

    def handle_timeout(self, now: float) -> None:
        due = self._order.next_timeout()
        if due is not None and now >= due:
            self._take(self._order.handle_timeout(now), now)

    def _take(self, items: list[InOrder], now: float) -> None:
        for item in items:
            if item.packet.payload:  # else it is padding
                self._hear(item.packet, now, after_gap=item.after_gap)

    def _hear(self, packet: RtpPacket, now: float, *, after_gap: bool) -> None:
        time = self._unwrap(packet.timestamp)
        try:
            samples = packet_samples(packet.payload)
        except WireError:
            self.malformed += 1
            self._due = None
            return
        if self.measuring:
            self.packets += 1
            if self._due is not None and not after_gap:
                self.gaps += time > self._due
                self.steps_back += time < self._due
        self._due = time + samples
        if self._taker is not None:
            self._taker.sound(time, packet.payload, now)

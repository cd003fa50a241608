"""The packets of one kind of media of one publisher: which of them count, in order, and what to ask for again."""

from __future__ import annotations

from collections import Counter

from ingest.reception import ReceptionStatistics
from ingest.whip_offer import Incoming
from wire.errors import WireError
from wire.rtp import extensions, rtx
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import InOrder, ReorderBuffer
from wire.rtp.sequence import sequence_distance

__all__ = ["RtpReceiver"]

PATIENCE = 0.3
"""Seconds that a hole waits: three requests on a path of 100 ms. Then a keyframe is asked for instead."""
REORDERING = 0.06
"""Seconds. Without retransmissions a hole only waits for packets that overtook each other."""
SOURCE_SILENCE = 0.5
"""Seconds. A new SSRC takes over when the old one has been silent for so long: a publisher never sends two at once."""
MAX_LAYERS = 16
"""SSRCs whose simulcast layer is remembered: three or four layers and their retransmissions."""


class RtpReceiver:
    """`ssrc` is the source in use; when it changes, clocks and codec state begin anew."""

    def __init__(self, incoming: Incoming) -> None:
        self.incoming = incoming
        self.ssrc: int | None = None
        self.discarded: Counter[str] = Counter()
        self.asked = 0
        self.lost = 0
        self.repaired = 0
        self.statistics: ReceptionStatistics
        self._buffer: ReorderBuffer
        self._may_ask = incoming.wants("nack")
        self._heard_at = float("-inf")
        self._newest = 0
        self._layers: dict[int, str] = {}
        self._renew()

    def __repr__(self) -> str:
        return f"<RtpReceiver {self.incoming.codec} ssrc={self.ssrc} {self._buffer!r}>"

    def receive(self, packet: RtpPacket, values: dict[int, bytes], now: float) -> list[InOrder]:
        """Take one packet, retransmissions too; `values` are its header extensions. Returns what is in order now."""
        retransmission = self.incoming.retransmission
        is_repair = retransmission is not None and packet.payload_type == retransmission.payload_type
        if not self._is_wanted_layer(packet.ssrc, values, is_repair=is_repair):
            self.discarded["other layer"] += 1
            return []
        original = self._unwrap_repair(packet) if is_repair else self._note_original(packet, now)
        return [] if original is None else self._buffer.receive(original, now)

    def requests(self, now: float, rtt: float) -> tuple[int, ...]:
        """Sequence numbers to ask for now."""
        due = self._buffer.next_timeout()
        if not self._may_ask or due is None or due > now:
            return ()
        wanted = self._buffer.requests(now, rtt)
        self.asked += len(wanted)
        return wanted

    def handle_timeout(self, now: float) -> list[InOrder]:
        """Give up what is missing for too long; returns what is in order now, the first of it marked."""
        return self._buffer.handle_timeout(now)

    def totals(self) -> tuple[int, int]:
        """Packets given up, and packets that were missing and came."""
        return self.lost + self._buffer.lost, self.repaired + self._buffer.repaired

    def _renew(self) -> None:
        buffer = getattr(self, "_buffer", None)
        if buffer is not None:
            self.lost += buffer.lost
            self.repaired += buffer.repaired
        self._buffer = ReorderBuffer(give_up_after=PATIENCE if self._may_ask else REORDERING)
        self.statistics = ReceptionStatistics(self.incoming.payload.clock_rate)

    def _note_original(self, packet: RtpPacket, now: float) -> RtpPacket | None:
        if packet.ssrc != self.ssrc:
            if self.ssrc is not None:
                if now - self._heard_at < SOURCE_SILENCE:
                    self.discarded["second source"] += 1
                    return None
                self._renew()
            self.ssrc = packet.ssrc
            self._newest = packet.sequence
        self._heard_at = now
        if sequence_distance(packet.sequence, self._newest) > 0:
            self._newest = packet.sequence
        self.statistics.receive(packet.sequence, packet.timestamp, now)
        return packet

    def _unwrap_repair(self, packet: RtpPacket) -> RtpPacket | None:
        if self.ssrc is None:
            return None
        try:
            original = rtx.unwrap(packet, payload_type=self.incoming.payload.payload_type, ssrc=self.ssrc)
        except WireError:
            self.discarded["malformed"] += 1
            return None
        if original is not None and sequence_distance(original.sequence, self._newest) > 0:
            # nobody can have missed it yet, and a wrong number here would make a hole of all that comes
            self.discarded["repair of the future"] += 1
            return None
        return original

    def _is_wanted_layer(self, ssrc: int, values: dict[int, bytes], *, is_repair: bool) -> bool:
        wanted = self.incoming.rid
        if wanted is None:
            return True
        layer = self._layers.get(ssrc)
        if layer is None:
            # RFC 8852, 3: senders leave the name out once they know that it has arrived
            uri = extensions.REPAIRED_STREAM_ID if is_repair else extensions.STREAM_ID
            value = values.get(self.incoming.extension_ids.get(uri, 0))
            if value is None or len(self._layers) >= MAX_LAYERS:
                return False
            layer = self._layers[ssrc] = value.decode("ascii", "replace")
        return layer == wanted

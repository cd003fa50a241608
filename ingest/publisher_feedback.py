"""The RTCP that a publisher is sent: how its packets arrived, what to send again, and when a keyframe is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ingest.loss_estimate import LossEstimate
from ingest.rtp_receiver import RtpReceiver
from wire.errors import WireError
from wire.rtp import extensions, rtcp
from wire.rtp.packet import RtpPacket
from wire.rtp.twcc import ArrivalRecorder

__all__ = ["PublisherFeedback"]

TRANSPORT_INTERVAL = 0.05
"""Seconds. A browser sees a queue no sooner than it is told of one; more often costs more than it gives."""
REPORT_INTERVAL = 1.0
"""Seconds between receiver reports."""
KEYFRAME_INTERVAL = 0.3
"""Seconds between two requests for a keyframe: one needs a round trip and the time to be encoded."""
DEFAULT_RTT = 0.1
"""Seconds, until the publisher has answered a reference time."""
_NTP_UNIX = 2_208_988_800
_MIDDLE = 0xFFFFFFFF

Send = Callable[[Sequence[rtcp.RtcpPacket]], None]


class PublisherFeedback:
    """`send` takes one compound. `ssrc` is ours; `wall` reads the wall clock in Unix seconds."""

    def __init__(
        self, receivers: Sequence[RtpReceiver], send: Send, *, ssrc: int, wall: Callable[[], float], now: float
    ) -> None:
        self.rtt = DEFAULT_RTT
        self.keyframe_requests = 0
        self.estimate = LossEstimate()
        self._receivers = receivers
        self._video = next((receiver for receiver in receivers if receiver.incoming.is_video), None)
        self._send = send
        self._ssrc = ssrc
        self._wall = wall
        self._arrivals = ArrivalRecorder(ssrc)
        self._transport_at = self._report_at = now
        self._keyframe_at = float("-inf")
        self._fir_number = 0
        self._reduced = all(receiver.incoming.reduced_size for receiver in receivers)

    def note_arrival(self, receiver: RtpReceiver, packet: RtpPacket, values: dict[int, bytes], now: float) -> None:
        """Every packet counts, retransmissions and padding too: they all take room on the path."""
        value = values.get(receiver.incoming.extension_ids.get(extensions.TRANSPORT_SEQUENCE, 0))
        if value is None or not receiver.incoming.wants("transport-cc"):
            return
        try:
            self._arrivals.record(extensions.read_transport_sequence(value), now)
        except WireError:
            receiver.discarded["malformed"] += 1

    def note_dlrr(self, packet: rtcp.Dlrr) -> None:
        """RFC 3611, 4.5: the round trip, from our own reference time that comes back."""
        for ssrc, last, delay in packet.answers:
            if ssrc == self._ssrc and last:
                trip = ((self._ntp() >> 16 & _MIDDLE) - last - delay) & _MIDDLE
                if trip < 1 << 31:  # else the clocks' granularity made it negative
                    self.rtt = min(trip / 65536, 1.0)

    def ask_again(self, receiver: RtpReceiver, now: float) -> None:
        """Ask for what is missing, if it is time."""
        lost = receiver.requests(now, self.rtt)
        if lost and receiver.ssrc is not None:
            self._send_alone([rtcp.Nack(self._ssrc, receiver.ssrc, lost)])

    def ask_keyframe(self, now: float) -> None:
        """By PLI, or FIR where only that was agreed on. Too early after the last request nothing is sent."""
        video = self._video
        if video is None or video.ssrc is None or now - self._keyframe_at < max(KEYFRAME_INTERVAL, 2 * self.rtt):
            return
        self._keyframe_at = now
        self.keyframe_requests += 1
        if video.incoming.wants("ccm fir") and not video.incoming.wants("nack pli"):
            self._fir_number = (self._fir_number + 1) & 0xFF
            self._send_alone([rtcp.Fir(self._ssrc, ((video.ssrc, self._fir_number),))])
        else:
            self._send_alone([rtcp.Pli(self._ssrc, video.ssrc)])  # FFmpeg offers none, and may know it yet

    def tick(self, now: float) -> None:
        """Call it every 25 ms or so."""
        if now - self._transport_at >= TRANSPORT_INTERVAL:
            self._transport_at = now
            media = next((receiver.ssrc for receiver in self._receivers if receiver.ssrc is not None), 0)
            for feedback in self._arrivals.feedback(media):
                self._send_alone([feedback])
        if now - self._report_at >= REPORT_INTERVAL:
            self._report_at = now
            self._report(now)

    def goodbye(self, reason: str) -> None:
        self._send([rtcp.ReceiverReport(self._ssrc), rtcp.Bye((self._ssrc,), reason)])

    def _report(self, now: float) -> None:
        heard = [(receiver, receiver.ssrc) for receiver in self._receivers if receiver.ssrc is not None]
        blocks = tuple(receiver.statistics.report(ssrc, now) for receiver, ssrc in heard)
        packets: list[rtcp.RtcpPacket] = [
            rtcp.ReceiverReport(self._ssrc, blocks),
            rtcp.Sdes(((self._ssrc, "streamer"),)),
        ]
        if any(receiver.incoming.receiver_rtt for receiver in self._receivers):
            packets.append(rtcp.ReferenceTime(self._ssrc, self._ntp()))
        packets += self._remb(heard)
        self._send(packets)

    def _remb(self, heard: Iterable[tuple[RtpReceiver, int]]) -> Iterable[rtcp.Remb]:
        told = [(receiver, ssrc) for receiver, ssrc in heard if receiver.incoming.wants("goog-remb")]
        if told:
            worst = max(receiver.statistics.fraction_lost for receiver, _ in told)
            yield rtcp.Remb(self._ssrc, self.estimate.update(worst), tuple(ssrc for _, ssrc in told))

    def _send_alone(self, packets: list[rtcp.RtcpPacket]) -> None:
        # RFC 5506, 3.4.2: without an agreement on reduced size every compound begins with a report
        self._send(packets if self._reduced else [rtcp.ReceiverReport(self._ssrc), *packets])

    def _ntp(self) -> int:
        return int((self._wall() + _NTP_UNIX) * (1 << 32))

"""One WHIP publisher: its peer, what its packets become, and its place in the hub."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ingest.av_sync import AvSync
from ingest.endpoint import WebRtcPort
from ingest.publisher_feedback import PublisherFeedback
from ingest.rtp_receiver import RtpReceiver
from ingest.rtp_units import UnitMaker, make_units
from ingest.whip_offer import Incoming
from media.clock import Clock
from media.hub import ClaimRefused, Hub
from media.publisher import Publisher
from media.reasons import ENDED, IDLE, PROTOCOL, VANISHED, Reason
from media.stream import Kinds
from media.unit import AccessUnit
from wire.errors import WireError
from wire.rtp import extensions, rtcp
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import InOrder
from wire.webrtc import CloseCause, Connected, PeerClosed, PeerEvent, RtcpReceived, RtpReceived

__all__ = ["WhipCounters", "WhipSession"]

_log = logging.getLogger(__name__)

KEYFRAME_EVERY = 2.5
"""Seconds without a keyframe after which one is asked for. Browsers make none by themselves, and a group of pictures is
what a joiner gets at once and what a viewer waits for that fell behind. Encoders with the usual 2 s are never asked."""

_REASONS = {
    CloseCause.SILENT: VANISHED,
    CloseCause.NO_CHECK: IDLE,
    CloseCause.HANDSHAKE: PROTOCOL,
    CloseCause.GOODBYE: ENDED,
    CloseCause.FAILED: PROTOCOL,
}


@dataclass(slots=True)
class WhipCounters:
    """Plain counts, of one publisher or of all together. `dropped` are pictures and sounds."""

    packets: int = 0
    bytes: int = 0
    asked: int = 0
    repaired: int = 0
    lost: int = 0
    keyframe_requests: int = 0
    dropped: int = 0

    def add(self, other: WhipCounters) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class _Lane:
    """One kind of media on its way from packets to units."""

    def __init__(self, incoming: Incoming) -> None:
        self.incoming = incoming
        self.receiver = RtpReceiver(incoming)
        self.units: UnitMaker = make_units(incoming)
        self.ssrc: int | None = None
        self.dropped: Counter[str] = Counter()

    @property
    def is_video(self) -> bool:
        return self.incoming.is_video

    def renew(self) -> None:
        """Another source: what the old one left behind means nothing."""
        self.dropped.update(self.units.dropped)
        self.units = make_units(self.incoming)


class WhipSession:
    """Owns one port. `on_closed(session, reason)` is called once, at the end.

    Calls to make: `bind` right after the port is open, `tick` every 25 ms or so, `end` to close it. The room is
    claimed when the keys are agreed on, so that a publisher whose packets never arrive takes nothing from anybody.
    """

    def __init__(
        self,
        secret: str,
        room: str,
        hub: Hub,
        incoming: Sequence[Incoming],
        *,
        clock: Clock,
        ssrc: int,
        client: str,
        number: int,
        idle: float,
        on_closed: Callable[[WhipSession, Reason], None],
    ) -> None:
        self.secret = secret
        self.room = room
        self.client = client
        self.number = number
        self.generation = 1
        self.created_at = clock.now()
        self.publisher: Publisher | None = None
        self.port: WebRtcPort
        self._hub = hub
        self._clock = clock
        self._idle = idle
        self._on_closed = on_closed
        self._lanes = [_Lane(entry) for entry in incoming]
        self._by_type = {number: lane for lane in self._lanes for number in _payload_types(lane.incoming)}
        kinds = Kinds(video=any(lane.is_video for lane in self._lanes), audio=not all(x.is_video for x in self._lanes))
        self._kinds = kinds
        self._sync = AvSync(video=bool(kinds.video), audio=bool(kinds.audio))
        self._feedback = PublisherFeedback(
            [lane.receiver for lane in self._lanes], self._send, ssrc=ssrc, wall=clock.wall, now=self.created_at
        )
        self._packets = self._bytes = 0
        self._heard_at = self.created_at
        self._group_at: float | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<WhipSession {self.room} conn={self.number} publishing={self.is_publishing}>"

    @property
    def is_publishing(self) -> bool:
        return self.publisher is not None and self.publisher.is_active

    @property
    def rtt(self) -> float:
        """Seconds to the publisher and back, as far as it is known."""
        return self._feedback.rtt

    @property
    def skew(self) -> float | None:
        """Ticks between sound and picture that are still being corrected; None where the publisher does not say."""
        return self._sync.skew

    def bind(self, port: WebRtcPort) -> None:
        self.port = port

    def counters(self) -> WhipCounters:
        counters = WhipCounters(self._packets, self._bytes, keyframe_requests=self._feedback.keyframe_requests)
        for lane in self._lanes:
            lost, repaired = lane.receiver.totals()
            counters.lost += lost
            counters.repaired += repaired
            counters.asked += lane.receiver.asked
            counters.dropped += lane.dropped.total() + lane.units.dropped.total()
        return counters

    def on_events(self, events: Sequence[PeerEvent], now: float) -> None:
        for event in events:
            if self._is_closed:
                return
            if isinstance(event, RtpReceived):
                self._on_rtp(event.packet, event.waited, now)
            elif isinstance(event, RtcpReceived):
                self._on_rtcp(event.packets, now)
            elif isinstance(event, Connected):
                self._claim(now)
            elif isinstance(event, PeerClosed):
                self._close(_REASONS.get(event.cause, ENDED), event.detail, clean=event.cause is CloseCause.GOODBYE)
        if not self._is_closed:
            self.port.flush()

    def tick(self, now: float) -> None:
        """Everything that is due without a packet."""
        if self.publisher is None or self._is_closed:
            return
        if now - self._heard_at > self._idle:
            self.end(VANISHED, f"no media for {self._idle:g} s")
            return
        for lane in self._lanes:
            self._take(lane, lane.receiver.handle_timeout(now), now)
            self._feedback.ask_again(lane.receiver, now)
        self._publish(self._sync.handle_timeout(now))
        if self._group_at is not None and now - self._group_at >= KEYFRAME_EVERY:
            self._group_at = now  # OBS answers no request
            self._feedback.ask_keyframe(now)
        self._feedback.tick(now)
        self.port.flush()

    def end(self, reason: Reason, detail: str = "", *, clean: bool = False) -> None:
        """Close it from our side, with a goodbye that names the reason. `clean`: the publisher asked for it."""
        if self._is_closed:
            return
        self._feedback.goodbye(str(reason))
        self._close(reason, detail, clean=clean)

    def _claim(self, now: float) -> None:
        self._heard_at = now
        try:
            publisher = self._hub.claim(self.room, peer=self.client, on_displaced=self.end)
        except ClaimRefused as exc:
            self.end(exc.reason, str(exc))
            return
        self.publisher = publisher
        publisher.expect(self._kinds)
        publisher.on_keyframe_wanted(self._request_keyframe)
        _log.info("publishing after %.0f ms", 1000 * (now - self.created_at), extra=self._fields)

    def _on_rtp(self, packet: RtpPacket, waited: float, now: float) -> None:
        lane = self._by_type.get(packet.payload_type)
        if lane is None or self.publisher is None:
            return  # a payload type that the answer did not take
        self._heard_at = now
        self._packets += 1
        self._bytes += len(packet.payload)
        values = _extension_values(packet)
        # when we got round to it is none of the path's doing
        self._feedback.note_arrival(lane.receiver, packet, values, now - waited)
        self._take(lane, lane.receiver.receive(packet, values, now), now)
        self._feedback.ask_again(lane.receiver, now)

    def _take(self, lane: _Lane, items: Iterable[InOrder], now: float) -> None:
        if lane.receiver.ssrc != lane.ssrc:
            if lane.ssrc is not None:
                lane.renew()
                self._sync.restart(video=lane.is_video)
            lane.ssrc = lane.receiver.ssrc
        for item in items:
            for unit in lane.units.receive(item):
                self._publish(self._sync.push(unit, now))
        if lane.units.wants_keyframe:
            self._feedback.ask_keyframe(now)

    def _publish(self, units: Iterable[AccessUnit]) -> None:
        if self.publisher is not None:
            for unit in units:
                if unit.is_video and unit.keyframe:
                    self._group_at = self._clock.now()
                self.publisher.publish(unit)

    def _on_rtcp(self, packets: Sequence[rtcp.RtcpPacket], now: float) -> None:
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport):
                self._on_sender_report(packet, now)
            elif isinstance(packet, rtcp.Dlrr):
                self._feedback.note_dlrr(packet)

    def _on_sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        lane = next((lane for lane in self._lanes if lane.receiver.ssrc == report.ssrc), None)
        if lane is not None:
            lane.receiver.statistics.note_sender_report(report.ntp, now)
            self._publish(self._sync.note_report(report, video=lane.is_video))

    def _request_keyframe(self) -> None:
        """For the stream: somebody who reads it cannot go on without one."""
        self._feedback.ask_keyframe(self._clock.now())
        self.port.flush()

    def _send(self, packets: Sequence[rtcp.RtcpPacket]) -> None:
        self.port.peer.send_rtcp(packets)

    def _close(self, reason: Reason, detail: str, *, clean: bool) -> None:
        self._is_closed = True
        if self.publisher is not None:
            self.publisher.release(clean=clean)
        self.port.flush()
        self.port.close()
        counters = self.counters()
        _log.info(
            "publisher closed: %s%s, %d packets, %d lost, %d repaired",
            *(reason, f" ({detail})" if detail else ""),
            *(counters.packets, counters.lost, counters.repaired),
            extra=self._fields,
        )
        self._on_closed(self, reason)

    @property
    def _fields(self) -> dict[str, str]:
        return {"room": self.room, "conn": f"whip-{self.number}", "peer": self.client}


def _payload_types(incoming: Incoming) -> list[int]:
    codecs = (incoming.payload, incoming.retransmission)
    return [codec.payload_type for codec in codecs if codec is not None]


def _extension_values(packet: RtpPacket) -> dict[int, bytes]:
    if packet.extension_profile is None:
        return {}
    try:
        return extensions.parse(packet.extension_profile, packet.extension)
    except WireError:
        return {}  # the media is still good

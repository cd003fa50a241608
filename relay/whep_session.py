"""One WHEP viewer: its peer, its place in the shared packets, and what its reports ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from media.reasons import ENDED, IDLE, RECONNECT, VANISHED, Reason
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND
from relay.endpoint import WebRtcPort
from relay.path_estimate import PathEstimate
from relay.rtp_batch import HeaderKey, SharedPacket, rtp_header
from relay.rtp_packager import RtpPackager
from relay.rtp_target import RtpTarget
from relay.rtx_probe import RtxProbe
from relay.whep_offer import Chosen
from relay.whep_seat import WhepSeat
from wire.rtp import rtcp, rtx
from wire.rtp.history import DEFAULT_CAPACITY
from wire.webrtc import AddressChanged, CloseCause, Connected, PeerClosed, PeerEvent, RtcpReceived

__all__ = ["SessionCounters", "WhepSession"]

_log = logging.getLogger(__name__)

FIRST_REPORTS = 3
"""Sender reports of each stream that follow each other quickly: browsers bring lips and sound together after two."""
FIRST_REPORT_INTERVAL = 1.0
REPORT_INTERVAL = 5.0
"""Seconds between later ones (RFC 3550, 6.2): both kinds count the same media time, so nothing is left to correct."""
REPLAY_INTERVAL = 2.0
"""Seconds between two replays of the group of pictures to one viewer."""
FIRST_REPLAY_INTERVAL = 0.5
"""The same for a viewer that has got nothing yet."""
REPAIR_RATE = 500
"""Packets a second that one viewer can have sent again: twice a 2.5 Mb/s stream. More is no repair."""
REPAIR_BURST = 1000
REPEAT_AFTER = 0.02
"""Seconds before the same packet is sent again: a NACK may be repeated before its answer arrives."""
MAX_REPEATS_REMEMBERED = 1024
HEAR_INTERVAL = 1.9
"""Seconds between two looks at reports that say that all is well, of a viewer that needs nothing better."""
STEADY = 15 / 16
"""An estimate that is at least this share of the one before it is no news: it wavers a little."""
_NTP_UNIX = 2_208_988_800
"""Seconds from 1900 to 1970."""

_REASONS = {
    CloseCause.SILENT: VANISHED,
    CloseCause.NO_CHECK: IDLE,
    CloseCause.HANDSHAKE: IDLE,
    CloseCause.FAILED: RECONNECT,
}


@dataclass(slots=True)
class SessionCounters:
    """Plain counts, of one viewer or of all together."""

    repaired: int = 0
    unrepaired: int = 0
    keyframe_requests: int = 0
    replays: int = 0
    skips: int = 0
    packets: int = 0
    octets: int = 0

    def add(self, other: SessionCounters) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class _Lane:
    """One RTP stream of this viewer; `target` is None before the handshake is over."""

    chosen: Chosen
    packager: RtpPackager
    target: RtpTarget | None = None
    reports: int = 0

    @property
    def is_sending(self) -> bool:
        return self.target is not None and self.target.packets > 0


class WhepSession:
    """Owns one port. `on_closed(session, reason)` is called once, at the end.

    Calls to make: `bind` right after the port is open, `tick` about once a second, `end` to close it. `seat` says which
    rendition it is sent where there are several, and `prober` finds out whether its path carries a better one.
    """

    def __init__(
        self,
        secret: str,
        stream: Stream,
        lanes: Sequence[tuple[Chosen, RtpPackager]],
        *,
        client: str,
        number: int,
        now: float,
        on_closed: Callable[[WhepSession, Reason], None],
    ) -> None:
        self.secret = secret
        self.stream = stream
        self.client = client
        self.number = number
        self.created_at = now
        self.connected_at: float | None = None
        self.generation = 1
        self.counters = SessionCounters()
        self.estimate = PathEstimate()
        self.port: WebRtcPort
        self.seat: WhepSeat | None = None
        self.prober: RtxProbe | None = None
        self._lanes = [_Lane(chosen, packager) for chosen, packager in lanes]
        self._on_closed = on_closed
        self._is_closed = False
        self._was_heard = False
        self._is_probed = False
        self._replayed_at = float("-inf")
        self._reported_at = float("-inf")
        self._heard_at = float("-inf")
        self._rtx_index = 0
        self._repairs_left = float(REPAIR_BURST)
        self._repairs_at = now
        self._repeated: dict[int, float] = {}
        self._repairs_from = 0

    def __repr__(self) -> str:
        return f"<WhepSession {self.stream.key} conn={self.number} connected={self.connected_at is not None}>"

    @property
    def is_watching(self) -> bool:
        return self.connected_at is not None and not self._is_closed

    @property
    def id(self) -> str:
        """For operators: the secret in its address is the viewer's alone."""
        return f"whep-{self.number}"

    @property
    def renditions(self) -> tuple[str, ...]:
        """What it is sent, picture first."""
        return tuple(lane.packager.track.rendition for lane in self._lanes)

    @property
    def target(self) -> RtpTarget | None:
        """Of its picture; None before the handshake is over, or where there is no picture."""
        lane = self._picture
        return None if lane is None else lane.target

    @property
    def octets(self) -> int:
        """Payload bytes that it was sent so far, repeats left out."""
        return sum(lane.target.octets for lane in self._lanes if lane.target is not None)

    @property
    def losses(self) -> tuple[int, int]:
        """Packets of its picture that it asked for again, and packets that it was sent, so far."""
        asked = self.counters.repaired + self.counters.unrepaired
        return asked, 0 if self.target is None else self.target.packets

    def sit(self, packager: RtpPackager) -> None:
        """Its picture comes from here from now on."""
        lane = self._picture
        if lane is not None and lane.packager is not packager:
            before, lane.packager = lane.packager, packager
            packager.enter(self)
            before.leave(self, None)

    def forget_losses(self) -> None:
        """Repair nothing of what was sent up to now: a keyframe follows."""
        target = self.target
        if target is not None:
            self._repairs_from = target.next_own

    def probe(self, bits_per_second: int) -> None:
        """Fill the path up to this rate; 0 ends it. Nothing happens where the viewer takes no repeats."""
        lane = self._picture
        if self.prober is None or lane is None or lane.target is None or lane.chosen.retransmission is None:
            return
        sent = self.stream.bitrate(lane.packager.track.rendition) or 0
        fill = max(0, bits_per_second - sent) if bits_per_second else 0
        self.prober.fill(fill, lane.target)
        if (fill > 0) is not self._is_probed:
            self._is_probed = fill > 0
            self.port.read_reports(aside=not self._is_probed)  # each one may say that it was too much

    def repeat(self, own: int, packet: SharedPacket, now: float) -> None:
        """Send one packet of the picture again, though nobody asked; by RTX only, where it counts as what it is."""
        lane = self._picture
        if lane is None or lane.target is None or lane.chosen.retransmission is None:
            return
        if self.is_watching:
            self._send_again(lane, lane.target, own, packet, now)

    def lose(self, packager: RtpPackager, reason: Reason) -> None:
        """A packager has ended. Only the end of a rung is not the end."""
        if self._is_closed or (self.seat is not None and self.seat.lose(packager, reason)):
            return
        self.end(reason)

    def give_up(self) -> None:
        """Nothing can be shown to it any more."""
        self.end(RECONNECT)

    def bind(self, port: WebRtcPort) -> None:
        self.port = port
        for lane in self._lanes:
            lane.packager.enter(self)

    def totals(self) -> SessionCounters:
        """The counters together with what its targets have counted so far."""
        totals = SessionCounters()
        totals.add(self.counters)
        for lane in self._lanes:
            if lane.target is not None:
                totals.packets += lane.target.packets
                totals.octets += lane.target.octets
                totals.skips += lane.target.skips
        return totals

    def bits_per_second(self, now: float) -> int:
        """What the path to this viewer is thought to carry."""
        return self.estimate.bits_per_second(now)

    def on_events(self, events: Sequence[PeerEvent], now: float) -> None:
        for event in events:
            if self._is_closed:
                return
            if isinstance(event, RtcpReceived):
                self._on_rtcp(event.packets, now)
            elif isinstance(event, Connected):
                self._start(now)
            elif isinstance(event, AddressChanged):
                self._reroute()
            elif isinstance(event, PeerClosed):
                self._close(_REASONS.get(event.cause, ENDED), event.detail)

    def tick(self, now: float) -> None:
        """Hear what was reported, and send reports when they are due."""
        is_content = self.seat is None or self.seat.is_content
        if not is_content or now - self._heard_at >= HEAR_INTERVAL:
            self._heard_at = now
            self._hear()
        if self.is_watching and now - self._reported_at >= self._report_interval():
            self._report(now)
        if self.seat is not None and self.is_watching:
            self.seat.glance(now)

    def end(self, reason: Reason) -> None:
        """Close it from our side, with a goodbye that names the reason."""
        if self._is_closed:
            return
        ssrcs = tuple(lane.chosen.ssrc for lane in self._lanes)
        self.port.peer.send_rtcp([rtcp.ReceiverReport(ssrcs[0]), rtcp.Bye(ssrcs, str(reason))])
        self._close(reason)

    def _start(self, now: float) -> None:
        """The handshake is over: media may go out."""
        sender = self.port.peer.sender
        assert sender is not None, "a connected peer has keys"
        self.connected_at = now
        self.port.read_reports(aside=True)
        for lane in self._lanes:
            chosen = lane.chosen
            key = lane.packager.share_header(HeaderKey(chosen.ssrc, chosen.codec.payload_type, chosen.send_time_id))
            repeat = self.repeat if lane.packager.is_video and "nack" in chosen.codec.feedback else None
            lane.target = RtpTarget(key, sender, self.port, repeat=repeat)
            lane.packager.join(lane.target)
        self._pair()
        self._report(now)
        _log.info(
            "viewer joined after %.0f ms",
            1000 * (now - self.created_at),
            extra={"room": self.stream.key, "conn": self.number, "peer": self.client},
        )

    def _pair(self) -> None:
        """Sound may leave with the picture: they share a path."""
        picture, sound = self._picture, self._lanes[-1]
        if picture is not None and picture.target is not None and sound is not picture:
            picture.target.rider = sound.target

    def _reroute(self) -> None:
        for lane in self._lanes:
            if lane.target is not None:
                lane.target.route = self.port.route
                lane.packager.sender.reroute(lane.target)

    def _report_interval(self) -> float:
        is_young = any(lane.reports < FIRST_REPORTS for lane in self._lanes if lane.is_sending)
        return FIRST_REPORT_INTERVAL if is_young else REPORT_INTERVAL

    def _report(self, now: float) -> None:
        """Sender reports. Both kinds map RTP time to one clock: media time, counted from the start of the broadcast."""
        self._reported_at = now
        packets: list[rtcp.RtcpPacket] = []
        for lane in self._lanes:
            target, packager = lane.target, lane.packager
            if target is None or not target.packets:
                continue
            lane.reports += 1
            ntp = self._ntp(packager.last_t)
            self.estimate.note_sent(ntp, now)
            packets.append(
                rtcp.SenderReport(
                    lane.chosen.ssrc, ntp, packager.rtp_time, target.packets & 0xFFFFFFFF, target.octets & 0xFFFFFFFF
                )
            )
            packets.append(rtcp.Sdes(((lane.chosen.ssrc, "streamer"),)))
        if packets:
            self.port.peer.send_rtcp(packets)
            self.port.flush()
        else:
            self._reported_at = float("-inf")  # nothing was sent yet: try again at the next tick

    def _ntp(self, t: int) -> int:
        return int((_NTP_UNIX + self.stream.started_at + t / TICKS_PER_SECOND) * (1 << 32))

    def _hear(self) -> None:
        """The plain reports that did not come by `on_events`."""
        reports = self.port.reports()
        if reports is None:
            return
        for at, block in reports.blocks:
            self._on_report(block, at)
        if reports.remb is not None:
            self.estimate.note_remb(reports.remb, reports.at)

    def _on_rtcp(self, packets: Sequence[rtcp.RtcpPacket], now: float) -> None:
        self._hear()
        was_heard = self._was_heard
        is_broken = has_news = False
        for packet in packets:
            if isinstance(packet, (rtcp.ReceiverReport, rtcp.SenderReport)):
                for block in packet.reports:
                    has_news = has_news or block.fraction_lost > 0
                    self._on_report(block, now)
            elif isinstance(packet, rtcp.Nack):
                has_news = True
                self._repair(packet, now)
            elif isinstance(packet, (rtcp.Pli, rtcp.Fir)):
                is_broken = has_news = True
            elif isinstance(packet, rtcp.Remb):
                has_news = has_news or packet.bitrate < STEADY * (self.estimate.remb(now) or 0)
                self.estimate.note_remb(packet.bitrate, now)
            elif isinstance(packet, rtcp.ReferenceTime):
                self._answer_reference(packet)
        if is_broken:
            self._refresh(was_heard, now)
        if self.seat is not None and self.is_watching and (has_news or not self.seat.is_content):
            self.seat.look(now)  # else `tick` does it, for many viewers at once

    def _on_report(self, block: rtcp.ReportBlock, now: float) -> None:
        lane = self._lane(block.ssrc)
        if lane is not None:
            self._was_heard = self._was_heard or lane.packager.is_video
            is_first = lane is self._lanes[0]  # the picture's, where there is one: it has nearly all of the packets
            self.estimate.note_report(block, lane.chosen.codec.clock_rate, now, counts=is_first)

    def _answer_reference(self, packet: rtcp.ReferenceTime) -> None:
        # RFC 3611, 4.5: the delay is nothing, because the answer leaves at once
        self.port.peer.send_rtcp(
            [rtcp.Dlrr(self._lanes[0].chosen.ssrc, ((packet.ssrc, packet.ntp >> 16 & 0xFFFFFFFF, 0),))]
        )
        self.port.flush()

    def _refresh(self, was_heard: bool, now: float) -> None:
        """A PLI or FIR. Until a report has named our picture, nothing has arrived: the last DTLS flight was lost."""
        self.counters.keyframe_requests += 1
        lane = self._picture
        interval = REPLAY_INTERVAL if was_heard else FIRST_REPLAY_INTERVAL
        started = self._replayed_at if self.connected_at is None else max(self._replayed_at, self.connected_at)
        if lane is None or lane.target is None or now - (self._replayed_at if was_heard else started) < interval:
            return
        if lane.packager.refresh(lane.target, at_once=not was_heard):
            self._replayed_at = now
            self.counters.replays += 1

    def _repair(self, nack: rtcp.Nack, now: float) -> None:
        lane = self._lane(nack.media_ssrc)
        if lane is None or lane.target is None:
            return
        self._was_heard = self._was_heard or lane.packager.is_video
        self._repairs_left = min(REPAIR_BURST, self._repairs_left + REPAIR_RATE * (now - self._repairs_at))
        self._repairs_at = now
        for sequence in nack.lost:
            found = lane.target.locate(sequence)
            is_past = found is not None and lane.packager.is_video and found[0] < self._repairs_from
            # the history of a rung that it has left keeps what SRTP no longer sends again
            is_old = found is not None and lane.target.next_own - found[0] > DEFAULT_CAPACITY
            if found is None or is_past or is_old or self._repairs_left < 1:
                self.counters.unrepaired += 1
                continue
            own, packet = found
            if now - self._repeated.get(own, float("-inf")) < REPEAT_AFTER:
                continue
            self._remember(own, now)
            self._repairs_left -= 1
            self.counters.repaired += self._send_again(lane, lane.target, own, packet, now)

    def _remember(self, own: int, now: float) -> None:
        if len(self._repeated) >= MAX_REPEATS_REMEMBERED:
            self._repeated.clear()
        self._repeated[own] = now

    def _send_again(self, lane: _Lane, target: RtpTarget, own: int, packet: SharedPacket, now: float) -> bool:
        chosen = lane.chosen
        if chosen.retransmission is None:
            # the same bytes under the same index, which GCM allows: the header carries no time here
            header = rtp_header(packet, target.header, own & 0xFFFF, 0.0)
            return self.port.send(target.sender.protect(header + packet.payload, own))
        outgoing = chosen.acceptance.outgoing
        assert outgoing is not None
        assert outgoing.rtx_ssrc is not None
        self._rtx_index += 1
        key = HeaderKey(outgoing.rtx_ssrc, chosen.retransmission.payload_type, chosen.send_time_id)
        header = rtp_header(packet, key, self._rtx_index & 0xFFFF, now)
        payload = rtx.wrap_payload(own & 0xFFFF, packet.payload)
        return self.port.send(target.sender.protect(header + payload, self._rtx_index))

    @property
    def _picture(self) -> _Lane | None:
        lane = self._lanes[0]
        return lane if lane.packager.is_video else None

    def _lane(self, ssrc: int) -> _Lane | None:
        for lane in self._lanes:
            if lane.chosen.ssrc == ssrc:
                return lane
        return None

    def _close(self, reason: Reason, detail: str = "") -> None:
        self._is_closed = True
        self.counters = self.totals()
        if self.seat is not None:
            self.seat.close()
        for lane in self._lanes:
            target, lane.target = lane.target, None
            if target is not None:
                target.rider = None
            lane.packager.leave(self, target)
        self.port.close()
        _log.info(
            "viewer closed: %s%s, %d packets, %d repaired, %d replays",
            *(reason, f" ({detail})" if detail else ""),
            *(self.counters.packets, self.counters.repaired, self.counters.replays),
            extra={"room": self.stream.key, "conn": self.number, "peer": self.client},
        )
        self._on_closed(self, reason)

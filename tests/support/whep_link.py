"""A whole WHEP viewing in fake time: stream, packager, session, two real peers, and a bad link between them.

The viewer asks for what is missing, gives up after a while, and then asks for a keyframe, as browsers do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from media.gop import GopLimits
from media.reasons import Reason
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND
from relay.endpoint import UdpRoute
from relay.fanout import PacketFanOut
from relay.report_inbox import Reports
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import FanOuts
from relay.whep_offer import SourceIds, choose
from relay.whep_session import WhepSession
from tests.support.link import Conditions
from tests.support.offers import offer
from tests.support.scheduler import FakeScheduler
from tests.support.units import FakeClock, picture
from tests.support.webrtc_pair import Pair
from wire.rtp import rtcp, rtx
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import InOrder, ReorderBuffer
from wire.webrtc import RtpReceived, WebRtcPeer

IDS = SourceIds(video=1111, audio=2222, retransmission=3333)
FRAME_INTERVAL = 1 / 30
REPORT_INTERVAL = 1.0
VIEWER_SSRC = 77
GOP = 60


class PairPort:
    """The server's end of the pair as a port."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.closed = False
        self.log: list[bytes] = []

    @property
    def peer(self) -> WebRtcPeer:
        return self._pair.server

    @property
    def route(self) -> UdpRoute | None:
        return None

    def send(self, datagram: bytes) -> bool:
        self.log.append(datagram)
        self._pair.down.send(datagram, self._pair.now)
        return True

    def read_reports(self, *, aside: bool) -> None:
        pass

    def reports(self) -> Reports | None:
        return None

    def flush(self) -> None:
        self._pair.flush()

    def close(self) -> None:
        self.closed = True
        self._pair.server.close()
        self._pair.flush()


@dataclass
class Shown:
    """A picture that could be decoded, and when."""

    at: float
    rtp_time: int
    keyframe: bool
    nals: tuple[bytes, ...] = ()


@dataclass
class BrowserLike:
    """The receiving half of a browser."""

    rtt: float
    payload_type: int
    rtx_payload_type: int | None
    shown: list[Shown] = field(default_factory=list)
    asks: bool = True
    plis: int = 0
    nacks: int = 0
    repeats: int = 0
    buffer: ReorderBuffer = field(default_factory=ReorderBuffer)
    assembler: AccessUnitAssembler = field(default_factory=lambda: AccessUnitAssembler(H264Depacketiser()))
    broken: bool = True
    last_pli: float = float("-inf")
    highest: int = 0

    def receive(self, packet: RtpPacket, now: float) -> None:
        if packet.payload_type == self.rtx_payload_type:
            self.repeats += 1
            original = rtx.unwrap(packet, payload_type=self.payload_type, ssrc=IDS.video)
            if original is None:
                return
            packet = original
        self.highest = packet.sequence
        self._take(self.buffer.receive(packet, now), now)

    def feedback(self, now: float) -> list[rtcp.RtcpPacket]:
        self._take(self.buffer.handle_timeout(now), now)
        packets: list[rtcp.RtcpPacket] = []
        lost = self.buffer.requests(now, self.rtt)
        if lost and self.asks:
            self.nacks += 1
            packets.append(rtcp.Nack(VIEWER_SSRC, IDS.video, lost))
        if self.broken and self.buffer.received and now - self.last_pli > 0.2:
            self.last_pli = now
            self.plis += 1
            packets.append(rtcp.Pli(VIEWER_SSRC, IDS.video))
        return packets

    def _take(self, items: list[InOrder], now: float) -> None:
        for item in items:
            for unit in self.assembler.receive(item):
                self._show(unit, now)

    def _show(self, unit: RtpUnit, now: float) -> None:
        keyframe = any(nal[0] & 0x1F == 5 for nal in unit.nals)
        self.broken = not keyframe and (self.broken or unit.after_loss)
        if not self.broken:
            self.shown.append(Shown(now, unit.rtp_time & 0xFFFFFFFF, keyframe, unit.nals))


class WhepLink:
    """`run(seconds)`; a picture is published every `FRAME_INTERVAL` while `publishing`."""

    def __init__(
        self, conditions: Conditions | None = None, *, seed: int = 0, gop: int = GOP, keyframes_on_demand: bool = False
    ) -> None:
        self.conditions = conditions or Conditions()
        self.pair = Pair(self.conditions, seed=seed)
        self.clock = FakeClock(self.pair.now)
        self.scheduler = FakeScheduler(self.pair.now)
        self.stream = Stream("room", "epoch1", self.clock, GopLimits())
        self.publishing = True
        self.frames = 0
        self.gop = gop
        self.wanted = 0
        self.closed: list[Reason] = []
        self._next_frame = self.pair.now
        self._next_report = self.pair.now + REPORT_INTERVAL
        self._server_seen = self._caller_seen = 0
        self._force_keyframe = False
        if keyframes_on_demand:
            self.stream.on_keyframe_wanted = self._want_keyframe
        self.publish()
        description = offer("chromium-viewer")
        chosen = choose(description, self.stream.source_video, None, IDS, room="room")
        self.packager = RtpPackager(
            self.stream,
            chosen[0].track,
            FanOuts(PacketFanOut(), PacketFanOut()),
            scheduler=self.scheduler,
            now=self.scheduler.now,
            on_full=lambda callback: None,
        )
        self.port = PairPort(self.pair)
        self.session = WhepSession(
            "secret",
            self.stream,
            [(chosen[0], self.packager)],
            client="198.51.100.7",
            number=1,
            now=self.pair.now,
            on_closed=lambda session, reason: self.closed.append(reason),
        )
        self.session.bind(self.port)
        retransmission = chosen[0].retransmission
        self.viewer = BrowserLike(
            2 * self.conditions.delay + self.conditions.jitter,
            chosen[0].codec.payload_type,
            None if retransmission is None else retransmission.payload_type,
        )

    def publish(self) -> None:
        key = self._force_keyframe or self.frames % self.gop == 0
        self._force_keyframe = False
        t = self.frames * TICKS_PER_SECOND // 30
        self.stream.deliver(picture(t, key=key, size=30_000 if key else 9_000))
        self.frames += 1

    def run(self, seconds: float) -> None:
        end = self.pair.now + seconds
        while self.pair.now < end:
            self.step()

    def step(self) -> None:
        now = self.pair.now
        self.clock.time = now
        if now >= self._next_frame:
            self._next_frame += FRAME_INTERVAL
            if self.publishing:
                self.publish()
        self.scheduler.run_until(now)
        self.session.tick(now)
        self._view(now)
        self.pair.step()
        events = self.pair.server_events[self._server_seen :]
        self._server_seen = len(self.pair.server_events)
        if events:
            self.session.on_events(events, self.pair.now)

    def _view(self, now: float) -> None:
        for event in self.pair.caller_events[self._caller_seen :]:
            if isinstance(event, RtpReceived):
                self.viewer.receive(event.packet, now)
        self._caller_seen = len(self.pair.caller_events)
        if not self.pair.caller.connected:
            return
        feedback = self.viewer.feedback(now)
        if now >= self._next_report:
            self._next_report += REPORT_INTERVAL
            blocks = (rtcp.ReportBlock(IDS.video, 0, 0, self.viewer.highest, 0),) if self.viewer.buffer.received else ()
            feedback.insert(0, rtcp.ReceiverReport(VIEWER_SSRC, blocks))
        if feedback:
            self.pair.caller.send_rtcp(feedback)
            self.pair.flush()

    def longest_freeze(self, since: float) -> float:
        """The longest time without a new picture, in seconds, from `since` on."""
        times = [since, *(shown.at for shown in self.viewer.shown if shown.at > since), self.pair.now]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def _want_keyframe(self) -> None:
        self.wanted += 1
        self._force_keyframe = True

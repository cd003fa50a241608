"""A WHEP viewing of a ladder in fake time, whose pictures are decoded at the end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import av

from bench import barcode
from media.hub import Hub, HubLimits
from media.reasons import Reason
from media.rtp import rtp_origin
from media.rung import Rendition
from media.stream import Stream
from media.track import SOURCE, Codec
from relay.adaptation import Cause
from relay.fanout import PacketFanOut
from relay.renditions import list_renditions, rung_forecast, rung_track
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import FanOuts
from relay.rtx_probe import RtxProbe
from relay.whep_offer import choose, choose_picture
from relay.whep_seat import WhepSeat
from relay.whep_session import WhepSession
from tests.support.ladder import FPS, FRAME, Ladder, SourceFilm
from tests.support.link import Conditions
from tests.support.offers import offer
from tests.support.scheduler import FakeScheduler
from tests.support.units import FakeClock
from tests.support.webrtc_pair import Pair
from tests.support.whep_link import IDS, VIEWER_SSRC, BrowserLike, PairPort
from wire.rtp import rtcp
from wire.webrtc import RtpReceived

__all__ = ["LadderLink"]


@dataclass
class LadderLink:
    """`run(seconds)`: the ladder makes a step every 40 ms. `remb` is what the viewer reports as its estimate."""

    film: SourceFilm
    start: str = SOURCE
    wanted: str | None = None
    lag: int = 2
    conditions: Conditions = field(default_factory=Conditions)
    seed: int = 0
    warm: int = 30
    remb: int | None = None
    adapts: bool = False
    switches: list[tuple[str, str, Cause, bool]] = field(default_factory=list)
    closed: list[Reason] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pair = Pair(self.conditions, seed=self.seed)
        self.clock = FakeClock(self.pair.now)
        self.scheduler = FakeScheduler(self.pair.now)
        hub = Hub(self.clock, new_epoch=lambda: "epoch", limits=HubLimits())
        publisher = hub.claim("room", peer="tester", on_displaced=lambda reason: None)
        self.stream = publisher.stream
        self.ladder = Ladder(publisher, self.film, lag=self.lag, sound=False)
        self.packagers: dict[str, RtpPackager] = {}
        self.ladder.step(self.warm)
        self.next_step = self.pair.now
        self.next_report = self.pair.now + 1
        self._server_seen = self._caller_seen = 0
        self._join()

    def packager_of(self, stream: Stream, rendition: str) -> RtpPackager:
        found = self.packagers.get(rendition)
        if found is None or found.is_ended:
            named = {r.name: r for r in list_renditions(stream)}
            known = named.get(rendition)
            track = rung_track(stream, known) if known else rung_forecast(rendition, Codec.H264)
            found = self.packagers[rendition] = RtpPackager(
                stream,
                track,
                FanOuts(PacketFanOut(), PacketFanOut()),
                scheduler=self.scheduler,
                now=self.scheduler.now,
                on_full=lambda callback: None,
            )
        return found

    def renditions_of(self, stream: Stream) -> tuple[Rendition, ...]:
        return list_renditions(stream)

    def note_switch(self, old: str, new: str, cause: Cause, *, is_up: bool) -> None:
        self.switches.append((old, new, cause, is_up))

    def _join(self) -> None:
        description = offer("chromium-viewer")
        named = {r.name: r for r in list_renditions(self.stream)}
        picture, codec = choose_picture(description, [named[self.start]])
        assert picture is not None
        assert codec is not None
        packager = self.packager_of(self.stream, self.start)
        chosen = choose(description, packager.track, None, IDS, room="room", codec=codec)
        self.port = PairPort(self.pair)
        self.session = WhepSession(
            "secret",
            self.stream,
            [(chosen[0], packager)],
            client="198.51.100.7",
            number=1,
            now=self.pair.now,
            on_closed=lambda session, reason: self.closed.append(reason),
        )
        self.seat = self.session.seat = WhepSeat(
            self.stream,
            self.session,
            codec=codec,
            packager=packager,
            wanted=self.wanted,
            seats=self,
            estimate=self.session.estimate,
            scheduler=self.scheduler,
            now=self.scheduler.now,
        )
        if not self.adapts and self.wanted is None:
            self.seat._adapt = lambda now, menu: None  # type: ignore[method-assign]
        self.session.prober = RtxProbe(self.session.repeat, scheduler=self.scheduler, now=self.scheduler.now)
        self.session.bind(self.port)
        retransmission = chosen[0].retransmission
        assert retransmission is not None
        self.viewer = BrowserLike(
            2 * self.conditions.delay + self.conditions.jitter, codec.payload_type, retransmission.payload_type
        )

    def run(self, seconds: float) -> None:
        end = self.pair.now + seconds
        while self.pair.now < end:
            self.step()

    def step(self) -> None:
        now = self.pair.now
        self.clock.time = now
        if now >= self.next_step:
            self.next_step += 1 / FPS
            self.ladder.step()
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
        if now >= self.next_report:
            self.next_report += 0.5
            blocks = (rtcp.ReportBlock(IDS.video, 0, 0, self.viewer.highest, 0),) if self.viewer.buffer.received else ()
            feedback.insert(0, rtcp.ReceiverReport(VIEWER_SSRC, blocks))
            if self.remb is not None:
                feedback.append(rtcp.Remb(VIEWER_SSRC, self.remb, (IDS.video,)))
        if feedback:
            self.pair.caller.send_rtcp(feedback)
            self.pair.flush()

    def decoded(self) -> list[tuple[int, tuple[int, int]]]:
        """Number and size of each picture, in order of arrival. Fails where one is not at its own RTP time."""
        codec = av.CodecContext.create("h264", "r")
        found = []
        origin = rtp_origin("epoch")
        offsets = set()
        for shown in self.viewer.shown:
            data = b"".join(b"\0\0\0\1" + nal for nal in shown.nals)
            packet = av.Packet(data)
            packet.pts = shown.rtp_time
            frames = codec.decode(packet)
            found += [(frame, shown.rtp_time) for frame in frames]
        numbers = []
        for frame, rtp_time in found:
            code = barcode.read(frame.to_ndarray()[: frame.height])
            assert code is not None
            offsets.add(((rtp_time - origin) & 0xFFFFFFFF) - code[1] * FRAME)
            numbers.append((code[1], (frame.width, frame.height)))
        assert len(offsets) <= 1, "a picture is not at its own time"
        return numbers

    def is_whole(self, *, holes: int = 0) -> list[tuple[int, int]]:
        """Every picture once and in order; the sizes that were seen one after the other."""
        decoded = self.decoded()
        numbers = [number for number, _ in decoded]
        steps = [b - a for a, b in itertools.pairwise(numbers)]
        assert all(step >= 1 for step in steps), numbers
        assert sum(step - 1 for step in steps) <= holes, [(n, s) for n, s in zip(numbers, steps, strict=False) if s > 1]
        return [size for size, _ in itertools.groupby(size for _, size in decoded)]

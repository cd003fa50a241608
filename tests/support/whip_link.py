"""A whole WHIP publication in fake time: a publisher like a browser, two real peers, a bad link, session, hub, stream.

The publisher answers NACKs over RTX and makes a keyframe when it is asked for one. Pictures are not real: each is
a few NAL units whose bytes are remembered, so that a test can tell whether what was published is what was sent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ingest.whip_offer import Incoming, choose_incoming
from ingest.whip_session import WhipSession
from media.event import Event
from media.hub import Hub
from media.reasons import Reason
from media.stream import Stream
from media.unit import AccessUnit
from tests.support.link import Conditions
from tests.support.offers import offer
from tests.support.units import PPS, SPS, FakeClock
from tests.support.webrtc_pair import Pair
from wire.rtp import extensions, h264, rtcp, rtx
from wire.rtp.packet import RtpPacket
from wire.webrtc import RtcpReceived, WebRtcPeer

VIDEO_SSRC, AUDIO_SSRC, RTX_SSRC = 1001, 1002, 1003
FRAME = 1 / 30
SOUND = 0.02
NTP_UNIX = 2_208_988_800
WALL = 1_700_000_000.0
OPUS = b"\xfc" + bytes(60)
"""20 ms of CELT in stereo."""


class PairPort:
    """The server's end of the pair as a port."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.is_closed = False

    @property
    def peer(self) -> WebRtcPeer:
        return self._pair.server

    def flush(self) -> None:
        self._pair.flush()

    def close(self) -> None:
        self.is_closed = True
        self._pair.server.close()
        self._pair.flush()


class Collector:
    """A reader that keeps everything."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.ended: Reason | None = None
        self._pushed = asyncio.Event()

    def push(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self._pushed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """It becomes true with one of the units that are pushed."""
        while not condition():
            self._pushed.clear()
            await self._pushed.wait()

    def on_event(self, event: Event) -> None: ...

    def end(self, reason: Reason) -> None:
        self.ended = reason

    @property
    def pictures(self) -> list[AccessUnit]:
        return [unit for unit in self.units if unit.is_video]

    @property
    def sounds(self) -> list[AccessUnit]:
        return [unit for unit in self.units if not unit.is_video]


@dataclass
class Source:
    """One SSRC of the publisher."""

    ssrc: int
    payload_type: int
    index: int = 0
    packets: int = 0
    octets: int = 0
    sent: dict[int, RtpPacket] = field(default_factory=dict)


class WhipLink:
    """`run(seconds)`; pictures and sounds are sent while `sends_video` and `sends_audio`.

    `audio_late` seconds: how much later than its wall time the sound leaves. `drift` is how much faster the audio
    clock runs. `reports_from` is the time of the first sender reports, None for none.
    """

    def __init__(
        self,
        conditions: Conditions | None = None,
        *,
        seed: int = 0,
        offered: str = "chromium-publisher",
        audio_late: float = 0.0,
        drift: float = 0.0,
        reports_from: float | None = 0.1,
        answers: bool = True,
        gop: int = 60,
        hub: Hub | None = None,
        idle: float = 15.0,
    ) -> None:
        self.pair = Pair(conditions, seed=seed)
        self.clock = FakeClock(self.pair.now)
        self.hub = hub or Hub(self.clock, new_epoch=lambda: "epoch1")
        self.incoming = choose_incoming(offer(offered))
        self.closed: list[Reason] = []
        self.session = WhipSession(
            "secret",
            "room",
            self.hub,
            self.incoming,
            clock=self.clock,
            ssrc=77,
            client="198.51.100.7",
            number=1,
            idle=idle,
            on_closed=lambda session, reason: self.closed.append(reason),
        )
        self.port = PairPort(self.pair)
        self.session.bind(self.port)
        self.reader = Collector()
        self.sends_video = self.sends_audio = True
        self.parameter_sets: tuple[bytes, ...] = (SPS, PPS)
        self.pictures: dict[tuple[bytes, ...], int] = {}
        self.received: list[rtcp.RtcpPacket] = []
        self.begun: float | None = None
        self._audio_late, self._drift, self._answers, self._gop = audio_late, drift, answers, gop
        self._reports_from = reports_from
        self._random = random.Random(seed)
        self._video = Source(VIDEO_SSRC, self._entry(video=True).payload.payload_type, 65_000)
        self._audio = Source(AUDIO_SSRC, self._audio_type(), 65_500)
        self._rtx = Source(RTX_SSRC, self._rtx_type())
        self._transport_sequence = 65_000
        self._frames = self._sounds = 0
        self._events_seen = self._caller_seen = 0
        self._wants_keyframe = True
        self._since_keyframe = 0
        self._reported_at = float("-inf")
        self._is_attached = False

    @property
    def stream(self) -> Stream:
        stream = self.hub.get("room")
        assert stream is not None
        return stream

    def run(self, seconds: float) -> None:
        end = self.pair.now + seconds
        while self.pair.now < end:
            self.step()

    def step(self) -> None:
        self.clock.time = self.pair.now
        if self.pair.caller.connected:
            self._publish(self.pair.now)
        self.pair.step()
        self.clock.time = self.pair.now
        events = self.pair.server_events[self._events_seen :]
        self._events_seen = len(self.pair.server_events)
        for event in events:
            self.session.on_events([event], self.pair.now)
            self._attach()
        self.session.tick(self.pair.now)
        self._hear()
        self.pair.flush()

    def change_source(self, ssrc: int) -> None:
        """The picture comes from another SSRC, with numbers and a clock of its own."""
        self._video = Source(ssrc, self._video.payload_type, 30_000)
        self._wants_keyframe = True

    def send_packet(self, packet: RtpPacket, index: int) -> None:
        sender = self.pair.caller.sender
        assert sender is not None
        self.pair.up.send(sender.protect(packet.to_bytes(), index), self.pair.now)

    def heard(self, kind: type[rtcp.RtcpPacket]) -> list[rtcp.RtcpPacket]:
        """What the publisher was told of this kind."""
        return [packet for packet in self.received if isinstance(packet, kind)]

    def numbers(self) -> list[int]:
        """Which of the sent pictures were published; fails where one of them is not as it was sent."""
        return [self.pictures[unit.parts] for unit in self.reader.pictures]

    def _attach(self) -> None:
        if not self._is_attached and self.session.is_publishing:
            self._is_attached = True
            self.stream.attach(self.reader)

    def _entry(self, *, video: bool) -> Incoming:
        return next(entry for entry in self.incoming if entry.is_video == video)

    def _audio_type(self) -> int:
        return next((entry.payload.payload_type for entry in self.incoming if not entry.is_video), 0)

    def _rtx_type(self) -> int:
        retransmission = self._entry(video=True).retransmission
        return 0 if retransmission is None else retransmission.payload_type

    def _publish(self, now: float) -> None:
        self.begun = now if self.begun is None else self.begun
        media = now - self.begun
        while self.sends_video and self._frames * FRAME <= media:
            self._send_picture()
            self._frames += 1
        while self.sends_audio and self._sounds * SOUND / (1 + self._drift) + self._audio_late <= media:
            self._send(self._audio, [OPUS], 960 * self._sounds)
            self._sounds += 1
        if not self.sends_video:
            self._frames = max(self._frames, int(media / FRAME))
        if not self.sends_audio:
            self._sounds = max(self._sounds, int(media / SOUND))
        if self._reports_from is not None and media >= self._reports_from and now - self._reported_at >= 1.0:
            self._reported_at = now
            self._report(media)

    def _send_picture(self) -> None:
        key = self._wants_keyframe or self._since_keyframe >= self._gop
        self._wants_keyframe = False
        self._since_keyframe = 0 if key else self._since_keyframe + 1
        size = 12_000 if key else self._random.randrange(1000, 6000)
        nal = (b"\x65\x88" if key else b"\x41\x9a") + self._random.randbytes(size)
        self.pictures[(nal,)] = self._frames
        nals = (*self.parameter_sets, nal) if key else (nal,)
        self._send(self._video, h264.packetise(nals, 1100), 3000 * self._frames + 0xFFFFF000)

    def _send(self, source: Source, payloads: Iterable[bytes], timestamp: int) -> None:
        payloads = list(payloads)
        for number, payload in enumerate(payloads):
            packet = self._packet(source, payload, timestamp, marker=number == len(payloads) - 1)
            source.sent[packet.sequence] = packet
            source.packets += 1
            source.octets += len(payload)

    def _packet(self, source: Source, payload: bytes, timestamp: int, *, marker: bool) -> RtpPacket:
        source.index += 1
        self._transport_sequence += 1
        number = self.incoming[0].extension_ids.get(extensions.TRANSPORT_SEQUENCE)
        profile, block = None, b""
        if number is not None:
            profile, block = extensions.build({number: (self._transport_sequence & 0xFFFF).to_bytes(2, "big")})
        packet = RtpPacket(
            source.payload_type,
            source.index & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            source.ssrc,
            payload,
            marker=marker,
            extension_profile=profile,
            extension=block,
        )
        self.send_packet(packet, source.index)
        return packet

    def _report(self, media: float) -> None:
        assert self.begun is not None
        ntp = int((WALL + self.begun + media + NTP_UNIX) * (1 << 32))
        video = (int(media * 90_000) + 0xFFFFF000) & 0xFFFFFFFF
        audio = int(media * (1 + self._drift) * 48_000) & 0xFFFFFFFF
        reports = [rtcp.SenderReport(self._video.ssrc, ntp, video, self._video.packets, self._video.octets)]
        reports.append(rtcp.SenderReport(self._audio.ssrc, ntp, audio, self._audio.packets, self._audio.octets))
        self.pair.caller.send_rtcp(reports)

    def _hear(self) -> None:
        for event in self.pair.caller_events[self._caller_seen :]:
            if isinstance(event, RtcpReceived):
                self.received += event.packets
                for packet in event.packets:
                    self._obey(packet)
        self._caller_seen = len(self.pair.caller_events)

    def _obey(self, packet: rtcp.RtcpPacket) -> None:
        if not self._answers:
            return
        if isinstance(packet, rtcp.Pli | rtcp.Fir):
            self._wants_keyframe = True
        elif isinstance(packet, rtcp.ReferenceTime):
            answer = (packet.ssrc, packet.ntp >> 16 & 0xFFFFFFFF, 0)
            self.pair.caller.send_rtcp([rtcp.Dlrr(self._video.ssrc, (answer,))])
        elif isinstance(packet, rtcp.Nack):
            for sequence in packet.lost:
                original = self._video.sent.get(sequence)
                if original is not None:
                    payload = rtx.wrap_payload(sequence, original.payload)
                    self._packet(self._rtx, payload, original.timestamp, marker=original.marker)

"""From an RTMP host's milliseconds to a browser's two RTP clocks, in fake time: sound stays with the picture.

Everything between is real: the timeline, the maker of sound and its codecs, both packagers, the session and its sender
reports, DTLS and SRTP. Only the worker's process and the network are not.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field

import pytest

from ingest.sound_maker import SoundMaker
from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import Message
from ingest.transcode_worker import AudioLane
from media.gop import GopLimits
from media.publisher import Publisher
from media.rtp import rtp_origin
from media.stream import Stream
from media.ticks import TICKS_PER_MS, TICKS_PER_SECOND, Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from relay.fanout import PacketFanOut
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import FanOuts
from relay.whep_offer import choose
from relay.whep_session import WhepSession
from tests.support.offers import offer
from tests.support.scheduler import FakeScheduler
from tests.support.sound import Sound, beep_sound, config_record, drifted, onsets
from tests.support.units import FakeClock, picture
from tests.support.webrtc_pair import Pair
from tests.support.whep_link import IDS, PairPort
from tests.support.worker_line import InlineLine
from wire.rtp import rtcp
from wire.webrtc import RtcpReceived, RtpReceived

EPOCH = "epoch1"
ORIGIN = rtp_origin(EPOCH)
INTERVAL = TICKS_PER_SECOND // 30
OPUS_RATE = 48_000
LIP_SYNC_MS = 40
BEFORE_JOIN = 200
"""Units of the host until the viewer comes."""
MAX_MISSED = 4
WRAP = 1 << 32


class InlineWorker(InlineLine):
    """Starts when it is asked to. What it says is heard after the call."""

    is_there = False

    def __init__(self) -> None:
        super().__init__()
        self.maker: SoundMaker | None = None
        self._said: list[Message] = []
        self._lane = AudioLane(self._said.append)

    def begin(self) -> None:
        if not self.is_there:
            self.is_there = True
            assert self.maker is not None
            self.maker.resume()

    def send(self, message: Message) -> None:
        if self.is_there:
            self._lane.handle(message)

    def speak(self) -> None:
        said, self._said[:] = self._said[:], []
        assert self.maker is not None
        for message in said:
            self.maker.heard(message)


@dataclass
class RtpClock:
    """One SSRC's sender reports: when what its RTP times say is to be seen or heard. `rate` is in Hz."""

    rate: int
    reports: list[tuple[int, float]] = field(default_factory=list)
    _last: int | None = None

    def unwrapped(self, rtp_time: int) -> int:
        if self._last is not None:
            rtp_time = self._last + (rtp_time - self._last + WRAP // 2) % WRAP - WRAP // 2
        self._last = rtp_time
        return rtp_time

    def note(self, report: rtcp.SenderReport) -> None:
        self.reports.append((self.unwrapped(report.rtp_time), report.ntp / WRAP))

    def seconds(self, rtp_time: float) -> float:
        """By the newest report that the viewer has then, as browsers do it."""
        at, ntp = self.reports[max(0, bisect(self.reports, (int(rtp_time), 0.0)) - 1)]
        return ntp + (rtp_time - at) / self.rate


class Watching:
    """A host's stream and one viewer of it. Host times are ticks; `offset` is what the timeline adds to them."""

    def __init__(self, sound: Sound) -> None:
        self.pair = Pair()
        self.clock, self.scheduler = FakeClock(self.pair.now), FakeScheduler(self.pair.now)
        self.stream = Stream("room", EPOCH, self.clock, GopLimits())
        self.publisher = Publisher(self.stream, self.clock, "host", lambda reason: None)
        self.worker = InlineWorker()
        self.maker = self.worker.maker = SoundMaker(self.stream, self.worker, TranscodeCounters(), linger=60.0)
        self.stream.on_demand = lambda stream: self.maker.update()
        self.stream.could_make = self.maker.could_make
        self.began = self.pair.now
        self.track = sound.track
        self.picture_clock, self.sound_clock = RtpClock(TICKS_PER_SECOND), RtpClock(OPUS_RATE)
        self.packets: list[tuple[int, bytes]] = []
        self.pictures = 0
        self.session: WhepSession | None = None

    def watch(self) -> None:
        tracks = self.stream.source_video, self.stream.audio_track(Codec.OPUS)
        chosen = choose(offer("chromium-viewer"), *tracks, IDS, room="room")
        assert len(chosen) == 2
        self.offset = self.stream.live_edge - (self.pictures - 1) * INTERVAL
        lanes = [(one, self._packager(one.track)) for one in chosen]
        self.session = WhepSession(
            *("secret", self.stream, lanes),
            client="198.51.100.7",
            number=1,
            now=self.pair.now,
            on_closed=lambda session, reason: None,
        )
        self.session.bind(PairPort(self.pair))

    def _packager(self, track: Track) -> RtpPackager:
        return RtpPackager(
            *(self.stream, track, FanOuts(PacketFanOut(), PacketFanOut())),
            scheduler=self.scheduler,
            now=self.scheduler.now,
            on_full=lambda callback: None,
        )

    def publish(self, at: int, data: bytes | None) -> None:
        """At a host's time, as RTMP has it: in whole milliseconds. None is a picture."""
        self.run_to(self.began + at / TICKS_PER_SECOND)
        dts = Ticks(round(at / TICKS_PER_MS) * TICKS_PER_MS)
        if data is None:
            self.publisher.publish(picture(dts, key=self.pictures % 60 == 0))
            self.pictures += 1
        else:
            self.publisher.publish(AccessUnit(self.track, dts, dts, True, (data,)))
        self.worker.speak()

    def run_to(self, end: float) -> None:
        pair = self.pair
        while pair.now < end:
            self.clock.time = pair.now
            self.scheduler.run_until(pair.now)
            if self.session is not None:
                self.session.tick(pair.now)
                events, pair.server_events = pair.server_events, []
                self.session.on_events(events, pair.now)
            self._view()
            pair.step()

    def _view(self) -> None:
        events, self.pair.caller_events = self.pair.caller_events, []
        for event in events:
            if isinstance(event, RtpReceived) and event.packet.ssrc == IDS.audio:
                self.packets.append((self.sound_clock.unwrapped(event.packet.timestamp), event.packet.payload))
            elif isinstance(event, RtcpReceived):
                for report in event.packets:
                    if isinstance(report, rtcp.SenderReport):
                        clock = self.picture_clock if report.ssrc == IDS.video else self.sound_clock
                        clock.note(report)

    def heard(self) -> list[float]:
        """When beeps are to be heard, by the sound's sender reports."""
        track = self.stream.audio_track(Codec.OPUS)
        units = [(at * TICKS_PER_SECOND // OPUS_RATE, data) for at, data in self.packets]
        begun = onsets("opus", units, config_record(track), 2)
        return [self.sound_clock.seconds(at * OPUS_RATE / TICKS_PER_SECOND) for at in begun]

    def shown(self, at: float) -> float:
        """When a picture of the host's time `at` is to be seen, by the picture's sender reports."""
        return self.picture_clock.seconds(at + self.offset + ORIGIN)


def skews_ms(seconds: int, ppm: float) -> list[float]:
    """How much later than its picture each beep is heard, with a sound card that is `ppm` off."""
    sound = beep_sound("aac", 48_000, 2, 30)
    units, beeps = drifted(sound, seconds, ppm)
    pictures = [(number * INTERVAL, None) for number in range(units[-1][0] // INTERVAL)]
    watching = Watching(sound)
    for number, unit in enumerate(sorted([*units, *pictures], key=lambda unit: unit[0])):
        if number == BEFORE_JOIN:
            watching.watch()
        watching.publish(*unit)
    heard, shown = watching.heard(), [watching.shown(at) for at in beeps]
    missed = len(shown) - len(heard)
    assert 0 <= missed <= MAX_MISSED, "beeps from before the viewer came, and what is still inside"
    first = min(range(missed + 1), key=lambda index: abs(shown[index] - heard[0]))
    return [(at - picture) * 1000 for at, picture in zip(heard, shown[first:], strict=False)]


@pytest.mark.parametrize("ppm", [-2000, 0, 2000])
async def test_sound_stays_with_the_picture_of_an_rtmp_host(ppm: float) -> None:
    assert max(map(abs, skews_ms(120, ppm))) < LIP_SYNC_MS


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("ppm", [-200, 0, 200])
async def test_it_does_after_an_hour(ppm: float) -> None:
    skews = skews_ms(3600, ppm)
    assert len(skews) > 3590
    assert max(map(abs, skews)) < LIP_SYNC_MS

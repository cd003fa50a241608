"""When sound leaves: with a picture if one comes soon, else by itself."""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from media.gop import GopLimits
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND
from media.track import Codec, Track
from relay.endpoint import UdpRoute
from relay.fanout import GcmFanOut, PacketFanOut
from relay.rtp_batch import RtpBatch
from relay.rtp_packager import AUDIO_WAIT, RtpPackager
from relay.rtp_sender import FanOuts, RtpSender
from relay.rtp_target import RtpTarget
from tests.support.rtp_viewers import SSRC, Viewer
from tests.support.scheduler import FakeScheduler
from tests.support.units import FakeClock, picture, sound, video_track
from wire.codecs.opus import OpusConfig

OPUS = Track(Codec.OPUS, OpusConfig(2))
MADE = Track(Codec.OPUS, OpusConfig(2), rendition="opus")
PACKET = 0.02
STEP = 0.001
"""How exactly the time of a write is known."""


class Show:
    """A stream with two renditions and sound, one viewer of each, and who got what when."""

    def __init__(self, fan_outs: FanOuts | None = None, opus: Track = OPUS) -> None:
        self._opus = opus
        self._fan_outs = fan_outs or FanOuts(PacketFanOut(), PacketFanOut())
        self.clock = FakeScheduler()
        self.stream = Stream("room", "epoch", FakeClock(), GopLimits())
        self.stream.deliver(picture(0, key=True))
        self.stream.deliver(picture(0, key=True, track=video_track(rendition="360p")))
        self.stream.promise(opus)
        self.sound = self._packager(opus)
        self.source = self._packager(self.stream.renditions["source"])
        self.rung = self._packager(self.stream.renditions["360p"])
        self.listener, self.watcher, self.small = Viewer(1), Viewer(2), Viewer(3)
        self.sound.join(self.listener.target)
        self.source.join(self.watcher.target)
        self.rung.join(self.small.target)
        self.writes: list[tuple[float, int]] = []
        self.sounds: list[float] = []
        self.clock.run(0.2)
        self.began = self.clock.time

    def play(
        self, seconds: float, *, interval: float | None, rung: bool = False, sounds: bool = True, pairs: bool = False
    ) -> None:
        """A picture each `interval` seconds, of the rung 5 ms later, and a packet of sound each 20 ms, or two."""
        began = self.clock.time
        due = []
        if sounds:
            at_once = 2 if pairs else 1
            due += [(number // at_once * at_once * PACKET, "sound") for number in range(round(seconds / PACKET))]
        if interval is not None:
            due += [(number * interval, "source") for number in range(int(seconds / interval))]
        if rung and interval is not None:
            due += [(number * interval + 0.005, "360p") for number in range(int(seconds / interval))]
        for at, kind in sorted(due):
            self._run_to(began + at)
            dts = round((self.clock.time - self.began + 1) * TICKS_PER_SECOND)
            if kind == "sound":
                self.sounds.append(self.clock.time)
                self.sound.push(sound(dts, track=self._opus))
            elif kind == "source":
                self.source.push(picture(dts, track=self.source.track))
            else:
                self.rung.push(picture(dts, track=self.rung.track))
            self._note()
        self._run_to(began + seconds)

    def _run_to(self, time: float) -> None:
        while self.clock.time < time:
            self.clock.run_until(min(time, self.clock.time + STEP))
            self._note()

    def _note(self) -> None:
        self.clock.run(0.0)
        got = len(self.listener.received())
        if got:
            self.writes.append((self.clock.time, got))

    def _carry(self) -> RtpSender | None:
        return self.sound.ride_along()

    def _packager(self, track: Track) -> RtpPackager:
        return RtpPackager(
            self.stream,
            track,
            self._fan_outs,
            scheduler=self.clock,
            now=self.clock.now,
            on_full=lambda callback: None,
            on_picture=self._carry,
        )


@pytest.fixture
def show() -> Show:
    return Show()


def test_sound_waits_a_moment_for_a_picture_and_no_longer(show: Show) -> None:
    show.play(3.0, interval=1 / 30)
    waits = [min(abs(time - AUDIO_WAIT - begun) for begun in show.sounds) for time, _ in show.writes]
    assert max(waits) <= STEP, "one who is sent to packet by packet gets it when it has waited"
    assert sum(count for _, count in show.writes) >= 3.0 / PACKET - 2


def test_sound_that_is_made_here_leaves_at_once() -> None:
    show = Show(opus=MADE)
    show.play(3.0, interval=1 / 30)
    assert [time for time, _ in show.writes] == show.sounds


@pytest.mark.parametrize("fps", [None, 5, 10, 15, 24, 25, 30, 50, 60])
def test_its_jitter_stays_below_what_browsers_count_whatever_the_pictures_do(show: Show, fps: int | None) -> None:
    show.play(2.0, interval=None if fps is None else 1 / fps)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(show.writes)]
    assert max(gaps) <= PACKET + AUDIO_WAIT + STEP
    assert max(count for _, count in show.writes) == 1


def test_what_comes_in_pairs_leaves_in_pairs(show: Show) -> None:
    show.play(2.0, interval=None, pairs=True)
    assert {count for _, count in show.writes} == {2}


def test_the_pictures_of_several_renditions_do_not_make_more_writes(show: Show) -> None:
    show.play(2.0, interval=1 / 60, rung=True)
    assert len(show.writes) <= 2.0 / PACKET + 1
    assert sum(count for _, count in show.writes) >= 2.0 / PACKET - 2


def test_sound_goes_on_when_the_pictures_stop_and_when_they_come_back(show: Show) -> None:
    for interval in (1 / 30, None, 1 / 30):
        show.play(1.0, interval=interval)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(show.writes)]
    assert max(gaps) <= PACKET + AUDIO_WAIT + STEP
    assert sum(count for _, count in show.writes) >= 3.0 / PACKET - 2


def test_pictures_without_sound_send_none(show: Show) -> None:
    show.play(0.5, interval=1 / 30, sounds=False)
    assert show.writes == []
    assert len(show.watcher.received()) > 10


class Counting(GcmFanOut):
    """Which targets it was told to send to, by the SSRC of each."""

    def __init__(self) -> None:
        super().__init__(segmentation=False)
        self.sends: Counter[int] = Counter()

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        self.sends.update(target.header.ssrc for target in targets)
        return super().send(batch, targets)


@pytest.fixture
def sockets() -> Iterator[Callable[[], socket.socket]]:
    with ExitStack() as stack:

        def make() -> socket.socket:
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.bind(("127.0.0.1", 0))
            made.setblocking(False)
            return made

        yield make


def test_viewers_get_each_packet_of_sound_once_whether_it_rides_or_not(sockets: Callable[[], socket.socket]) -> None:
    """Of three viewers of one sound, one watches the source, one a rung, and one only listens."""
    fan_out, outgoing = Counting(), sockets()
    show = Show(FanOuts(fan_out, PacketFanOut()))
    pairs = []
    for seed, picture_of in ((11, show.source), (12, show.rung), (13, None)):
        incoming = sockets()
        pair = Viewer(seed, route=UdpRoute(outgoing, incoming.getsockname()), incoming=incoming, rider_type=111)
        if picture_of is not None:
            picture_of.join(pair.target)
        show.sound.join(pair.rider)
        pairs.append(pair)
    show.clock.run(0.2)
    for pair in pairs:
        pair.received()
    fan_out.sends.clear()
    show.play(1.0, interval=1 / 30, rung=True)
    show.clock.run(0.1)
    for pair in pairs:
        sequences = [packet.sequence for packet in pair.received() if packet.ssrc == SSRC + 1]
        assert sequences == list(range(sequences[0], sequences[0] + 50))
    assert fan_out.sends[SSRC] >= 58, "30 pictures for each of two"
    alone = fan_out.sends[SSRC + 1]
    assert 50 + 2 * 30 < alone < 50 + 2 * 40, "a third of what those hear who watch came with their pictures"

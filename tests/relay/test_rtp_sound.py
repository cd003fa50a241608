"""When sound leaves: with the pictures, and where there are none, by itself and soon."""

from __future__ import annotations

import pytest

from media.gop import GopLimits
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND
from media.track import Codec, Track
from relay.fanout import PacketFanOut
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import FanOuts
from tests.support.rtp_viewers import Viewer
from tests.support.scheduler import FakeScheduler
from tests.support.units import FakeClock, picture, sound, video_track
from wire.codecs.opus import OpusConfig

OPUS = Track(Codec.OPUS, OpusConfig(2))
PACKET = 0.02


class Show:
    """A stream with two renditions and sound, one viewer of each, and who got what when."""

    def __init__(self) -> None:
        self.clock = FakeScheduler()
        self.stream = Stream("room", "epoch", FakeClock(), GopLimits())
        self.stream.deliver(picture(0, key=True))
        self.stream.deliver(picture(0, key=True, track=video_track(rendition="360p")))
        self.stream.promise(OPUS)
        self.sound = self._packager(OPUS)
        self.source = self._packager(self.stream.renditions["source"])
        self.rung = self._packager(self.stream.renditions["360p"])
        self.listener, self.watcher, self.small = Viewer(1), Viewer(2), Viewer(3)
        self.sound.join(self.listener.target)
        self.source.join(self.watcher.target)
        self.rung.join(self.small.target)
        self.writes: list[tuple[float, int]] = []
        self.pictures: list[float] = []
        self.clock.run(0.2)
        self.began = self.clock.time

    def play(self, seconds: float, *, interval: float | None, rung: bool = False, sounds: bool = True) -> None:
        """A picture each `interval` seconds, of the rung 5 ms later, and a packet of sound each 20 ms."""
        began = self.clock.time
        due = []
        if sounds:
            due += [(number * PACKET, "sound") for number in range(round(seconds / PACKET))]
        if interval is not None:
            due += [(number * interval, "source") for number in range(int(seconds / interval))]
        if rung and interval is not None:
            due += [(number * interval + 0.005, "360p") for number in range(int(seconds / interval))]
        for at, kind in sorted(due):
            self._run_to(began + at)
            dts = round((self.clock.time - self.began + 1) * TICKS_PER_SECOND)
            if kind == "sound":
                self.sound.push(sound(dts, track=OPUS))
            elif kind == "source":
                self.pictures.append(self.clock.time)
                self.source.push(picture(dts, track=self.source.track))
            else:
                self.rung.push(picture(dts, track=self.rung.track))
            self._note()
        self._run_to(began + seconds)

    def _run_to(self, time: float) -> None:
        self.clock.run_until(time)
        self._note()

    def _note(self) -> None:
        self.clock.run(0.0)
        got = len(self.listener.received())
        if got:
            self.writes.append((self.clock.time, got))

    def _carry(self) -> None:
        self.sound.ride_along()

    def _packager(self, track: Track) -> RtpPackager:
        fan_out = PacketFanOut()
        return RtpPackager(
            self.stream,
            track,
            FanOuts(fan_out, fan_out),
            scheduler=self.clock,
            now=self.clock.now,
            on_full=lambda callback: None,
            on_picture=self._carry,
        )


@pytest.fixture
def show() -> Show:
    return Show()


def test_sound_leaves_with_the_pictures(show: Show) -> None:
    show.play(3.0, interval=1 / 30)
    assert {time for time, _ in show.writes} <= set(show.pictures)
    assert max(count for _, count in show.writes) <= 3
    assert sum(count for _, count in show.writes) >= 3.0 / PACKET - 2


@pytest.mark.parametrize("fps", [5, 10, 15, 24, 25, 30, 50, 60])
def test_it_waits_forty_milliseconds_at_most_whatever_the_pictures_do(show: Show, fps: int) -> None:
    show.play(2.0, interval=1 / fps)
    gaps = [later - earlier for (earlier, _), (later, _) in zip(show.writes, show.writes[1:], strict=False)]
    assert max(gaps) <= 0.0601
    assert max(count for _, count in show.writes) <= 3, "the oldest of three packets has waited for 40 ms"


def test_the_pictures_of_several_renditions_do_not_make_more_writes(show: Show) -> None:
    show.play(2.0, interval=1 / 60, rung=True)
    assert len(show.writes) <= 2.0 / PACKET + 1
    assert sum(count for _, count in show.writes) >= 2.0 / PACKET - 2


def test_without_pictures_two_packets_leave_together(show: Show) -> None:
    show.play(2.0, interval=None)
    assert {count for _, count in show.writes} == {2}


def test_sound_goes_on_when_the_pictures_stop_and_when_they_come_back(show: Show) -> None:
    for interval in (1 / 30, None, 1 / 30):
        show.play(1.0, interval=interval)
    gaps = [later - earlier for (earlier, _), (later, _) in zip(show.writes, show.writes[1:], strict=False)]
    assert max(gaps) <= 0.0601
    assert sum(count for _, count in show.writes) >= 3.0 / PACKET - 2


def test_pictures_without_sound_send_none(show: Show) -> None:
    show.play(0.5, interval=1 / 30, sounds=False)
    assert show.writes == []
    assert len(show.watcher.received()) > 10

"""The packager's own rules: sound of the past is not sent to those who have just come, and fragments are equal."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from media.gop import GopLimits
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND
from media.track import Codec
from relay.endpoint import UdpRoute
from relay.fanout import FanOut, GcmFanOut, PacketFanOut, native_fan_out
from relay.rtp_batch import RtpBatch
from relay.rtp_packager import CATCHING_UP, FRESH_TICKS, MAX_SOUND, RtpPackager
from relay.rtp_sender import FanOuts
from relay.rtp_target import History
from tests.support.rtp_viewers import Viewer, batch_of, drain
from tests.support.scheduler import FakeScheduler
from tests.support.units import FakeClock, audio_track, picture, sound
from wire.dtls import SrtpProfile

OPUS = audio_track(Codec.OPUS)
EDGE = 2 * TICKS_PER_SECOND
FRAME = TICKS_PER_SECOND // 30
STEP = TICKS_PER_SECOND // 50


class Room:
    """A stream that has run for two seconds, and a packager of its sound."""

    def __init__(self) -> None:
        self.scheduler = FakeScheduler(100.0)
        self.stream = Stream("room", "epoch1", FakeClock(100.0), GopLimits())
        for t in range(0, EDGE, FRAME):
            for unit in self.stream.timeline.place(picture(t, key=t == 0), t / TICKS_PER_SECOND):
                self.stream.deliver(unit)
        self.packager = RtpPackager(
            self.stream,
            OPUS,
            FanOuts(PacketFanOut(), PacketFanOut()),
            scheduler=self.scheduler,
            now=self.scheduler.now,
            on_full=lambda callback: None,
        )

    def push(self, behind: int) -> bool:
        """A sound so many ticks behind the live edge; whether it is there to be sent."""
        before = self.packager.history.newest
        self.packager.push(sound(self.stream.live_edge - behind, track=OPUS))
        return self.packager.history.newest > before


@pytest.fixture
def room() -> Room:
    return Room()


def test_what_a_worker_makes_of_the_past_is_not_sent(room: Room) -> None:
    sent = [room.push(behind) for behind in range(TICKS_PER_SECOND, -1, -STEP)]
    assert sent == [behind <= FRESH_TICKS for behind in range(TICKS_PER_SECOND, -1, -STEP)]
    assert room.push(TICKS_PER_SECOND), "once it has caught up, sound that falls behind is sound all the same"


def test_sound_that_is_always_late_is_heard_after_a_while(room: Room) -> None:
    assert not room.push(TICKS_PER_SECOND)
    room.scheduler.run_until(100.0 + CATCHING_UP + 0.1)
    assert room.push(TICKS_PER_SECOND)


def test_sound_that_is_too_large_is_left_out_and_what_follows_is_in_its_time(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    packager, times = room.packager, []
    for number, size in enumerate((100, MAX_SOUND, MAX_SOUND + 1, 2000, 200)):
        packager.push(sound(EDGE + number * STEP, track=OPUS, size=size))
        times.append(packager.rtp_time)
    sent = [packager.history.get(index) for index in range(packager.sender.head)]
    assert [len(packet.payload) for packet in sent if packet] == [100, MAX_SOUND, 200]
    assert (times[-1] - times[0]) & 0xFFFFFFFF == 4 * 960
    assert packager.oversized == 2
    assert len(caplog.messages) == 1
    assert "1277 bytes" in caplog.text


@pytest.mark.parametrize("profile", list(SrtpProfile))
@pytest.mark.parametrize("segmented", [True, False])
def test_the_largest_sound_reaches_every_kind_of_viewer(room: Room, profile: SrtpProfile, segmented: bool) -> None:
    room.packager.push(sound(EDGE, track=OPUS, size=MAX_SOUND))
    packet = room.packager.history.get(0)
    assert packet is not None
    batch = batch_of([500])
    batch.rider = RtpBatch([packet], 1.5)
    udp = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(*udp) as ours, socket.socket(*udp) as to:
        to.bind(("127.0.0.1", 0))
        to.setblocking(False)
        viewer = Viewer(1, profile=profile, route=UdpRoute(ours, to.getsockname()), rider_type=111)
        shared: list[FanOut | None] = [GcmFanOut(segmentation=segmented), native_fan_out(segmentation=segmented)]
        is_gcm = profile is SrtpProfile.AEAD_AES_128_GCM
        for fan_out in shared if is_gcm else [PacketFanOut()]:
            if fan_out is not None:
                for target in (viewer.target, viewer.rider):
                    fan_out.add(target)
                    target.move(0, History())
                fan_out.send(batch, [viewer.target])
                fan_out.send(batch.rider, [viewer.rider])
                got = drain(to) if is_gcm else viewer.port.sent
                assert len(got) == 2
                assert len(got[1]) > MAX_SOUND


def test_the_fragments_of_a_picture_are_padded_to_one_size(room: Room) -> None:
    track = room.stream.renditions["source"]
    packager = RtpPackager(
        room.stream,
        track,
        FanOuts(PacketFanOut(), PacketFanOut()),
        scheduler=room.scheduler,
        now=room.scheduler.now,
        on_full=lambda callback: None,
    )
    for size in range(9_000, 9_020):
        first = packager.sender.head
        packager.push(replace(picture(EDGE + FRAME, track=track), parts=(b"\x41" + bytes(size),)))
        packets = [packager.history.get(index) for index in range(first, packager.sender.head)]
        assert len({len(packet.payload) for packet in packets if packet}) == 1
        assert [packet.padding for packet in packets[:-1] if packet] == [0] * 7
        last = packets[-1]
        assert last is not None
        assert last.padding == 0 or last.payload[-last.padding :] == bytes(last.padding - 1) + bytes([last.padding])
        assert sum(len(packet.payload) - packet.padding - 2 for packet in packets if packet) == size

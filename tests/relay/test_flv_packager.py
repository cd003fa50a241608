from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from media.event import Event, Lane
from media.flv_muxer import FLV_WRAP_MS
from media.gop import GopLimits
from media.hub import Hub, HubLimits
from media.publisher import Publisher
from media.reasons import CODEC_CHANGED, ENDED, RECONNECT
from media.stream import Kinds
from media.ticks import Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from relay.batch import Framing
from relay.flv_packager import FlvPackager
from relay.flv_viewer import FlvViewer, ViewerCounters, ViewerLimits
from tests.support.flv import FlvFile, read_flv
from tests.support.outlet import FakeOutlet
from tests.support.units import AUDIO, PPS, SPS, FakeClock, audio_track, picture, sound, video_track
from wire.codecs.aac import AacConfig
from wire.codecs.h264 import H264Config
from wire.codecs.opus import OpusConfig
from wire.flv_tag import AUDIO as AUDIO_TAG
from wire.flv_tag import SCRIPT
from wire.flv_tag import VIDEO as VIDEO_TAG

FRAME = 3000
OPUS = Track(Codec.OPUS, OpusConfig(2))


@dataclass
class Show:
    """A live room whose pictures and sound a test sends one by one."""

    limits: HubLimits = field(default_factory=HubLimits)
    clock: FakeClock = field(default_factory=FakeClock)
    ended: list[FlvPackager] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        self.hub = Hub(self.clock, new_epoch=lambda: f"epoch{next(numbers)}", limits=self.limits)
        self.publisher = self.claim()
        self.stream = self.publisher.stream

    def claim(self) -> Publisher:
        return self.hub.claim("room", peer="tester", on_displaced=lambda reason: None)

    def send(self, *units: AccessUnit) -> None:
        for unit in units:
            self.publisher.publish(unit)

    def packager(self, merge_ms: int = 0) -> FlvPackager:
        return FlvPackager(self.stream, merge_ms=merge_ms, on_end=self.ended.append)

    def seat(self, packager: FlvPackager) -> Seat:
        seat = Seat(self.clock.now)
        packager.join(seat.viewer)
        return seat


class Seat:
    def __init__(self, now: Callable[[], float]) -> None:
        self.outlet = FakeOutlet()
        self.viewer = FlvViewer(self.outlet, Framing.BARE, now=now, limits=ViewerLimits(), counters=ViewerCounters())

    @property
    def flv(self) -> FlvFile:
        return read_flv(self.outlet.taken)

    def new_tags(self) -> list[tuple[int, int]]:
        """Kind and time of the media tags since the last call; each must be one write or a part of one."""
        tags = self.flv.media[getattr(self, "_seen", 0) :]
        self._seen = len(self.flv.media)
        return [(tag.kind, tag.timestamp) for tag in tags]


def pictures(first: int, count: int, *, gop: int = 10, track: Track | None = None) -> list[AccessUnit]:
    track = track or video_track()
    return [picture(i * FRAME, key=i % gop == 0, track=track) for i in range(first, first + count)]


async def test_a_joiner_starts_on_the_last_keyframe_at_once() -> None:
    show = Show()
    show.publisher.expect(Kinds(True, True), frame_rate=30.0)
    track, aac = video_track(), audio_track()
    for unit in pictures(0, 25, track=track):
        show.send(unit, sound(unit.dts, track=aac))
    seat = show.seat(show.packager())
    flv = seat.flv
    assert flv.header is not None
    assert (flv.header.has_audio, flv.header.has_video) == (True, True)
    assert [t.timestamp for t in flv.pictures] == [i * 100 // 3 for i in range(20, 25)]
    assert flv.pictures[0].body[0] >> 4 == 1
    base = 20 * FRAME // 90
    assert [t.timestamp for t in flv.configs] == [base, base]
    assert flv.tags.index(flv.configs[0]) < flv.tags.index(flv.pictures[0])
    (metadata,) = flv.scripts("onMetaData")
    assert metadata["framerate"] == 30.0
    assert (metadata["width"], metadata["height"]) == (1280.0, 720.0)
    assert (metadata["videocodecid"], metadata["audiocodecid"]) == (7.0, 10.0)
    assert metadata["audiosamplerate"] == 48000.0
    assert flv.scripts("onTimeline") == [{"epoch": "epoch1", "base_ms": float(base)}]
    assert (metadata["epoch"], metadata["base_ms"]) == ("epoch1", float(base))


@pytest.mark.parametrize("has_video", [True, False])
async def test_the_header_promises_only_tracks_that_exist(has_video: bool) -> None:
    show = Show()
    show.publisher.expect(Kinds(video=has_video, audio=not has_video))
    show.send(*(pictures(0, 5) if has_video else [sound(i * 1920) for i in range(5)]))
    flv = show.seat(show.packager()).flv
    assert flv.header is not None
    assert (flv.header.has_video, flv.header.has_audio) == (has_video, not has_video)
    assert {t.kind for t in flv.configs} == {VIDEO_TAG if has_video else AUDIO_TAG}
    assert ("videocodecid" in flv.scripts("onMetaData")[0]) == has_video


async def live(*, merge_ms: int = 0) -> tuple[Show, FlvPackager, Seat]:
    """A room with picture and sound, at picture 1, and a viewer who has seen all of it."""
    show = Show()
    show.publisher.expect(Kinds(True, True))
    show.send(picture(0, key=True), sound(0), picture(FRAME))
    packager = show.packager(merge_ms)
    seat = show.seat(packager)
    packager.flush()
    seat.new_tags()
    return show, packager, seat


async def test_one_write_a_picture_and_sound_rides_along() -> None:
    show, _, seat = await live()
    calls = seat.outlet.calls
    show.send(sound(2000), sound(4000))
    assert seat.outlet.calls == calls
    show.send(picture(2 * FRAME))
    assert seat.outlet.calls == calls + 1
    assert seat.new_tags() == [(AUDIO_TAG, 22), (AUDIO_TAG, 44), (VIDEO_TAG, 66)]


async def test_sound_far_ahead_of_the_picture_does_not_delay_it() -> None:
    show, _, seat = await live()
    show.send(sound(20_000))
    show.send(picture(2 * FRAME))
    assert seat.new_tags()[-1] == (VIDEO_TAG, 66)


async def test_sound_goes_alone_when_pictures_pause() -> None:
    show, _, seat = await live()
    for i in range(1, 7):
        show.send(sound(i * 1920))
    assert len(seat.new_tags()) == 6
    assert not seat.flv.pictures[2:]


async def test_a_merge_window_saves_writes_and_loses_nothing() -> None:
    show, packager, seat = await live(merge_ms=100)
    calls = seat.outlet.calls
    for unit in pictures(2, 30):
        show.send(sound(unit.dts), unit)
    assert seat.outlet.calls - calls <= 13  # ten windows, and each group starts a write of its own
    packager.flush()
    tags = seat.new_tags()
    assert [time for kind, time in tags if kind == VIDEO_TAG] == [i * 100 // 3 for i in range(2, 32)]
    assert len(tags) == 60
    packager.leave(seat.viewer)


async def test_the_merge_window_ends_when_the_publisher_pauses() -> None:
    show, packager, seat = await live(merge_ms=100)
    packager._merge_s = 0.001
    packager.flush()
    show.send(sound(2000))
    written = asyncio.Event()
    taken = seat.outlet.send

    def send(data: bytes) -> int:
        written.set()
        return taken(data)

    seat.outlet.send = send  # type: ignore[method-assign]
    await asyncio.wait_for(written.wait(), 5)
    assert seat.new_tags() == [(AUDIO_TAG, 22)]
    packager.leave(seat.viewer)


async def test_a_group_starts_a_write_even_inside_a_merge_window() -> None:
    show, packager, seat = await live(merge_ms=1000)
    show.send(picture(2 * FRAME), picture(3 * FRAME, key=True), picture(4 * FRAME))
    assert seat.new_tags() == [(VIDEO_TAG, 66)]
    packager.flush()
    assert seat.new_tags() == [(VIDEO_TAG, 100), (VIDEO_TAG, 133)]
    joiner = show.seat(packager)
    assert joiner.flv.pictures[0].timestamp == 100
    packager.leave(seat.viewer)
    packager.leave(joiner.viewer)


@pytest.mark.parametrize("merge_ms", [0, 100])
async def test_sound_before_the_groups_picture_is_left_out_for_joiners_only(merge_ms: int) -> None:
    show, packager, seat = await live(merge_ms=merge_ms)
    show.send(picture(2 * FRAME, key=True), sound(2 * FRAME - 1000), sound(2 * FRAME + 1000), picture(3 * FRAME))
    packager.flush()
    assert seat.new_tags() == [(VIDEO_TAG, 66), (AUDIO_TAG, 55), (AUDIO_TAG, 77), (VIDEO_TAG, 100)]
    joiner = show.seat(packager)
    assert joiner.new_tags() == [(VIDEO_TAG, 66), (AUDIO_TAG, 77), (VIDEO_TAG, 100)]
    packager.leave(joiner.viewer)
    packager.leave(seat.viewer)


async def test_a_new_configuration_precedes_its_picture() -> None:
    show, packager, seat = await live()
    changed = Track(Codec.H264, H264Config((SPS,), (PPS, b"\x68\x5b\x8f\x20")))
    show.send(picture(2 * FRAME, key=True, track=changed))
    tags = seat.flv.tags
    assert tags[-1].kind == tags[-2].kind == VIDEO_TAG
    assert seat.flv.is_config(tags[-2])
    assert changed.config.to_avcc() in tags[-2].body  # type: ignore[union-attr]
    assert changed.config.to_avcc() in show.seat(packager).flv.configs[0].body  # type: ignore[union-attr]


async def test_a_new_configuration_that_comes_with_early_sound_reaches_joiners() -> None:
    show, packager, seat = await live()
    mono = Track(Codec.AAC, AacConfig(bytes.fromhex("1188")))
    show.send(picture(2 * FRAME, key=True), sound(2 * FRAME - 1000, track=mono), picture(3 * FRAME))
    for viewer in (seat, show.seat(packager)):
        assert viewer.flv.configs[-1].body[2:] == b"\x11\x88"
    assert show.seat(packager).flv.sounds == []


async def test_who_skips_past_a_new_configuration_still_gets_it() -> None:
    show, packager, seat = await live()
    mono = Track(Codec.AAC, AacConfig(bytes.fromhex("1188")))
    seat.outlet.give_room(5)
    show.send(*pictures(2, 50, gop=60))
    assert seat.viewer.skips == 1
    show.send(sound(52 * FRAME, track=mono), *pictures(52, 10, gop=60))
    seat.outlet.give_room(None)
    assert [t.body[2:] for t in seat.flv.configs if t.kind == AUDIO_TAG][-1] == b"\x11\x88"
    packager.leave(seat.viewer)


async def test_a_track_that_appears_closes_the_viewers_with_reconnect() -> None:
    show = Show()
    show.publisher.expect(Kinds(video=True, audio=False))
    show.send(*pictures(0, 5))
    seat = show.seat(show.packager())
    show.send(sound(5 * FRAME))
    assert seat.viewer.done.result() is RECONNECT
    assert len(show.ended) == 1
    assert show.stream.demand == {}


async def test_a_track_that_vanishes_with_a_takeover_closes_the_viewers_with_reconnect() -> None:
    show, _, seat = await live()
    show.publisher = show.claim()
    show.publisher.expect(Kinds(video=True, audio=False))
    show.send(picture(0, key=True))
    assert seat.viewer.done.result() is RECONNECT


async def test_another_codec_closes_the_viewers_who_cannot_take_it() -> None:
    show, _, seat = await live()
    show.send(sound(2 * FRAME, track=OPUS))
    assert seat.viewer.done.result() is CODEC_CHANGED


async def test_who_joins_after_a_codec_change_inside_the_group_waits_for_the_next() -> None:
    show, _, _ = await live()
    show.send(sound(2 * FRAME, track=OPUS), picture(2 * FRAME))
    packager = show.packager()
    seat = show.seat(packager)
    assert not seat.outlet.taken
    show.send(picture(3 * FRAME), sound(3 * FRAME, track=OPUS))
    assert not seat.outlet.taken
    show.send(picture(4 * FRAME, key=True), sound(4 * FRAME, track=OPUS), picture(5 * FRAME))
    assert seat.new_tags() == [(VIDEO_TAG, 133), (AUDIO_TAG, 133), (VIDEO_TAG, 166)]


async def test_the_wrap_of_flv_time_is_a_reconnect_with_a_base_beyond_it() -> None:
    show = Show()
    show.publisher.expect(Kinds(True, True))
    wrap = FLV_WRAP_MS * 90
    track, aac = video_track(), audio_track()

    def at(ms: int, *, key: bool = False) -> AccessUnit:
        return picture(wrap + ms * 90, key=key, track=track)

    for unit in (at(-100, key=True), sound(wrap - 90 * 90, track=aac), at(-50)):
        show.stream.deliver(unit)
    packager = show.packager()
    seat = show.seat(packager)
    assert seat.flv.pictures[0].timestamp == FLV_WRAP_MS - 100
    show.stream.deliver(at(10))
    assert seat.viewer.done.result() is RECONNECT
    second = show.packager()
    late = show.seat(second)
    assert not late.outlet.taken, "the group that wraps cannot be joined"
    show.stream.deliver(at(20))
    show.stream.deliver(at(40, key=True))
    show.stream.deliver(sound(wrap - 90, track=aac))
    show.stream.deliver(at(60))
    assert not late.viewer.done.done(), "sound from before the wrap ends nobody"
    assert late.new_tags() == [(VIDEO_TAG, 40), (VIDEO_TAG, 60)]
    assert late.flv.scripts("onTimeline")[0]["base_ms"] == FLV_WRAP_MS + 40


async def test_without_a_group_the_viewer_waits_for_the_next_keyframe() -> None:
    show = Show(limits=HubLimits(gop=GopLimits(seconds=0.2)))
    show.publisher.expect(Kinds(video=True, audio=False))
    show.send(*pictures(0, 15, gop=100))
    packager = show.packager()
    seat = show.seat(packager)
    show.send(*pictures(15, 3, gop=100))
    assert not seat.outlet.taken
    show.send(picture(18 * FRAME, key=True), picture(19 * FRAME))
    assert seat.new_tags() == [(VIDEO_TAG, 600), (VIDEO_TAG, 633)]


async def test_a_group_that_never_ends_is_not_kept() -> None:
    show = Show(limits=HubLimits(gop=GopLimits(seconds=0.2)))
    show.publisher.expect(Kinds(video=True, audio=False))
    show.send(picture(0, key=True))
    packager = show.packager()
    first = show.seat(packager)
    show.send(*(picture(i * FRAME) for i in range(1, 100)))
    assert len(first.flv.pictures) == 100
    assert packager._batches == []
    late = show.seat(packager)
    assert not late.outlet.taken
    show.send(picture(100 * FRAME, key=True))
    assert len(late.flv.pictures) == 1


async def test_sound_alone_starts_a_group_each_second() -> None:
    show = Show()
    show.publisher.expect(Kinds(video=False, audio=True))
    show.send(*(sound(i * 1920) for i in range(100)))
    packager = show.packager()
    seat = show.seat(packager)
    first = seat.flv.sounds[0].timestamp
    assert 98 * 1920 / 90 - 1100 < first < 99 * 1920 / 90
    calls = seat.outlet.calls
    show.send(sound(100 * 1920))
    assert seat.outlet.calls == calls + 1


async def test_the_last_viewer_to_leave_detaches_the_packager() -> None:
    show, packager, seat = await live()
    other = show.seat(packager)
    packager.leave(seat.viewer)
    assert show.stream.demand["source"] == 2
    packager.leave(other.viewer)
    packager.leave(other.viewer)
    assert show.stream.demand == {}
    assert show.ended == [packager]


def offer(t: int | None, body: dict[str, object]) -> Event:
    return Event("e1", "epoch1", None if t is None else Ticks(t), 7, "price", Lane.COMMERCE, None, "host", body)


async def test_events_are_written_at_once_with_their_time_in_the_body() -> None:
    show, packager, seat = await live()
    show.send(sound(4000))
    show.stream.announce(offer(900_000, {"price": 12, "name": "茶 \ud83c", "big": 10**400, "tags": ["a", None, True]}))
    (event,) = seat.flv.scripts("onEvent")
    assert event["t"] == 900_000.0
    assert (event["id"], event["epoch"], event["seq"], event["ttl"], event["lane"]) == (
        *("e1", "epoch1", 7.0, None),
        "commerce",
    )
    assert event["body"] == {"price": 12.0, "name": "茶 ?", "big": str(10**400), "tags": ["a", None, True]}
    assert len(show.seat(packager).flv.scripts("onEvent")) == 1


async def test_an_event_does_not_run_ahead_of_pictures_that_are_shown_later() -> None:
    show, _, seat = await live()
    show.send(picture(2 * FRAME, composition=9 * FRAME))
    show.stream.announce(offer(None, {}))
    show.send(picture(3 * FRAME))
    times = [t.timestamp for t in seat.flv.tags if t.kind in (SCRIPT, VIDEO_TAG)]
    assert times == sorted(times)


async def test_an_event_before_the_first_picture_is_not_written() -> None:
    show = Show()
    packager = show.packager()
    seat = show.seat(packager)
    show.stream.announce(offer(0, {}))
    assert not seat.outlet.taken


async def test_a_blip_leaves_no_gap_above_one_frame() -> None:
    show, _, seat = await live()
    show.publisher.release(clean=False)
    show.clock.advance(9)
    show.publisher = show.claim()
    base = 77_000_000
    show.send(sound(base - 500), picture(base, key=True), sound(base + 1500), picture(base + FRAME))
    for kind in (AUDIO_TAG, VIDEO_TAG):
        times = [t.timestamp for t in seat.flv.media if t.kind == kind]
        assert all(0 < after - before <= 34 for before, after in itertools.pairwise(times) if kind == VIDEO_TAG)
        assert times == sorted(times)
    assert not seat.viewer.done.done()
    assert len(seat.flv.pictures) == 4


async def test_the_end_of_the_stream_sends_what_is_there_and_ends_everybody() -> None:
    show, packager, seat = await live()
    waiting = show.seat(packager)
    show.send(sound(4000, track=AUDIO))
    show.hub.end("room", ENDED)
    assert seat.new_tags() == [(AUDIO_TAG, 44)]
    assert seat.viewer.done.result() is waiting.viewer.done.result() is ENDED
    assert show.ended == [packager]
    packager.end(RECONNECT)
    assert show.ended == [packager]

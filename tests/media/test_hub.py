from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from media.event import Event, Lane
from media.hub import ClaimRefused, Hub, HubLimits, NotLive
from media.publisher import Publisher
from media.reasons import DISPLACED, ENDED, FULL, RECONNECT, SHUTDOWN, STOPPED, Reason
from media.stream import Kinds, Stream, StreamState
from media.ticks import Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.units import FakeClock, audio_track, picture, sound, video_track
from wire.codecs.opaque import OpaqueConfig

BOTH = Kinds(video=True, audio=True)


class Recorder:
    """A reader that remembers."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.events: list[Event] = []
        self.ended: list[Reason] = []

    def push(self, unit: AccessUnit) -> None:
        self.units.append(unit)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def end(self, reason: Reason) -> None:
        self.ended.append(reason)


def make_hub(clock: FakeClock, limits: HubLimits | None = None) -> Hub:
    numbers = itertools.count(1)
    return Hub(clock, new_epoch=lambda: f"epoch{next(numbers)}", limits=limits)


def claim(hub: Hub, key: str = "room", on_displaced: Callable[[Reason], None] = lambda reason: None) -> Publisher:
    return hub.claim(key, peer="tester", on_displaced=on_displaced)


def send(publisher: Publisher, count: int = 60, *, start: int = 0, audio: bool = True) -> None:
    for i in range(count):
        publisher.publish(picture(start + i * 3000, key=i % 30 == 0))
        if audio:
            publisher.publish(sound(start + i * 3000))


async def live_stream(hub: Hub, publisher: Publisher, *, audio: bool = True) -> Stream:
    publisher.expect(Kinds(video=True, audio=audio))
    send(publisher, audio=audio)
    return await hub.subscribe("room", wait=0)


async def test_a_reader_gets_the_newest_group_and_then_everything() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    reader = Recorder()
    stream.attach(reader)
    assert reader.units[0].keyframe
    assert reader.units[0].is_video
    before = len(reader.units)
    send(publisher, 2, start=60 * 3000)
    assert len(reader.units) == before + 4
    stream.detach(reader)
    send(publisher, 2, start=62 * 3000)
    assert len(reader.units) == before + 4


async def test_readers_get_only_the_tracks_they_attached_to() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    pictures, by_codec, other_codec = Recorder(), Recorder(), Recorder()
    stream.attach(pictures, audio=None)
    stream.attach(by_codec, video=None, audio="aac")
    stream.attach(other_codec, video=None, audio="opus")
    send(publisher, 3, start=60 * 3000)
    assert all(u.is_video for u in pictures.units)
    assert by_codec.units
    assert not any(u.is_video for u in by_codec.units)
    assert other_codec.units == []
    assert stream.demand == {"source": 1, "aac": 1, "opus": 1}


async def test_an_early_viewer_waits_for_the_stream() -> None:
    hub = make_hub(FakeClock())
    waiting = asyncio.create_task(hub.subscribe("room", wait=5))
    await asyncio.sleep(0)
    publisher = claim(hub)
    publisher.expect(BOTH)
    send(publisher, 1)
    assert (await waiting).key == "room"


async def test_a_viewer_waits_until_the_promised_sound_is_there() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    publisher.expect(BOTH)
    publisher.publish(picture(0, key=True))
    with pytest.raises(NotLive):
        await hub.subscribe("room", wait=0)
    publisher.publish(sound(0))
    assert (await hub.subscribe("room", wait=0)).source_audio is not None


async def test_sound_that_never_comes_holds_nobody_up_for_more_than_a_second() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    publisher.expect(BOTH)
    send(publisher, 32, audio=False)
    stream = await hub.subscribe("room", wait=0)
    assert stream.source_audio is None
    assert stream.source_video is not None


async def test_nobody_comes() -> None:
    with pytest.raises(NotLive, match="within 0 s"):
        await make_hub(FakeClock()).subscribe("room", wait=0)


async def test_a_resume_within_the_window_is_the_same_broadcast() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    reader = Recorder()
    stream.attach(reader)
    publisher.release(clean=False)
    assert stream.state is StreamState.WAITING
    clock.advance(29)
    hub.expire()
    last = reader.units[-1].dts
    send(claim(hub), 3, start=123_456)
    assert hub.get("room") is stream
    assert stream.state is StreamState.LIVE
    assert reader.ended == []
    assert next(u.dts for u in reader.units if u.dts > last) == last + 3000


async def test_after_the_window_the_broadcast_ends_and_the_next_has_another_epoch() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    reader = Recorder()
    stream.attach(reader)
    publisher.release(clean=True)
    assert stream.state is StreamState.STOPPED
    clock.advance(30)
    hub.expire()
    assert reader.ended == [ENDED]
    assert hub.get("room") is None
    assert claim(hub).stream.epoch != stream.epoch


async def test_a_displaced_publisher_is_told_and_ignored() -> None:
    hub = make_hub(FakeClock())
    told: list[Reason] = []
    old = claim(hub, on_displaced=told.append)
    stream = await live_stream(hub, old)
    new = claim(hub)
    assert told == [DISPLACED]
    edge = stream.live_edge
    send(old, 5, start=60 * 3000)
    assert stream.live_edge == edge
    assert stream.drops["displaced"] == 10
    old.release(clean=True)
    assert stream.state is StreamState.LIVE
    assert hub.publisher("room") is new


async def test_a_publisher_starts_with_a_keyframe() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    publisher.publish(picture(0))
    publisher.publish(picture(3000, key=True))
    assert publisher.stream.counters.video_units == 1
    assert publisher.stream.drops["before keyframe"] == 1


async def test_two_encoders_that_fight_leave_the_incumbent_on_the_air() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    publishers = [claim(hub) for _ in range(4)]
    with pytest.raises(ClaimRefused, match="3 take-overs within 30 s") as refused:
        claim(hub)
    assert refused.value.retry_after == 30
    assert publishers[-1].is_active
    clock.advance(29)
    with pytest.raises(ClaimRefused):
        claim(hub)
    clock.advance(2)
    assert claim(hub).is_active


async def test_a_host_who_resumes_is_never_taken_for_a_fight() -> None:
    hub = make_hub(FakeClock())
    for _ in range(20):
        claim(hub).release(clean=False)
    assert claim(hub).is_active


async def test_a_publisher_without_sound_closes_those_who_were_promised_sound() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    reader, silent = Recorder(), Recorder()
    stream.attach(reader)
    stream.attach(silent, audio=None)
    again = claim(hub)
    again.expect(Kinds(video=True, audio=False))
    send(again, 2, audio=False)
    assert reader.ended == [RECONNECT]
    assert silent.ended == []
    assert stream.source_audio is None


async def test_joiners_during_an_outage_get_the_last_group() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    await live_stream(hub, publisher)
    publisher.release(clean=False)
    reader = Recorder()
    (await hub.subscribe("room", wait=0)).attach(reader)
    assert reader.units[0].keyframe


async def test_another_audio_codec_of_the_source_replaces_the_first() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    publisher.publish(sound(200_000, track=audio_track(Codec.OPUS)))
    assert list(stream.audio) == ["opus"]


async def test_a_new_configuration_is_a_new_track() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    track = video_track()
    publisher.publish(picture(60 * 3000, key=True, track=track))
    assert stream.source_video is track


async def test_events_reach_every_reader() -> None:
    hub = make_hub(FakeClock())
    stream = await live_stream(hub, claim(hub))
    reader = Recorder()
    stream.attach(reader)
    event = Event("1", stream.epoch, Ticks(5), 1, "product.show", Lane.COMMERCE, None, None, {})
    stream.announce(event)
    assert reader.events == [event]


async def test_keyframe_requests_reach_the_publisher_at_a_bounded_rate() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    publisher = claim(hub)
    stream = await live_stream(hub, publisher)
    assert not stream.request_keyframe()
    asked: list[float] = []
    publisher.on_keyframe_wanted(lambda: asked.append(clock.now()))
    for _ in range(10):
        assert stream.request_keyframe()
        clock.advance(0.1)
    assert len(asked) == 2


async def test_the_number_of_streams_is_bounded() -> None:
    hub = make_hub(FakeClock(), HubLimits(max_streams=1))
    claim(hub, "a")
    with pytest.raises(ClaimRefused) as refused:
        claim(hub, "b")
    assert refused.value.reason is FULL


async def test_an_operator_ends_a_stream() -> None:
    hub = make_hub(FakeClock())
    told: list[Reason] = []
    publisher = claim(hub, on_displaced=told.append)
    stream = await live_stream(hub, publisher)
    reader = Recorder()
    stream.attach(reader)
    assert hub.end("room")
    assert not hub.end("room")
    assert told == reader.ended == [STOPPED]


async def test_closing_the_hub_ends_everything_and_everyone_who_waits() -> None:
    hub = make_hub(FakeClock())
    waiting = asyncio.create_task(hub.subscribe("later", wait=5))
    await asyncio.sleep(0)
    told: list[Reason] = []
    claim(hub, on_displaced=told.append)
    hub.close()
    assert told == [SHUTDOWN]
    with pytest.raises(NotLive):
        await waiting


async def test_waiting_viewers_are_bounded_and_leave_nothing_behind() -> None:
    hub = make_hub(FakeClock(), HubLimits(max_waiting=1))
    waiting = asyncio.create_task(hub.subscribe("room", wait=5))
    await asyncio.sleep(0)
    with pytest.raises(NotLive, match="waiting"):
        await hub.subscribe("room", wait=5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(NotLive, match="within 0 s"):
        await hub.subscribe("room", wait=0)


async def test_the_frame_rate_is_unknown_until_declared_or_measured() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    silent = Track(Codec.AV1, OpaqueConfig(b""))  # a configuration that says nothing of time
    publisher.publish(picture(0, key=True, track=silent))
    assert publisher.stream.frame_rate is None
    publisher.publish(picture(3600, track=silent))
    assert publisher.stream.frame_rate == 25
    publisher.expect(BOTH, frame_rate=50)
    assert publisher.stream.frame_rate == 50

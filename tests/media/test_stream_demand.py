"""Sound that readers want in a codec that the publisher does not send: what a stream tells whoever makes it."""

from __future__ import annotations

from media.hub import Hub
from media.publisher import Publisher
from media.reasons import RECONNECT, Reason
from media.stream import Kinds, Stream
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.units import FakeClock, audio_track, picture, sound
from wire.codecs.opus import OpusConfig

BOTH = Kinds(video=True, audio=True)
OPUS = Track(Codec.OPUS, OpusConfig(2), rendition="opus")
SOURCE_OPUS = Track(Codec.OPUS, OpusConfig(2))


class Recorder:
    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.ended: list[Reason] = []

    def push(self, unit: AccessUnit) -> None:
        self.units.append(unit)

    def on_event(self, event: object) -> None:
        pass

    def end(self, reason: Reason) -> None:
        self.ended.append(reason)


class Room:
    """A stream, and every answer of `unmet_audio` that its `on_demand` led to."""

    def __init__(self) -> None:
        self.hub = Hub(FakeClock(), new_epoch=lambda: "e")
        self.opened: list[Stream] = []
        self.hub.on_open = self.opened.append
        self.publisher = self.claim()
        self.told: list[set[str]] = []
        self.stream.on_demand = lambda stream: self.told.append(set(stream.unmet_audio))

    @property
    def stream(self) -> Stream:
        return self.publisher.stream

    def claim(self, kinds: Kinds = BOTH) -> Publisher:
        self.publisher = self.hub.claim("room", peer="tester", on_displaced=lambda reason: None)
        self.publisher.expect(kinds)
        return self.publisher

    def send(self, count: int = 2, *, track: Track | None = None) -> None:
        for index in range(count):
            self.publisher.publish(picture(index * 3000, key=index == 0))
            if track is not None:
                self.publisher.publish(sound(index * 3000, track=track))


def test_each_new_broadcast_is_told_of_once() -> None:
    room = Room()
    room.claim()
    assert room.opened == [room.stream]


def test_readers_that_come_and_go_are_told_of() -> None:
    room = Room()
    room.send(track=audio_track())
    room.told.clear()
    reader, other = Recorder(), Recorder()
    room.stream.attach(reader, audio="opus")
    room.stream.attach(other, audio="aac")
    room.stream.detach(reader)
    room.stream.detach(reader)
    assert room.told == [{"opus"}, {"opus"}, set()]


def test_nothing_is_unmet_before_there_is_sound_and_when_the_codec_fits() -> None:
    room = Room()
    for audio in ("opus", "source", None):
        room.stream.attach(Recorder(), audio=audio)
    assert room.told == [set(), set(), set()]
    room.send(track=audio_track())
    assert room.told[3:] == [set(), {"opus"}]  # the picture, then the sound
    room.claim()
    room.send(track=SOURCE_OPUS)
    assert room.told[-1] == set()


def test_made_sound_goes_to_those_who_want_it_and_is_kept_for_joiners() -> None:
    room = Room()
    room.send(track=audio_track())
    early, late, plain = Recorder(), Recorder(), Recorder()
    room.stream.attach(early, audio="opus")
    room.stream.attach(plain)
    room.stream.promise(OPUS)
    assert room.stream.audio["opus"] is OPUS
    assert room.stream.source_audio is room.stream.audio["aac"]
    for dts in (0, 1800, 3600):
        room.stream.deliver(sound(dts, track=OPUS))
    room.stream.attach(late, audio="opus")
    for reader in (early, late):
        assert [unit.dts for unit in reader.units if not unit.is_video] == [0, 1800, 3600]
        assert all(unit.track is OPUS for unit in reader.units if not unit.is_video)
    assert all(unit.track is not OPUS for unit in plain.units)


def test_made_sound_is_not_the_publishers() -> None:
    room = Room()
    room.send(track=audio_track())
    before = room.stream.counters.audio_units, room.stream.counters.bytes
    room.stream.deliver(sound(1800, track=OPUS))
    assert (room.stream.counters.audio_units, room.stream.counters.bytes) == before


def test_withdrawn_sound_is_gone_unless_another_track_took_its_place() -> None:
    room = Room()
    room.send(track=audio_track())
    room.stream.promise(OPUS)
    room.claim()
    room.send(track=SOURCE_OPUS)
    room.stream.withdraw(OPUS)
    assert room.stream.audio == {"opus": SOURCE_OPUS}
    room.stream.promise(OPUS)
    room.stream.withdraw(OPUS)
    assert room.stream.audio == {}


def test_made_sound_that_is_still_coming_does_not_hide_that_a_new_publisher_has_none() -> None:
    room = Room()
    room.send(track=audio_track())
    reader = Recorder()
    room.stream.attach(reader, audio="opus")
    room.claim(Kinds(video=True))
    for index in range(40):
        room.publisher.publish(picture(index * 3000, key=index == 0))
        room.stream.deliver(sound(10_000 + index * 3000, track=OPUS))
    assert reader.ended
    assert room.told[-1] == set()


def test_the_track_of_a_codec_is_known_before_anybody_attaches() -> None:
    room = Room()
    assert room.stream.audio_track("source") is None
    room.send(track=audio_track())
    assert room.stream.audio_track("source") is room.stream.audio_track("aac") is room.stream.source_audio
    assert room.stream.audio_track("opus") is None
    room.stream.could_make = lambda codec: OPUS if codec == "opus" else None
    assert room.stream.audio_track("opus") is OPUS
    assert room.stream.audio_track("mp3") is None
    assert room.told[-1:] == [set()]


def rung_unit(track: Track, ticks: int) -> AccessUnit:
    unit = picture(ticks, key=True)
    return AccessUnit(track, unit.dts, unit.pts, True, unit.parts)


def test_a_rung_that_is_wanted_is_named_and_what_is_made_of_it_reaches_who_wants_it() -> None:
    room = Room()
    room.send()
    source, rung = Recorder(), Recorder()
    room.stream.attach(source)
    room.stream.attach(rung, video="360p")
    assert room.stream.unmet_video == {"360p"}
    track = Track(Codec.H264, room.stream.source_video.config, "360p")  # type: ignore[union-attr]
    room.stream.deliver(rung_unit(track, 9000))
    assert [unit.track for unit in rung.units] == [track]
    assert all(unit.track is not track for unit in source.units)


def test_a_rung_that_is_withdrawn_ends_its_readers_and_nobody_else() -> None:
    room = Room()
    room.send()
    source, rung = Recorder(), Recorder()
    room.stream.attach(source)
    room.stream.attach(rung, video="360p")
    room.stream.deliver(rung_unit(Track(Codec.H264, room.stream.source_video.config, "360p"), 9000))  # type: ignore[union-attr]
    room.stream.withdraw_rung("360p", RECONNECT)
    assert rung.ended == [RECONNECT]
    assert not source.ended
    assert not room.stream.unmet_video
    assert "360p" not in room.stream.renditions


def test_keyframes_of_rungs_and_of_the_source_are_asked_for_apart() -> None:
    room = Room()
    asked: list[str] = []
    room.publisher.on_keyframe_wanted(lambda: asked.append("source"))
    assert not room.stream.request_keyframe("360p")
    room.stream.on_rung_keyframe_wanted = lambda: asked.append("rungs")
    assert room.stream.request_keyframe("360p")
    assert room.stream.request_keyframe("720p")
    assert room.stream.request_keyframe()
    assert asked == ["rungs", "source"]

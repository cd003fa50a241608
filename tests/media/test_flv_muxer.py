from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import flv_muxer
from media.event import Event, Lane
from media.flv_demuxer import FlvDemuxer
from media.flv_muxer import FLV_WRAP_MS, FlvOptions
from media.ticks import Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.flv import read_flv
from tests.support.units import audio_track, hevc_track, picture, sound, video_track
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig
from wire.flv import encode_header
from wire.flv_tag import FlvTag

AV1 = Track(Codec.AV1, OpaqueConfig(b"\x81\x00\x0c\x00"))
OPUS = Track(Codec.OPUS, OpusConfig(2))
MP3 = Track(Codec.MP3, OpaqueConfig(b"", 44_100, 2))
PCMA = Track(Codec.PCMA, OpaqueConfig(b"", 8_000, 1))
SPEEX = Track(Codec.SPEEX, OpaqueConfig(b"", 16_000, 1))
VIDEOS = [video_track(), hevc_track(), AV1]
SOUNDS = [audio_track(), OPUS, MP3, PCMA, SPEEX]
LEGACY = FlvOptions(legacy_hevc=True)


def tag_of(data: bytes) -> FlvTag:
    (tag,) = read_flv(encode_header(True, True) + data).tags
    return tag


def round_trip(unit: AccessUnit, options: FlvOptions) -> AccessUnit:
    demuxer = FlvDemuxer()
    config = flv_muxer.config_tag(unit.track, 0, options)
    if config:
        demuxer.read(tag_of(config))
    read = demuxer.read(tag_of(flv_muxer.unit_tag(unit, options)))
    assert read is not None
    return read


def nal(codec: Codec, key: bool, payload: bytes) -> bytes:
    if codec is Codec.H264:
        return (b"\x65" if key else b"\x41") + payload
    return (b"\x26\x01" if key else b"\x02\x01") + payload


@settings(max_examples=200, deadline=None)
@given(
    track=st.sampled_from(VIDEOS),
    dts_ms=st.integers(0, FLV_WRAP_MS - 1),
    composition=st.integers(0, 10_000),
    key=st.booleans(),
    payloads=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4),
    options=st.sampled_from([flv_muxer.PLAIN, LEGACY]),
)
def test_pictures_come_back(
    *, track: Track, dts_ms: int, composition: int, key: bool, payloads: list[bytes], options: FlvOptions
) -> None:
    if track.codec is Codec.AV1:
        parts, composition = (b"".join(payloads),), 0
    else:
        parts = tuple(nal(track.codec, key, b"\x80" + payload) for payload in payloads)
    unit = AccessUnit(track, Ticks(dts_ms * 90), Ticks((dts_ms + composition) * 90), key, parts)
    read = round_trip(unit, options)
    assert (read.dts, read.pts, read.keyframe, read.parts) == (unit.dts, unit.pts, key, parts)
    assert (read.track.codec, read.track.config) == (track.codec, track.config)


@given(track=st.sampled_from(SOUNDS), dts_ms=st.integers(0, FLV_WRAP_MS - 1), data=st.binary(min_size=1, max_size=60))
def test_sound_comes_back(track: Track, dts_ms: int, data: bytes) -> None:
    unit = AccessUnit(track, Ticks(dts_ms * 90), Ticks(dts_ms * 90), True, (data,))
    read = round_trip(unit, flv_muxer.PLAIN)
    assert (read.dts, read.pts, read.keyframe, read.parts) == (unit.dts, unit.pts, True, (data,))
    assert (read.track.codec, read.track.config) == (track.codec, track.config)


@given(dts=st.integers(0, 2**33), composition=st.integers(0, 900_000))
def test_times_are_floored_each_by_itself(dts: int, composition: int) -> None:
    tag = tag_of(flv_muxer.unit_tag(picture(dts, composition=composition)))
    assert tag.timestamp == dts // 90 % FLV_WRAP_MS
    assert int.from_bytes(tag.body[2:5], "big") == (dts + composition) // 90 - dts // 90


def test_time_wraps_at_31_bits() -> None:
    assert flv_muxer.wrap_of(FLV_WRAP_MS * 90 - 1) == 0
    assert flv_muxer.wrap_of(FLV_WRAP_MS * 90) == 1
    assert tag_of(flv_muxer.unit_tag(sound((FLV_WRAP_MS + 7) * 90))).timestamp == 7
    assert tag_of(flv_muxer.config_tag(video_track(), FLV_WRAP_MS + 7)).timestamp == 7


@pytest.mark.parametrize("track", [MP3, PCMA, SPEEX])
def test_sound_without_a_record_has_no_sequence_header(track: Track) -> None:
    assert flv_muxer.config_tag(track, 0) == b""


@pytest.mark.parametrize("video", [*VIDEOS, None])
@pytest.mark.parametrize("audio", [*SOUNDS, None])
def test_every_pair_of_tracks_has_a_prelude(video: Track | None, audio: Track | None) -> None:
    base = FLV_WRAP_MS + 5
    flv = read_flv(flv_muxer.prelude(video, audio, epoch="e", base_ms=base, frame_rate=29.97))
    assert flv.header is not None
    assert (flv.header.has_video, flv.header.has_audio) == (video is not None, audio is not None)
    assert flv.scripts("onTimeline") == [{"epoch": "e", "base_ms": float(base)}]
    (metadata,) = flv.scripts("onMetaData")
    assert ("videocodecid" in metadata, "audiocodecid" in metadata) == (video is not None, audio is not None)
    assert ("framerate" in metadata) == (video is not None)
    # FFmpeg takes metadata at any other time than 0 for the text of a subtitle.
    assert [t.timestamp for t in flv.tags] == [0, *[5] * (len(flv.tags) - 1)]


@pytest.mark.parametrize(
    ("track", "number"), [(hevc_track(), b"hvc1"), (AV1, b"av01"), (OPUS, b"Opus")], ids=lambda value: str(value)[:8]
)
def test_metadata_names_newer_codecs_by_their_fourcc(track: Track, number: bytes) -> None:
    pair = (track, None) if track.is_video else (None, track)
    (metadata,) = read_flv(flv_muxer.prelude(*pair, epoch="e", base_ms=0, frame_rate=None)).scripts("onMetaData")
    key = "videocodecid" if track.is_video else "audiocodecid"
    assert metadata[key] == float(int.from_bytes(number, "big"))


def test_an_event_holds_whatever_json_may_hold() -> None:
    body = {"n": 3, "big": -(10**400), "half": "\udc00", "\ud800": [True, None, {"deep": [1.5]}], "what": b"x"}
    event = Event("id", None, None, None, "like", Lane.AMBIENT, 500, None, body)
    tag = flv_muxer.event_tag(event, FLV_WRAP_MS + 3)
    assert tag_of(tag).timestamp == 3
    (read,) = read_flv(encode_header(True, True) + tag).scripts("onEvent")
    assert read == {
        "id": "id",
        "epoch": None,
        "t": None,
        "seq": None,
        "kind": "like",
        "lane": "ambient",
        "ttl": 500.0,
        "sender": None,
        "body": {"n": 3.0, "big": str(-(10**400)), "half": "?", "?": [True, None, {"deep": [1.5]}], "what": "b'x'"},
    }

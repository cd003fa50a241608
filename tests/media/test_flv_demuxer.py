from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.flv_demuxer import MAX_UNSUPPORTED, FlvDemuxer
from media.stream import Kinds
from media.track import Codec
from media.unit import AccessUnit
from tests.support.units import HEVC_SETS, PPS, SPS, audio_track, hevc_track, video_track
from wire import flv_audio, flv_video
from wire.codecs.h264 import H264Config
from wire.codecs.nal import join_length_prefixed
from wire.errors import Truncated, Unsupported, WireError
from wire.flv_script import encode_script
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag

AVCC = H264Config((SPS,), (PPS,)).to_avcc()
HVCC = hevc_track().config.to_hvcc()  # type: ignore[union-attr]
IDR, SLICE_P, SLICE_I = b"\x65\x88\x80", b"\x41\x9a\x02", b"\x41\x88\x80"
SMALL_SPS = bytes.fromhex("6742c00cda0501fe5c044000000300400000078230a928")
AAC_CONFIG = b"\xaf\x00\x11\x90"


def video(body: bytes, ms: int = 0) -> FlvTag:
    return FlvTag(VIDEO, ms, body)


def sound(body: bytes, ms: int = 0) -> FlvTag:
    return FlvTag(AUDIO, ms, body)


def avc(*nals: bytes, key: bool = False, composition: int = 0) -> bytes:
    return flv_video.video_frame_header("h264", key, composition) + join_length_prefixed(nals)


def ready() -> FlvDemuxer:
    """A demuxer that knows H.264 and AAC already."""
    demuxer = FlvDemuxer()
    demuxer.read(video(b"\x17\x00\0\0\0" + AVCC))
    demuxer.read(sound(AAC_CONFIG))
    return demuxer


def read(demuxer: FlvDemuxer, tag: FlvTag) -> AccessUnit:
    unit = demuxer.read(tag)
    assert unit is not None
    return unit


@pytest.mark.parametrize(
    ("config", "frame", "codec", "parts"),
    [
        (b"\x17\x00\0\0\0" + AVCC, avc(IDR, key=True), Codec.H264, (IDR,)),
        (b"\x90avc1" + AVCC, b"\x91avc1\0\0\0" + join_length_prefixed([IDR]), Codec.H264, (IDR,)),
        (
            b"\x1c\x00\0\0\0" + HVCC,
            b"\x1c\x01\0\0\0" + join_length_prefixed([b"\x26\x01x"]),
            Codec.H265,
            (b"\x26\x01x",),
        ),
        (b"\x90hvc1" + HVCC, b"\x93hvc1" + join_length_prefixed([b"\x26\x01x"]), Codec.H265, (b"\x26\x01x",)),
        (b"\x90av01\x81\0\0\0", b"\x91av01temporal unit", Codec.AV1, (b"temporal unit",)),
    ],
)
def test_pictures_in_legacy_and_enhanced_bodies(
    config: bytes, frame: bytes, codec: Codec, parts: tuple[bytes, ...]
) -> None:
    demuxer = FlvDemuxer()
    assert demuxer.read(video(config)) is None
    unit = read(demuxer, video(frame, 40))
    assert (unit.track.codec, unit.parts, unit.keyframe) == (codec, parts, True)
    assert unit.dts == unit.pts == 3600


@pytest.mark.parametrize(
    ("config", "frame", "codec", "data"),
    [
        (AAC_CONFIG, b"\xaf\x01aac", Codec.AAC, b"aac"),
        (b"\x90mp4a\x11\x90", b"\x91mp4aaac", Codec.AAC, b"aac"),
        (b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0", b"\x91Opusopus", Codec.OPUS, b"opus"),
        (b"", b"\x2fmp3", Codec.MP3, b"mp3"),
        (b"", b"\x72alaw", Codec.PCMA, b"alaw"),
    ],
)
def test_sound_in_legacy_and_enhanced_bodies(config: bytes, frame: bytes, codec: Codec, data: bytes) -> None:
    demuxer = FlvDemuxer()
    assert demuxer.read(sound(config)) is None
    unit = read(demuxer, sound(frame, 23))
    assert (unit.track.codec, unit.parts, unit.keyframe, unit.dts) == (codec, (data,), True, 2070)


def test_composition_time_is_the_distance_of_pts_from_dts() -> None:
    unit = read(ready(), video(avc(SLICE_P, composition=80), 40))
    assert (unit.dts, unit.pts) == (40 * 90, 120 * 90)


def test_a_composition_time_that_is_nonsense_is_left_out() -> None:
    demuxer = ready()
    for composition in (10_001, -10_001, 2**23 - 1):
        assert demuxer.read(video(avc(SLICE_P, composition=composition))) is None
    assert demuxer.ignored["composition time"] == 3
    assert read(demuxer, video(avc(SLICE_P, composition=10_000))).pts == 900_000


def test_the_same_configuration_again_is_the_same_track() -> None:
    demuxer = ready()
    first = read(demuxer, video(avc(IDR))).track, read(demuxer, sound(b"\xaf\x01x")).track
    demuxer.read(video(b"\x17\x00\0\0\0" + AVCC))
    demuxer.read(sound(AAC_CONFIG))
    again = read(demuxer, video(avc(SPS, PPS, IDR))), read(demuxer, sound(b"\xaf\x01x"))
    assert (again[0].track, again[1].track) == first
    assert again[0].parts == (IDR,)


@pytest.mark.parametrize("is_in_band", [True, False])
def test_a_new_configuration_is_a_new_track(is_in_band: bool) -> None:
    demuxer = ready()
    before = read(demuxer, video(avc(IDR))).track
    new = PPS + b"\x01"
    if not is_in_band:
        demuxer.read(video(b"\x17\x00\0\0\0" + H264Config((SPS,), (new,)).to_avcc()))
    unit = read(demuxer, video(avc(*([SPS, new] if is_in_band else []), IDR)))
    assert unit.track is not before
    assert unit.track.config == H264Config((SPS,), (new,))
    assert unit.parts == (IDR,)
    demuxer.read(sound(b"\xaf\x00\x11\x88"))
    assert read(demuxer, sound(b"\xaf\x01x")).track.config.asc == b"\x11\x88"  # type: ignore[union-attr]


def test_parameter_sets_inside_the_stream_are_enough() -> None:
    demuxer = FlvDemuxer()
    assert read(demuxer, video(avc(SPS, PPS, IDR))).track.codec is Codec.H264
    body = b"\x1c\x01\0\0\0" + join_length_prefixed([*HEVC_SETS, b"\x26\x01x"])
    assert read(demuxer, video(body)).track.codec is Codec.H265


def test_a_picture_in_another_codec_than_the_configuration_is_left_out() -> None:
    demuxer = ready()
    assert demuxer.read(video(b"\x1c\x01\0\0\0" + join_length_prefixed([b"\x26\x01x"]))) is None
    assert demuxer.read(sound(b"\x91Opusopus")) is None
    assert demuxer.ignored == {"video without configuration": 1, "audio without configuration": 1}


def test_media_before_its_configuration_is_left_out() -> None:
    demuxer = FlvDemuxer()
    assert demuxer.read(sound(b"\xaf\x01x")) is None
    assert demuxer.read(video(avc(IDR, key=True))) is None
    assert demuxer.ignored == {"video without configuration": 1, "audio without configuration": 1}


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (video(avc()), "empty video"),
        (video(avc(b"\x09\xf0", b"\x0c\xff")), "empty video"),
        (sound(b"\xaf\x01"), "empty audio"),
        (sound(b""), "AudioSilence"),
        (sound(b"\xaf\x00"), "empty audio configuration"),
        (video(b"\x17\x02\0\0\0"), "VideoEnd"),
        (video(b"\x57\x00"), "VideoCommand"),
        (video(b"\x94hvc1colour"), "VideoMetadata"),
        (sound(b"\x94Opuschannels"), "AudioMultichannel"),
        (FlvTag(SCRIPT, 0, encode_script("onCuePoint", 1.0)), "script"),
        (FlvTag(SCRIPT, 0, encode_script("onMetaData")), "script"),
    ],
)
def test_what_carries_no_media_is_counted(tag: FlvTag, name: str) -> None:
    demuxer = ready()
    assert demuxer.read(tag) is None
    assert demuxer.ignored == {name: 1}


def test_a_keyframe_is_what_the_picture_says_and_not_only_the_tag() -> None:
    demuxer = ready()
    assert read(demuxer, video(avc(IDR))).keyframe
    assert not read(demuxer, video(avc(SLICE_P, key=True))).keyframe
    assert read(demuxer, video(avc(SLICE_I, key=True))).keyframe, "some keyframes are no IDR"
    assert not read(demuxer, video(avc(SLICE_I))).keyframe
    assert not read(demuxer, video(avc(b"\x41", key=True))).keyframe
    assert not read(demuxer, video(avc(b"\x06\x05\x01\x00\x80", key=True))).keyframe


def test_time_goes_on_past_its_wrap_and_jitter_around_it_does_not_jump() -> None:
    demuxer = ready()
    start = 2**32 - 50
    times = [read(demuxer, video(avc(SLICE_P), ms % 2**32)).dts // 90 for ms in (start, start + 60, start + 40)]
    assert times == [start, start + 60, start + 40]
    assert read(demuxer, sound(b"\xaf\x01x", 30)).dts // 90 == 2**32 + 30


def test_a_publisher_may_start_at_four_billion() -> None:
    assert read(ready(), sound(b"\xaf\x01x", 4_000_000_000)).dts == 360_000_000_000


@pytest.mark.parametrize(
    ("values", "kinds", "rate"),
    [
        ({"videocodecid": 7.0, "audiocodecid": 10.0, "framerate": 30.0}, Kinds(True, True), 30.0),
        ({"videocodecid": 7.0, "videoframerate": 25.0}, Kinds(True, False), 25.0),
        ({"audiocodecid": 10.0}, Kinds(False, True), None),
        ({"framerate": 0.0}, Kinds(), None),
        ({"framerate": float("nan")}, Kinds(), None),
        ({"framerate": float("inf")}, Kinds(), None),
        ({"framerate": 90_000.0}, Kinds(), None),
        ({"framerate": "thirty"}, Kinds(), None),
    ],
)
def test_metadata(values: dict[str, float | str], kinds: Kinds, rate: float | None) -> None:
    demuxer = FlvDemuxer()
    assert demuxer.metadata is None
    demuxer.read(FlvTag(SCRIPT, 0, encode_script("@setDataFrame", "onMetaData", {**values, "encoder": "obs"})))
    assert demuxer.metadata is not None
    assert (demuxer.metadata.kinds, demuxer.metadata.frame_rate) == (kinds, rate)
    assert demuxer.metadata.encoder == "obs"


def test_further_tracks_and_unknown_codecs_are_left_out() -> None:
    demuxer = ready()
    read(demuxer, video(avc(IDR)))
    for _ in range(MAX_UNSUPPORTED + 1):
        assert demuxer.read(video(b"\x96\x01avc1\x01\0\0\0pic")) is None
        assert demuxer.read(sound(b"\x62nelly")) is None
    assert demuxer.ignored["unsupported"] == 2 * MAX_UNSUPPORTED + 2
    assert str(demuxer.unsupported) == "track 1: only track 0 is taken"


def test_a_publisher_that_sends_nothing_usable_is_refused() -> None:
    demuxer = FlvDemuxer()
    for _ in range(MAX_UNSUPPORTED):
        demuxer.read(video(b"\x12sorenson"))
    with pytest.raises(Unsupported, match="video codec id 2"):
        demuxer.read(video(b"\x12sorenson"))


@pytest.mark.parametrize(
    "tag",
    [video(b""), video(b"\x17"), video(b"\x17\x01\0"), video(avc() + b"\0\0\0\x09x"), sound(b"\xaf"), video(b"\x90av")],
)
def test_a_cut_tag_is_truncated(tag: FlvTag) -> None:
    with pytest.raises(Truncated):
        ready().read(tag)


BODIES = [
    (VIDEO, b"\x17\x00\0\0\0" + AVCC),
    (VIDEO, b"\x90hvc1" + HVCC),
    (VIDEO, avc(SPS, PPS, IDR, key=True, composition=40)),
    (VIDEO, avc(SMALL_SPS, PPS, SLICE_I, key=True)),
    (VIDEO, b"\x1c\x01\0\0\0" + join_length_prefixed([*HEVC_SETS, b"\x26\x01x"])),
    (AUDIO, AAC_CONFIG),
    (AUDIO, b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"),
    (AUDIO, flv_audio.audio_frame_header("mp3", 44_100, 2) + b"mp3"),
    (SCRIPT, encode_script("onMetaData", {"framerate": 30.0, "audiocodecid": 10.0})),
]


@settings(max_examples=300, deadline=None)
@given(
    tags=st.lists(
        st.tuples(
            st.sampled_from(BODIES),
            st.integers(0, 2**32 - 1),
            st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
            st.integers(0, 200),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_mutated_tags_parse_or_raise_wire_error(
    tags: list[tuple[tuple[int, bytes], int, list[tuple[int, int]], int]],
) -> None:
    demuxer = FlvDemuxer()
    for (kind, body), ms, changes, length in tags:
        mutated = bytearray(body)
        for at, value in changes:
            mutated[at % len(mutated)] = value
        with contextlib.suppress(WireError):
            unit = demuxer.read(FlvTag(kind, ms, bytes(mutated[:length] if length else mutated)))
            assert unit is None or (unit.parts and all(unit.parts))
            assert unit is None or abs(unit.pts - unit.dts) <= 10_000 * 90


def test_tracks_of_tests_are_what_the_bodies_say() -> None:
    assert read(ready(), video(avc(IDR))).track.config == video_track().config
    assert read(ready(), sound(b"\xaf\x01x")).track.config == audio_track().config

"""Our reading and writing of FLV and of codec records, compared with FFmpeg's on streams of real encoders."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from av.video.frame import PictureType

from tests.support.encoded import FRAMES, audio_flv, packets, video_flv
from wire.codecs import h264, h265
from wire.codecs.aac import AacConfig, build_adts, split_adts
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.nal import join_annexb, join_length_prefixed, split_annexb, split_length_prefixed
from wire.codecs.opus import OpusConfig, packet_samples
from wire.flv import AUDIO, SCRIPT, VIDEO, FlvHeader, FlvParser, FlvTag, encode_header, encode_tag_parts
from wire.flv_audio import AudioConfigRecord, AudioFrame, audio_frame_header, encode_audio_config, parse_audio
from wire.flv_script import encode_script, parse_script
from wire.flv_video import (
    VideoConfigRecord,
    VideoFrame,
    VideoMetadata,
    encode_video_config,
    parse_video,
    video_frame_header,
)

RATE_CONTROL = "hrd=1:vbv-maxrate=500:vbv-bufsize=500:bitrate=500"
H264_FILMS = [
    {"width": 320, "height": 240, "profile": "baseline"},
    {"width": 322, "height": 242, "profile": "main"},
    {"width": 640, "height": 360, "profile": "high", "params": "bframes=3:b-pyramid=normal:ref=4"},
    {"width": 322, "height": 182, "pix_fmt": "yuv422p", "profile": "high422"},
    {"width": 360, "height": 240, "pix_fmt": "yuv444p"},
    {"width": 320, "height": 240, "pix_fmt": "yuv420p10le", "profile": "high10"},
    {"width": 352, "height": 284, "params": "interlaced=1:bframes=2"},
    {
        "width": 320,
        "height": 240,
        "params": "slices=4:bframes=0:nal-hrd=cbr:vbv-maxrate=500:vbv-bufsize=500:bitrate=500",
    },
    {"width": 320, "height": 240, "params": "open-gop=1:bframes=3"},
    {"width": 320, "height": 240, "params": "cqm=jvt:8x8dct=1"},
]
H265_FILMS = [
    {"width": 320, "height": 240, "params": "log-level=none"},
    {"width": 322, "height": 242, "params": "log-level=none:bframes=4:b-adapt=0"},
    {"width": 320, "height": 240, "pix_fmt": "yuv422p10le", "params": "log-level=none"},
    {"width": 320, "height": 240, "pix_fmt": "yuv444p", "params": "log-level=none:bframes=0"},
    {"width": 320, "height": 240, "params": "log-level=none:scaling-list=default:" + RATE_CONTROL},
    {"width": 320, "height": 240, "params": "log-level=none:temporal-layers=2:bframes=3"},
]  # fmt: skip
CHROMA = {"yuv420p": 1, "yuv422p": 2, "yuv444p": 3}


def film(codec: str, arguments: dict) -> bytes:
    return video_flv(codec, arguments["width"], arguments["height"], **{
        name: value for name, value in arguments.items() if name not in ("width", "height")
    })  # fmt: skip


def tags(flv: bytes) -> list[FlvTag]:
    parser = FlvParser()
    parser.receive_data(flv)
    assert isinstance(parser.next_event(), FlvHeader)
    found = []
    while (event := parser.next_event()) is not None:
        assert isinstance(event, FlvTag)
        found.append(event)
    parser.receive_eof()
    return found


def video_events(flv: bytes) -> list[tuple[int, object]]:
    return [(tag.timestamp, parse_video(tag.body)) for tag in tags(flv) if tag.kind == VIDEO]


def config_record(flv: bytes) -> bytes:
    return next(event.record for _, event in video_events(flv) if isinstance(event, VideoConfigRecord))


def frames(flv: bytes) -> list[tuple[int, VideoFrame]]:
    return [(dts, event) for dts, event in video_events(flv) if isinstance(event, VideoFrame)]


def decoded_context(flv: bytes) -> av.VideoCodecContext:
    with av.open(io.BytesIO(flv)) as container:
        stream = container.streams.video[0]
        assert sum(1 for _ in container.decode(stream)) == FRAMES
        return stream.codec_context


def actual_reordering(flv: bytes) -> int:
    """The most pictures that precede one in decoding order and follow it in output order."""
    order = [dts + frame.composition_ms for dts, frame in frames(flv)]
    return max(sum(1 for earlier in order[:index] if earlier > pts) for index, pts in enumerate(order))


@pytest.mark.parametrize("arguments", H264_FILMS, ids=str)
def test_h264_records_say_what_ffmpeg_says(arguments: dict) -> None:
    flv = film("libx264", arguments)
    config, length_size = H264Config.from_avcc(config_record(flv))
    context = decoded_context(flv)
    assert (length_size, config.width, config.height) == (4, context.width, context.height)
    assert (config.width, config.height) == (arguments["width"], arguments["height"])
    assert config.to_avcc() == config_record(flv)
    assert config.chroma_format_idc == CHROMA[context.pix_fmt.removesuffix("10le")]
    assert config.bit_depth == (10 if context.pix_fmt.endswith("10le") else 8)
    assert config.frame_rate == Fraction(25)
    assert config.interlaced == ("interlaced" in arguments.get("params", ""))
    assert (config.reorder_depth > 0) == context.has_b_frames
    assert actual_reordering(flv) <= config.reorder_depth <= actual_reordering(flv) + 1


@pytest.mark.parametrize(
    ("profile", "idc", "name"),
    [("baseline", 66, "Constrained Baseline"), ("main", 77, "Main"), ("high", 100, "High")],
)
def test_h264_profiles_and_levels(profile: str, idc: int, name: str) -> None:
    flv = video_flv("libx264", 320, 240, profile=profile, params="level=3.1")
    config, _ = H264Config.from_avcc(config_record(flv))
    assert (config.profile_idc, config.level_idc, decoded_context(flv).profile) == (idc, 31, name)


@pytest.mark.parametrize("arguments", H265_FILMS, ids=str)
def test_h265_records_say_what_ffmpeg_says(arguments: dict) -> None:
    flv = film("libx265", arguments)
    config, length_size = H265Config.from_hvcc(config_record(flv))
    context = decoded_context(flv)
    assert (length_size, config.width, config.height) == (4, context.width, context.height)
    assert (config.width, config.height) == (arguments["width"], arguments["height"])
    assert config.to_hvcc()[:22] == config_record(flv)[:22]
    assert config.chroma_format_idc == CHROMA[context.pix_fmt.removesuffix("10le")]
    assert config.bit_depth == (10 if context.pix_fmt.endswith("10le") else 8)
    assert config.frame_rate == Fraction(25)
    assert (config.reorder_depth > 0) == context.has_b_frames
    assert config.reorder_depth >= actual_reordering(flv)


@pytest.mark.parametrize(("codec", "films"), [("libx264", H264_FILMS), ("libx265", H265_FILMS)], ids=["h264", "h265"])
def test_tags_are_the_packets_that_ffmpeg_demuxes(codec: str, films: list[dict]) -> None:
    for arguments in films:
        flv = film(codec, arguments)
        ours = [("video", dts, dts + frame.composition_ms, frame.keyframe, frame.data) for dts, frame in frames(flv)]
        assert ours == packets(flv)


@pytest.mark.parametrize(
    ("codec", "module", "films"),
    [("libx264", h264, H264_FILMS), ("libx265", h265, H265_FILMS)],
    ids=["h264", "h265"],
)
def test_keyframes_are_seen_in_the_nal_units_themselves(codec: str, module, films: list[dict]) -> None:
    for arguments in films:
        for _, frame in frames(film(codec, arguments)):
            parts = split_length_prefixed(frame.data, 4)
            assert split_annexb(join_annexb(parts)) == parts
            assert module.is_keyframe(parts) == frame.keyframe
            assert module.strip(parts)


def test_slice_types_are_the_decoders_picture_types() -> None:
    flv = film("libx264", H264_FILMS[2])
    ours = {}
    for dts, frame in frames(flv):
        kinds = [h264.slice_type(nal) for nal in split_length_prefixed(frame.data, 4)]
        (ours[dts + frame.composition_ms],) = {kind for kind in kinds if kind}
    with av.open(io.BytesIO(flv)) as container:
        theirs = {picture.pts: PictureType(picture.pict_type).name for picture in container.decode(video=0)}
    assert ours == theirs
    assert set(ours.values()) == {"I", "P", "B"}


def test_intra_refresh_gives_keyframes_by_recovery_point() -> None:
    flv = video_flv("libx264", 320, 240, params="intra-refresh=1:keyint=8:bframes=0:scenecut=0")
    keyframes = [h264.is_keyframe(split_length_prefixed(frame.data, 4)) for _, frame in frames(flv)]
    idr = [any(h264.nal_type(nal) == 5 for nal in split_length_prefixed(frame.data, 4)) for _, frame in frames(flv)]
    assert (sum(idr), sum(keyframes)) == (1, 3)


def test_repeated_headers_are_found_in_band() -> None:
    flv = video_flv("libx264", 320, 240, params="repeat-headers=1:aud=1")
    config, _ = H264Config.from_avcc(config_record(flv))
    for _, frame in frames(flv):
        parts = split_length_prefixed(frame.data, 4)
        assert h264.parameter_sets(parts, config) is None
        if frame.keyframe:
            assert h264.parameter_sets(parts, None) == config
        assert {h264.nal_type(part) for part in h264.strip(parts)} <= {1, 5, 6}


@pytest.mark.parametrize(
    ("codec", "name", "arguments", "legacy"),
    [
        ("libx264", "h264", H264_FILMS[2], False),
        ("libx265", "h265", H265_FILMS[1], False),
        ("libx265", "h265", H265_FILMS[1], True),
    ],
)
def test_ffmpeg_reads_back_what_we_write(codec: str, name: str, arguments: dict, legacy: bool) -> None:
    source = film(codec, arguments)
    config_type = (H264Config.from_avcc, H265Config.from_hvcc)[name == "h265"]
    config, _ = config_type(config_record(source))
    record = config.to_avcc() if isinstance(config, H264Config) else config.to_hvcc()
    written = [
        encode_header(False, True),
        encode_tag_parts(SCRIPT, 0, encode_script("onMetaData", {"width": 640.0})),
        encode_tag_parts(VIDEO, 0, encode_video_config(name, record, legacy_hevc=legacy)),
    ]
    module = h264 if name == "h264" else h265
    uuid = bytes(range(16))
    stamped = []
    for dts, frame in frames(source):
        parts = module.strip(split_length_prefixed(frame.data, 4))
        data = join_length_prefixed((module.build_user_data(uuid, b"\0\0\0\1stamp"), *parts))
        head = video_frame_header(name, frame.keyframe, frame.composition_ms, legacy_hevc=legacy)
        written.append(encode_tag_parts(VIDEO, dts, head, data))
        stamped.append(("video", dts, dts + frame.composition_ms, frame.keyframe, data))
        assert module.find_user_data(split_length_prefixed(data, 4), uuid) == b"\0\0\0\1stamp"
    flv = b"".join(written)
    assert packets(flv) == stamped
    context = decoded_context(flv)
    assert (context.width, context.height) == (arguments["width"], arguments["height"])


def audio_events(flv: bytes) -> list[tuple[int, object]]:
    return [(tag.timestamp, parse_audio(tag.body)) for tag in tags(flv) if tag.kind == AUDIO]


@pytest.mark.parametrize(("rate", "layout"), [(48000, "stereo"), (44100, "mono"), (48000, "5.1")])
def test_aac_there_and_back(rate: int, layout: str) -> None:
    flv = audio_flv("aac", rate, layout)
    events = audio_events(flv)
    config = AacConfig(next(event.record for _, event in events if isinstance(event, AudioConfigRecord)))
    sound = [(dts, event.data) for dts, event in events if isinstance(event, AudioFrame) and event.data]
    built = AacConfig.build(2, rate, config.channels)
    assert (built.sample_rate, built.channels) == (rate, config.channels)
    written = encode_header(True, False) + encode_tag_parts(AUDIO, 0, encode_audio_config("aac", config.asc))
    written += b"".join(encode_tag_parts(AUDIO, dts, audio_frame_header("aac"), data) for dts, data in sound)
    assert [(dts, data) for _, dts, _, _, data in packets(written)] == sound
    # Not the source: FFmpeg 8 cannot decode its own surround sound behind the AudioMultichannel that it writes.
    with av.open(io.BytesIO(written)) as container:
        assert bytes(container.streams.audio[0].codec_context.extradata) == config.asc
        decoded = next(container.decode(audio=0))
        assert (decoded.sample_rate, decoded.layout.nb_channels) == (config.sample_rate, config.channels)
        assert decoded.samples == config.frame_samples


def test_adts_is_what_ffmpeg_writes() -> None:
    sink = io.BytesIO()
    with av.open(io.BytesIO(audio_flv("aac", 48000, "stereo"))) as source, av.open(sink, "w", format="adts") as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    config = AacConfig.build(2, 48000, 2)
    raw = split_adts(sink.getvalue())
    ours = b"".join(build_adts(config, len(frame)) + frame for frame in raw)
    assert raw == [data for *_, data in packets(audio_flv("aac", 48000, "stereo"))]
    assert split_adts(ours) == raw
    with av.open(io.BytesIO(ours), format="aac") as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 1024 * len(raw)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_opus_there_and_back(layout: str) -> None:
    flv = audio_flv("libopus", 48000, layout)
    events = audio_events(flv)
    record = next(event.record for _, event in events if isinstance(event, AudioConfigRecord))
    config = OpusConfig.from_head(record)
    assert config.to_head() == record
    assert config.channels == (2 if layout == "stereo" else 1)
    sound = [(dts, event.data) for dts, event in events if isinstance(event, AudioFrame)]
    assert {packet_samples(data) for _, data in sound} == {960}
    written = encode_header(True, False) + encode_tag_parts(AUDIO, 0, encode_audio_config("opus", config.to_head()))
    written += b"".join(encode_tag_parts(AUDIO, dts, audio_frame_header("opus"), data) for dts, data in sound)
    assert [(dts, data) for _, dts, _, _, data in packets(written)] == sound


def test_colour_metadata_of_ffmpeg_is_recognised_and_metadata_is_read() -> None:
    flv = film("libx265", H265_FILMS[0])
    (script,) = [parse_script(tag.body) for tag in tags(flv) if tag.kind == SCRIPT][:1]
    assert script.name == "onMetaData"
    assert script.values[0]["width"] == 320.0
    allowed = (VideoConfigRecord, VideoFrame, VideoMetadata)
    assert all(isinstance(event, allowed) or type(event).__name__ == "VideoEnd" for _, event in video_events(flv))
    assert any(isinstance(event, VideoMetadata) for _, event in video_events(flv))

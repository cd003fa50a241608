import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported, WireError
from wire.flv_video import (
    VideoCommand,
    VideoConfigRecord,
    VideoEnd,
    VideoEvent,
    VideoFrame,
    VideoMetadata,
    encode_video_config,
    encode_video_end,
    encode_video_frame,
    parse_video,
    video_frame_header,
)

NANO = b"\x02\x00\x03\xe8"  # ModEx of three bytes: 1000 ns


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b"\x17\x00\0\0\0avcC", VideoConfigRecord("h264", b"avcC")),
        (b"\x17\x01\0\0\x28pic", VideoFrame("h264", True, False, 40, b"pic")),
        (b"\x27\x01\xff\xff\xd8pic", VideoFrame("h264", False, False, -40, b"pic")),
        (b"\x37\x01\0\0\0pic", VideoFrame("h264", False, True, 0, b"pic")),
        (b"\x47\x01\0\0\0pic", VideoFrame("h264", True, False, 0, b"pic")),
        (b"\x27\x01\0\0\0", VideoFrame("h264", False, False, 0, b"")),
        (b"\x17\x02\0\0\0", VideoEnd("h264")),
        (b"\x17\x02", VideoEnd("h264")),
        (b"\x57\x00", VideoCommand(0)),
        (b"\x1c\x00\0\0\0hvcC", VideoConfigRecord("h265", b"hvcC")),
        (b"\x2c\x01\0\0\x01pic", VideoFrame("h265", False, False, 1, b"pic")),
        (b"\x90hvc1hvcC", VideoConfigRecord("h265", b"hvcC")),
        (b"\x90avc1avcC", VideoConfigRecord("h264", b"avcC")),
        (b"\x90av01av1C", VideoConfigRecord("av1", b"av1C")),
        (b"\x91hvc1\0\0\x28pic", VideoFrame("h265", True, False, 40, b"pic")),
        (b"\xa1avc1\xff\xff\xfepic", VideoFrame("h264", False, False, -2, b"pic")),
        (b"\xb3hvc1pic", VideoFrame("h265", False, True, 0, b"pic")),
        (b"\x93avc1pic", VideoFrame("h264", True, False, 0, b"pic")),
        (b"\xa1av01pic", VideoFrame("av1", False, False, 0, b"pic")),
        (b"\xa3av01pic", VideoFrame("av1", False, False, 0, b"pic")),
        (b"\x92hvc1", VideoEnd("h265")),
        (b"\x94hvc1amf", VideoMetadata("h265", b"amf")),
        (b"\xd4hvc1amf", VideoMetadata("h265", b"amf")),
        (b"\xd1\x01", VideoCommand(1)),
        (b"\xa7" + NANO + b"\x03hvc1pic", VideoFrame("h265", False, False, 0, b"pic")),
        (b"\xa7" + NANO + b"\x07" + NANO + b"\x03hvc1pic", VideoFrame("h265", False, False, 0, b"pic")),
        (b"\xa7\xff\x01\x00" + bytes(257) + b"\x03hvc1pic", VideoFrame("h265", False, False, 0, b"pic")),
        (b"\x96\x00hvc1\x00hvcC", VideoConfigRecord("h265", b"hvcC")),
        (b"\x96\x11avc1\x00\0\0\x06\0\0\x28pic", VideoFrame("h264", True, False, 40, b"pic")),
    ],
)
def test_bodies(body: bytes, event: VideoEvent) -> None:
    assert parse_video(body) == event


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Truncated),
        (b"\x17", Truncated),
        (b"\x57", Truncated),
        (b"\x17\x01\0\0", Truncated),
        (b"\x12\x00", Unsupported),  # Sorenson H.263
        (b"\x17\x03\0\0\0", Unsupported),
        (b"\x90hvc", Truncated),
        (b"\x90vp09", Unsupported),
        (b"\x91hvc1\0\0", Truncated),
        (b"\x95av01", Unsupported),
        (b"\x98hvc1", Unsupported),
        (b"\xd1", Truncated),
        (b"\xa7", Truncated),
        (b"\xa7\x02\0\0", Truncated),
        (b"\xa7\xff\x01", Truncated),
        (b"\xa7" + b"\x00\x00\x07" * 20, LimitExceeded),
        (b"\x96\x00hvc1\x01hvcC", Unsupported),  # track 1
        (b"\x96\x21", Unsupported),
        (b"\x96\x06hvc1\x00", Malformed),
        (b"\x96\x11avc1\x00\0\0\x06\0\0\x28pic\x01\0\0\x01x", Unsupported),
        (b"\x96\x11avc1\x00\0\0\x09\0\0\x28pic", Truncated),
        (b"\x96\x00hv", Truncated),
    ],
)
def test_bad_bodies(body: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        parse_video(body)


def test_h264_is_written_in_the_legacy_form_and_the_others_with_a_fourcc() -> None:
    assert encode_video_config("h264", b"r") == b"\x17\x00\0\0\0r"
    assert encode_video_config("h265", b"r") == b"\x90hvc1r"
    assert encode_video_config("h265", b"r", legacy_hevc=True) == b"\x1c\x00\0\0\0r"
    assert encode_video_config("av1", b"r") == b"\x90av01r"
    assert video_frame_header("h264", False, 40) == b"\x27\x01\0\0\x28"
    assert video_frame_header("h265", True, -1) == b"\x91hvc1\xff\xff\xff"
    assert video_frame_header("h265", True, 1, legacy_hevc=True) == b"\x1c\x01\0\0\x01"
    assert video_frame_header("av1", False) == b"\xa1av01"
    for encode in (encode_video_config, video_frame_header):
        with pytest.raises(Unsupported, match="vp9"):
            encode("vp9", b"")


def test_a_composition_time_beyond_24_bits_does_not_fit() -> None:
    with pytest.raises(OverflowError):
        video_frame_header("h264", False, 1 << 23)


@given(
    st.sampled_from(["h264", "h265", "av1"]),
    st.sampled_from([(True, False), (False, False), (False, True)]),
    st.integers(-(1 << 23), (1 << 23) - 1),
    st.binary(max_size=20),
    st.booleans(),
)
def test_pictures_come_back(codec: str, kind: tuple[bool, bool], composition: int, data: bytes, legacy: bool) -> None:
    frame = VideoFrame(codec, kind[0], kind[1], 0 if codec == "av1" else composition, data)
    assert parse_video(encode_video_frame(frame, legacy_hevc=legacy)) == frame


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_starts_and_ends_come_back(codec: str, legacy: bool) -> None:
    assert parse_video(encode_video_config(codec, b"r", legacy_hevc=legacy)) == VideoConfigRecord(codec, b"r")
    assert parse_video(encode_video_end(codec, legacy_hevc=legacy)) == VideoEnd(codec)


@given(st.binary(max_size=40), st.sampled_from([b"", b"\x17", b"\x91hvc1", b"\x97", b"\x96\x00avc1"]))
def test_anything_parses_or_raises_wire_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(WireError):
        assert parse_video(start + data) is not None

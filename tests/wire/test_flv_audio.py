import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import Malformed, Truncated, Unsupported, WireError
from wire.flv_audio import (
    AudioConfigRecord,
    AudioEnd,
    AudioEvent,
    AudioFrame,
    AudioMultichannel,
    AudioSilence,
    audio_frame_header,
    encode_audio_config,
    encode_audio_end,
    encode_audio_frame,
    parse_audio,
)


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b"\xaf\x00\x12\x10", AudioConfigRecord("aac", b"\x12\x10")),
        (b"\xaf\x01raw", AudioFrame("aac", b"raw")),
        (b"\xaf\x01", AudioFrame("aac", b"")),
        (b"\xae\x01raw", AudioFrame("aac", b"raw")),
        (b"", AudioSilence()),
        (b"\x2fmp3", AudioFrame("mp3", b"mp3", 44100, 2)),
        (b"\x2amp3", AudioFrame("mp3", b"mp3", 22050, 1)),
        (b"\xeemp3", AudioFrame("mp3", b"mp3", 8000, 1)),
        (b"\xb6spx", AudioFrame("speex", b"spx", 16000, 1)),
        (b"\x72alaw", AudioFrame("pcma", b"alaw", 8000, 1)),
        (b"\x83ulaw", AudioFrame("pcmu", b"ulaw", 8000, 2)),
        (b"\x90OpusHead", AudioConfigRecord("opus", b"Head")),
        (b"\x91Opusraw", AudioFrame("opus", b"raw")),
        (b"\x92Opus", AudioEnd("opus")),
        (b"\x94Opus\x01\x02\0\0\0\x03", AudioMultichannel("opus", b"\x01\x02\0\0\0\x03")),
        (b"\x90mp4a\x12\x10", AudioConfigRecord("aac", b"\x12\x10")),
        (b"\x91mp4araw", AudioFrame("aac", b"raw")),
        (b"\x91.mp3raw", AudioFrame("mp3", b"raw")),
        (b"\x97\x02\0\x03\xe8\x01Opusraw", AudioFrame("opus", b"raw")),
        (b"\x95\x01Opus\x00raw", AudioFrame("opus", b"raw")),
    ],
)
def test_bodies(body: bytes, event: AudioEvent) -> None:
    assert parse_audio(body) == event


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"\xaf", Truncated),
        (b"\x3fpcm", Unsupported),
        (b"\x6fnelly", Unsupported),
        (b"\x91Opu", Truncated),
        (b"\x91ac-3", Unsupported),
        (b"\x93Opus", Unsupported),
        (b"\x95\x01Opus\x01raw", Unsupported),
        (b"\x95\x05Opus\x00raw", Malformed),
    ],
)
def test_bad_bodies(body: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        parse_audio(body)


def test_aac_is_written_in_the_legacy_form_and_opus_with_a_fourcc() -> None:
    assert encode_audio_config("aac", b"\x12\x10") == b"\xaf\x00\x12\x10"
    assert encode_audio_config("opus", b"Head") == b"\x90OpusHead"
    assert audio_frame_header("aac") == b"\xaf\x01"
    assert audio_frame_header("opus") == b"\x91Opus"
    assert parse_audio(encode_audio_end("opus")) == AudioEnd("opus")
    for wrong in (
        lambda: encode_audio_config("mp3", b""),
        lambda: audio_frame_header("flac"),
        lambda: encode_audio_end("aac"),
    ):
        with pytest.raises(Unsupported):
            wrong()


@pytest.mark.parametrize(
    "frame",
    [
        AudioFrame("aac", b"raw"),
        AudioFrame("opus", b"raw"),
        AudioFrame("speex", b"raw", 16000, 1),
        *(
            AudioFrame("mp3", b"raw", rate, channels)
            for rate in (5512, 8000, 11025, 22050, 44100)
            for channels in (1, 2)
        ),
        *(AudioFrame(codec, b"raw", 8000, channels) for codec in ("pcma", "pcmu") for channels in (1, 2)),
    ],
)
def test_frames_come_back(frame: AudioFrame) -> None:
    assert parse_audio(encode_audio_frame(frame)) == frame


def test_mp3_at_a_rate_without_a_number_is_marked_44_khz() -> None:
    assert audio_frame_header("mp3", 48000, 2) == b"\x2f"


@given(st.binary(max_size=40), st.sampled_from([b"", b"\xaf", b"\x91Opus", b"\x97", b"\x95\x00mp4a"]))
def test_anything_parses_or_raises_wire_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(WireError):
        assert parse_audio(start + data) is not None

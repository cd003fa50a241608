import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bits import BitWriter
from wire.codecs.aac import AacConfig, build_adts, parse_adts, split_adts
from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported, WireError


def lc(rate_index: int = 4, channels: int = 2) -> BitWriter:
    return BitWriter().write(2, 5).write(rate_index, 4).write(channels, 4).write(0, 3)


def program_config() -> bytes:
    """4.4.1.1: a front pair and centre, one LFE, a comment of 3 bytes."""
    bits = BitWriter().write(2, 5).write(3, 4).write(0, 4).write(0, 3)
    bits.write(0, 4).write(1, 2).write(3, 4).write(2, 4).write(0, 4).write(0, 4).write(1, 2).write(0, 3).write(0, 4)
    bits.write(0, 3).write(0, 5).write(0b10000, 5).write(0, 4)
    bits.write(0, 3)  # to the byte border
    return bits.write(3, 8).write(0x414243, 24).getvalue()


EXPLICIT_SBR = BitWriter().write(5, 5).write(7, 4).write(2, 4).write(4, 4).write(2, 5).write(0, 3).getvalue()
EXPLICIT_PS = BitWriter().write(29, 5).write(7, 4).write(1, 4).write(4, 4).write(2, 5).write(0, 3).getvalue()
SYNC_SBR = lc(7, 1).write(0x2B7, 11).write(5, 5).write(1, 1).write(4, 4).getvalue()
SYNC_PS = lc(7, 1).write(0x2B7, 11).write(5, 5).write(1, 1).write(4, 4).write(0x548, 11).write(1, 1).getvalue()
SYNC_NO_SBR = lc().write(0x2B7, 11).write(5, 5).write(0, 1).getvalue()
FRAMES_OF_960 = BitWriter().write(2, 5).write(3, 4).write(2, 4).write(0b100, 3).getvalue()
ESCAPED_RATE = BitWriter().write(2, 5).write(15, 4).write(37800, 24).write(1, 4).write(0, 3).getvalue()
LOW_DELAY = BitWriter().write(23, 5).write(3, 4).write(1, 4).write(0, 3).write(0, 2).getvalue()


@pytest.mark.parametrize(
    ("asc", "numbers", "codec"),
    [
        (b"\x12\x10", (44100, 44100, 2, 1024), "mp4a.40.2"),
        (b"\x11\x90", (48000, 48000, 2, 1024), "mp4a.40.2"),
        (b"\x11\x90\x56\xe5\x00", (48000, 48000, 2, 1024), "mp4a.40.2"),
        (EXPLICIT_SBR, (22050, 44100, 2, 1024), "mp4a.40.5"),
        (EXPLICIT_PS, (22050, 44100, 2, 1024), "mp4a.40.29"),
        (SYNC_SBR, (22050, 44100, 1, 1024), "mp4a.40.2"),
        (SYNC_PS, (22050, 44100, 2, 1024), "mp4a.40.2"),
        (SYNC_NO_SBR, (44100, 44100, 2, 1024), "mp4a.40.2"),
        (FRAMES_OF_960, (48000, 48000, 2, 960), "mp4a.40.2"),
        (ESCAPED_RATE, (37800, 37800, 1, 1024), "mp4a.40.2"),
        (LOW_DELAY, (48000, 48000, 1, 512), "mp4a.40.23"),
        (program_config(), (48000, 48000, 4, 1024), "mp4a.40.2"),
        (lc(3, 7).getvalue(), (48000, 48000, 8, 1024), "mp4a.40.2"),
    ],
)
def test_audio_specific_configs(asc: bytes, numbers: tuple[int, ...], codec: str) -> None:
    """Numbers: core rate, output rate, channels, samples in a frame."""
    made = AacConfig(asc)
    assert (made.core_sample_rate, made.sample_rate, made.channels, made.frame_samples) == numbers
    assert made.codec_string == codec
    assert made == AacConfig(asc)
    assert hash(made) == hash(AacConfig(asc))


@pytest.mark.parametrize(
    ("asc", "error"),
    [
        (b"", Truncated),
        (b"\x12", Truncated),
        (b"\x16\x90", Malformed),
        (b"\x11\xc0", Unsupported),
        (b"\x09\x90", None),
        (b"\xf8\xe6\x40\x00", Unsupported),
        (b"\x17\x80\x00\x00\x10", Malformed),
        (bytes(2000), LimitExceeded),
    ],
)
def test_bad_configs(asc: bytes, error: type[WireError] | None) -> None:
    if error is None:
        assert AacConfig(asc).object_type == 1
        return
    with pytest.raises(error):
        AacConfig(asc)


@pytest.mark.parametrize("rate", [96000, 48000, 44100, 8000, 37800])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_a_built_config_says_what_it_was_built_from(rate: int, channels: int) -> None:
    made = AacConfig.build(2, rate, channels)
    assert (made.object_type, made.sample_rate, made.channels) == (2, rate, channels)


def test_build_knows_the_common_record_and_refuses_the_impossible() -> None:
    assert AacConfig.build(2, 44100, 2).asc == b"\x12\x10"
    for object_type, channels in ((2, 9), (31, 2)):
        with pytest.raises(Unsupported):
            AacConfig.build(object_type, 48000, channels)


def test_adts_frames_split_into_raw_ones() -> None:
    config = AacConfig.build(2, 48000, 2)
    frames = [b"abc", b"", b"x" * 700]
    data = b"".join(build_adts(config, len(frame)) + frame for frame in frames)
    assert split_adts(data) == frames
    header = parse_adts(data)
    assert (header.config, header.header_size, header.frame_size, header.blocks) == (config, 7, 10, 1)


def test_an_adts_crc_is_part_of_the_header() -> None:
    data = bytearray(build_adts(AacConfig.build(2, 48000, 2), 5) + b"CRabc")
    data[1] &= 0xFE
    assert split_adts(bytes(data)) == [b"abc"]


def test_bad_adts() -> None:
    good = build_adts(AacConfig.build(2, 48000, 2), 3) + b"abc"
    for size in range(1, len(good)):
        with pytest.raises(Truncated):
            split_adts(good[:size])
    for position, value, error in ((0, 0, Malformed), (1, 0xF7, Malformed), (4, 0, Malformed), (6, 0xFF, Unsupported)):
        bad = bytearray(good)
        bad[position] = value
        if position == 4:
            bad[3] &= 0xFC
            bad[5] &= 0x1F
        with pytest.raises(error):
            split_adts(bytes(bad))
    with pytest.raises(LimitExceeded):
        build_adts(AacConfig.build(2, 48000, 2), 9000)
    with pytest.raises(Unsupported):
        build_adts(AacConfig(ESCAPED_RATE), 1)


@given(st.binary(max_size=60))
def test_anything_parses_or_raises_wire_error(data: bytes) -> None:
    for step in (
        lambda: AacConfig(data),
        lambda: parse_adts(b"\xff\xf1" + data),
        lambda: split_adts(b"\xff\xf1" + data),
    ):
        with contextlib.suppress(WireError):
            step()

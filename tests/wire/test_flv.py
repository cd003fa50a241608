import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported, WireError
from wire.flv import (
    AUDIO,
    SCRIPT,
    VIDEO,
    FlvHeader,
    FlvParser,
    FlvTag,
    encode_header,
    encode_tag,
    encode_tag_parts,
    signed_timestamp,
)

TAGS = [FlvTag(SCRIPT, 0, b"meta"), FlvTag(VIDEO, 0xFFFFFF, b""), FlvTag(AUDIO, 0x01000000, b"x" * 300)]
FILE = encode_header(True, True) + b"".join(map(encode_tag, TAGS))
tags = st.builds(FlvTag, st.sampled_from([AUDIO, VIDEO, SCRIPT]), st.integers(0, 2**32 - 1), st.binary(max_size=300))


def parse(data: bytes, step: int | None = None) -> list[FlvHeader | FlvTag]:
    parser, events = FlvParser(), []
    step = step or len(data) or 1
    for start in range(0, len(data), step):
        parser.receive_data(data[start : start + step])
        while (event := parser.next_event()) is not None:
            events.append(event)
    parser.receive_eof()
    return events


def test_the_header_names_the_tracks() -> None:
    assert encode_header(True, False).hex() == "464c5601040000000900000000"
    for audio, video in ((False, False), (False, True), (True, True)):
        assert parse(encode_header(audio, video)) == [FlvHeader(audio, video)]


def test_a_tag_as_e_4_1_draws_it() -> None:
    assert encode_tag(FlvTag(VIDEO, 0x12345678, b"ab")).hex() == "090000023456781200000061620000000d"


def test_tags_come_back_whole_and_byte_by_byte() -> None:
    assert parse(FILE) == parse(FILE, 1) == [FlvHeader(True, True), *TAGS]


def test_a_tag_is_there_with_its_last_byte() -> None:
    parser = FlvParser()
    parser.receive_data(FILE[:-4])
    assert [parser.next_event() for _ in range(5)] == [FlvHeader(True, True), *TAGS, None]
    parser.receive_eof()


def test_pieces_make_the_same_tag_as_their_sum() -> None:
    assert encode_tag_parts(VIDEO, 7, b"head", b"", b"data") == encode_tag(FlvTag(VIDEO, 7, b"headdata"))


@pytest.mark.parametrize(
    ("given_ms", "wire", "signed"),
    [(0, 0, 0), (2**31 - 1, 2**31 - 1, 2**31 - 1), (2**31, 2**31, -(2**31)), (-1, 2**32 - 1, -1), (2**32 + 5, 5, 5)],
)
def test_timestamps_wrap_at_32_bits(given_ms: int, wire: int, signed: int) -> None:
    (_, tag) = parse(encode_header(True, True) + encode_tag_parts(AUDIO, given_ms))
    assert (tag.timestamp, signed_timestamp(tag.timestamp)) == (wire, signed)


def test_a_wrong_previous_tag_size_and_a_longer_header_are_tolerated() -> None:
    odd = b"FLV\x01\x05\0\0\0\x0bxx" + b"\xde\xad\xbe\xef" + encode_tag(TAGS[0])[:-4] + b"\xff\xff\xff\xff"
    assert parse(odd, 1) == [FlvHeader(True, True), TAGS[0]]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"MP4\x01\x05\0\0\0\x09", Malformed),
        (b"FLV\x01\x05\0\0\0\x08", Malformed),
        (b"FLV\x01\x05\xff\0\0\x09", Malformed),
        (encode_header(True, True) + b"\x0a" + bytes(10), Malformed),
        (encode_header(True, True) + b"\x29" + bytes(10), Unsupported),
        (encode_header(True, True) + b"\x09\xff\xff\xff" + bytes(7), LimitExceeded),
        (b"FLV", Truncated),
        (FILE[:-5], Truncated),
        (FILE[:20], Truncated),
    ],
)
def test_bad_files(data: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        parse(data)


def test_the_tag_limit_is_the_callers() -> None:
    parser = FlvParser(max_tag_size=299)
    parser.receive_data(FILE)
    with pytest.raises(LimitExceeded, match="300 bytes exceeds 299"):
        [parser.next_event() for _ in range(4)]
    with pytest.raises(LimitExceeded, match="16777215"):
        encode_tag_parts(VIDEO, 0, bytes(1 << 23), bytes(1 << 23))


def test_a_tag_shows_itself_readably() -> None:
    assert repr(TAGS[2]) == "FlvTag(audio 16777216 ms, 300 bytes)"


@given(st.lists(tags, max_size=5), st.integers(1, 40))
def test_any_tags_come_back_however_they_are_cut(wanted: list[FlvTag], step: int) -> None:
    assert parse(encode_header(True, True) + b"".join(map(encode_tag, wanted)), step)[1:] == wanted


@given(st.binary(max_size=80), st.booleans())
def test_anything_parses_or_raises_wire_error(data: bytes, headed: bool) -> None:
    with contextlib.suppress(WireError):
        parse(encode_header(True, True) + data if headed else data, 7)

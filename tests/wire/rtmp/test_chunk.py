import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.errors import LimitExceeded, Malformed, WireError
from wire.rtmp import RtmpLimits
from wire.rtmp.chunk import ChunkReader, ChunkWriter, RtmpMessage

A, V = 8, 9
BODY = bytes(range(200))


def read_all(data, *, chunk_size=128, limits=None, step=None):
    reader = ChunkReader(limits or RtmpLimits())
    reader.chunk_size = chunk_size
    messages = []
    for at in range(0, len(data), step or len(data) or 1):
        reader.feed(data[at : at + (step or len(data))])
        while (message := reader.next_message()) is not None:
            messages.append(message)
    return messages


def full(timestamp, length, kind=V, stream_id=1, csid=4):
    return bytes((csid,)) + timestamp.to_bytes(3, "big") + length.to_bytes(3, "big") + bytes((kind, stream_id, 0, 0, 0))


# Whole inputs and what they mean; each also runs byte by byte.
TABLE = {
    "type 0": (full(7, 3) + b"abc", [RtmpMessage(V, 7, 1, b"abc")]),
    "all header types": (
        full(1000, 2)
        + b"ab"
        + b"\x44\x00\x00\x20\x00\x00\x03\x08"  # type 1: delta 32, length 3, audio
        + b"cde"
        + b"\x84\x00\x00\x0a"  # type 2: delta 10
        + b"fgh"
        + b"\xc4"  # type 3: the same again
        + b"ijk",
        [
            RtmpMessage(V, 1000, 1, b"ab"),
            RtmpMessage(A, 1032, 1, b"cde"),
            RtmpMessage(A, 1042, 1, b"fgh"),
            RtmpMessage(A, 1052, 1, b"ijk"),
        ],
    ),
    "type 3 after type 0 takes its timestamp as delta": (
        full(20, 1) + b"a" + b"\xc4" + b"b",
        [RtmpMessage(V, 20, 1, b"a"), RtmpMessage(V, 40, 1, b"b")],
    ),
    "two chunks": (full(0, 200) + BODY[:128] + b"\xc4" + BODY[128:], [RtmpMessage(V, 0, 1, BODY)]),
    "two-byte basic header": (b"\x00\x05" + full(1, 1)[1:] + b"x", [RtmpMessage(V, 1, 1, b"x")]),
    "three-byte basic header": (b"\x01\x05\x02" + full(1, 1)[1:] + b"x", [RtmpMessage(V, 1, 1, b"x")]),
    "interleaved chunk streams": (
        full(0, 200, csid=6) + BODY[:128] + full(5, 2, A) + b"au" + b"\xc6" + BODY[128:],
        [RtmpMessage(A, 5, 1, b"au"), RtmpMessage(V, 0, 1, BODY)],
    ),
    "a type 1 header on a new chunk stream": (
        b"\x42\x00\x00\x00\x00\x00\x06\x04" + b"\x00\x06\x00\x00\x00\x01",
        [RtmpMessage(4, 0, 0, b"\x00\x06\x00\x00\x00\x01")],
    ),
    "an extended timestamp": (
        full(0xFFFFFF, 1) + b"\x01\x00\x00\x00" + b"x",
        [RtmpMessage(V, 0x1000000, 1, b"x")],
    ),
    "exactly 0xffffff": (full(0xFFFFFF, 1) + b"\x00\xff\xff\xff" + b"x", [RtmpMessage(V, 0xFFFFFF, 1, b"x")]),
    "an extended timestamp that is repeated": (
        full(0xFFFFFF, 200) + b"\x01\x02\x03\x04" + BODY[:128] + b"\xc4\x01\x02\x03\x04" + BODY[128:],
        [RtmpMessage(V, 0x01020304, 1, BODY)],
    ),
    "an extended timestamp that is not repeated": (
        full(0xFFFFFF, 200) + b"\x01\x02\x03\x04" + BODY[:128] + b"\xc4" + BODY[128:],
        [RtmpMessage(V, 0x01020304, 1, BODY)],
    ),
    "an extended delta, repeated by a new message": (
        full(0, 1) + b"a" + b"\x84\xff\xff\xff\x01\x00\x00\x00" + b"b" + b"\xc4\x01\x00\x00\x00" + b"c",
        [RtmpMessage(V, 0, 1, b"a"), RtmpMessage(V, 0x1000000, 1, b"b"), RtmpMessage(V, 0x2000000, 1, b"c")],
    ),
    "a plain header ends the extension": (
        full(0xFFFFFF, 1) + b"\x01\x00\x00\x00" + b"a" + b"\x84\x00\x00\x01" + b"b" + b"\xc4" + b"c",
        [RtmpMessage(V, 0x1000000 + step, 1, body) for step, body in enumerate((b"a", b"b", b"c"))],
    ),
    "32 bits wrap": (
        full(0xFFFFFF, 1) + b"\xff\xff\xff\xff" + b"a" + b"\x84\x00\x00\x02" + b"b",
        [RtmpMessage(V, 0xFFFFFFFF, 1, b"a"), RtmpMessage(V, 1, 1, b"b")],
    ),
    "an empty message": (full(3, 0) + b"\xc4", [RtmpMessage(V, 3, 1, b""), RtmpMessage(V, 6, 1, b"")]),
    "a message that has not ended": (full(0, 200) + BODY[:128], []),
}


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("name", TABLE)
def test_chunks_become_messages(name, step):
    data, expected = TABLE[name]
    assert read_all(data, step=step) == expected


def test_a_new_chunk_size_holds_from_the_next_chunk_on():
    reader = ChunkReader(RtmpLimits())
    reader.feed(full(0, 200) + BODY[:128])
    assert reader.next_message() is None
    reader.chunk_size = 10
    reader.feed(b"".join(b"\xc4" + BODY[at : at + 10] for at in range(128, 200, 10)))
    assert reader.next_message() == RtmpMessage(V, 0, 1, BODY)


def test_an_abort_drops_what_has_come_of_a_message():
    reader = ChunkReader(RtmpLimits())
    reader.feed(full(0, 200) + BODY[:128])
    assert reader.next_message() is None
    assert "128 partial bytes" in repr(reader)
    reader.abort(4)
    reader.abort(9)
    assert "0 partial bytes" in repr(reader)
    reader.feed(full(9, 1) + b"x")
    assert reader.next_message() == RtmpMessage(V, 9, 1, b"x")


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (b"\xc4", Malformed, "chunk stream 4 begins with a type 3 header"),
        (b"\x84\x00\x00\x00", Malformed, "begins with a type 2 header"),
        (full(0, 50) + BODY[:10] + full(0, 1), Malformed, "type 0 header when 10 of 50 bytes have come"),
        (full(0, 101), LimitExceeded, "type 9: 101 bytes exceed 100"),
        (full(0, 51, A), LimitExceeded, "type 8: 51 bytes exceed 50"),
        (full(0, 31, 18), LimitExceeded, "type 18: 31 bytes exceed 30"),
        (full(0, 21, 20), LimitExceeded, "type 20: 21 bytes exceed 20"),
        (full(0, 21, 99), LimitExceeded, "type 99: 21 bytes exceed 20"),
        (b"".join(full(0, 0, csid=csid) for csid in range(2, 6)), LimitExceeded, "more than 3 chunk streams"),
        (full(0, 0) + b"\xc4" * 5, LimitExceeded, "more than 5 messages without a body"),
        (
            b"".join(full(0, 100, csid=csid) + bytes(10) for csid in range(2, 5)),
            LimitExceeded,
            "30 bytes of unfinished messages exceed 25",
        ),
    ],
)
def test_what_is_against_the_rules_says_why(data, error, sentence):
    small = RtmpLimits(
        video_size=100, audio_size=50, data_size=30, command_size=20, chunk_streams=3, empty_messages=5, partial_size=25
    )
    with pytest.raises(error, match=sentence):
        read_all(data, limits=small, chunk_size=10)


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([3, 4, 63, 64, 319, 320, 65599]),
        st.builds(
            RtmpMessage,
            st.sampled_from([8, 9, 18, 20]),
            st.integers(0, 300) | st.integers(0xFFFFF0, 0x1000010) | st.integers(0, 0xFFFFFFFF),
            st.sampled_from([0, 1, 7]),
            st.integers(0, 400).map(lambda size: (b"\xff\x01\x00" * 134)[:size]),
        ),
    ),
    max_size=12,
)


@settings(max_examples=80)
@given(MESSAGES, st.sampled_from([1, 100, 128, 4096]), st.integers(1, 500))
def test_whatever_is_written_is_read_back(sent, chunk_size, step):
    writer = ChunkWriter()
    writer.chunk_size = chunk_size
    data = b"".join(writer.write(csid, message) for csid, message in sent)
    assert read_all(data, chunk_size=chunk_size, step=step) == [message for _, message in sent]


def test_the_writer_uses_the_smallest_header():
    writer = ChunkWriter()
    sizes = [len(writer.write(4, RtmpMessage(V, at, 1, b"x"))) - 1 for at in (0, 33, 66, 100, 50)]
    assert sizes == [12, 4, 1, 4, 12]
    assert len(writer.write(4, RtmpMessage(V, 51, 1, b"xy"))) == 8 + 2
    with pytest.raises(ValueError, match="stream id 1 is below 2"):
        writer.write(1, RtmpMessage(V, 0, 1, b""))


@settings(max_examples=200)
@given(st.binary(max_size=80) | st.lists(st.sampled_from([0, 1, 2, 3, 0x44, 0x84, 0xC2, 0xC3, 255])).map(bytes))
def test_any_bytes_parse_or_raise_a_wire_error(data):
    with contextlib.suppress(WireError):
        read_all(data)


def test_a_message_shows_its_size_and_not_its_body():
    assert repr(RtmpMessage(20, 5, 1, b"secret")) == "RtmpMessage(type 20, 5 ms, stream 1, 6 bytes)"

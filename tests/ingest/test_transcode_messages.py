"""The framing between a node and its worker: round trips, byte by byte, and whatever else may come."""

from __future__ import annotations

import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import transcode_messages
from ingest.transcode_messages import (
    MAX_MESSAGE,
    Done,
    ForceKeyframe,
    KeyframeWanted,
    LiveFrom,
    MadeTrack,
    MadeUnit,
    Message,
    MessageReader,
    Note,
    Ready,
    RungFailed,
    RungLags,
    RungReport,
    SourceRefused,
    SourceReport,
    SourceTrack,
    SourceUnit,
    StartOutput,
    StartRung,
    StopOutput,
    StopRung,
    encode_message,
)
from wire.errors import LimitExceeded, Malformed, WireError

MESSAGES: list[Message] = [
    SourceTrack(1, "aac", bytes.fromhex("1190"), 48_000, 2),
    SourceUnit(2**40, 1, -5, 2**62, True, (b"", b"\xff" * 300)),
    StartOutput("opus", 0, 2, None),
    StartOutput("opus", 3, 1, 0),
    StopOutput("opus"),
    Ready(),
    Done(7, ""),
    Done(8, "undecodable: ü"),
    MadeUnit("720p", 0, 1, 3, False, (b"a", b"b"), 4_000),
    Note(40, "text"),
    StartRung("480p", 2, "h265", 480, 1_000_000, None, "ultrafast", "main", 2.0, "libx265"),
    StartRung("480p", 2, "h264", 480, 1_000_000, 29.97, "veryfast", "baseline", 2, "libx264"),
    StopRung("480p"),
    ForceKeyframe(),
    LiveFrom(90_000),
    MadeTrack("480p", 2, "h264", bytes.fromhex("0142c01e")),
    KeyframeWanted("missing reference"),
    SourceRefused("too large"),
    RungFailed("480p", 2, "no encoder"),
    RungLags("480p", 2, 400, 12),
    RungReport("480p", 2, 33, 1000, 12, 7_000),
    SourceReport(0, 1000, 3, 2, 9_000),
]


def told_apart(messages: list[Message]) -> list[tuple[type, Message]]:
    """With their kinds: two kinds with the same values are equal."""
    return [(type(message), message) for message in messages]


def read(data: bytes, step: int) -> list[Message]:
    reader = MessageReader()
    messages: list[Message] = []
    for at in range(0, len(data), step):
        reader.receive_data(data[at : at + step])
        messages += reader.messages()
    return messages


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_what_is_written_is_read(step: int) -> None:
    assert told_apart(read(b"".join(map(encode_message, MESSAGES)), step)) == told_apart(MESSAGES)


def frame(value: object) -> bytes:
    body = msgpack.packb(value)
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize("data", [
    frame(None), frame([]), frame({}), frame([True]), frame(["x"]), frame([19]), frame([-1]), frame([4, 1]),
    frame([5, 1]), frame([5, "1", ""]), frame([5, True, ""]), frame([6, "x", 0, 0, 0, 1, [b""], 0]),
    frame([6, "x", 0, 0, 0, True, b"", 0]), frame([6, "x", 0, 0, 0, True, ["x"], 0]), frame([2, "x", 0, 1, 1.5]),
    frame([8, "x", 0, "h264", 2, 1, "", "", "", 2.0, ""]),
    frame([7, 10, b"x"]), frame([4]) + b"\0\0\0\0", b"\0\0\0\x02\x91\x91", b"\0\0\0\x01\xc1",
    b"\0\0\0\x03\x91\x05\x05", b"\0\0\0\x05\x93\x07\x01\xa1\xff", struct.pack(">I", 2000) + b"\x91" * 2000,
    frame([6, "x", 0, 0, 0, True, [b""] * 5000, 0]),
])  # fmt: skip
def test_nonsense_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data, len(data))


def test_a_message_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(LimitExceeded, match="16777217"):
        read(struct.pack(">I", MAX_MESSAGE + 1), 4)
    with pytest.raises(LimitExceeded, match="exceeds"):
        encode_message(MadeUnit("x", 0, 0, 0, True, (bytes(MAX_MESSAGE),)))


def test_what_came_before_the_nonsense_is_read() -> None:
    reader = MessageReader()
    reader.receive_data(encode_message(Ready()) + frame([99]))
    messages = reader.messages()
    assert next(messages) == Ready()
    with pytest.raises(Malformed):
        next(messages)


INTS = st.integers(-(2**63), 2**63 - 1)
PARTS = st.lists(st.binary(max_size=60), max_size=5).map(tuple)
ANY = st.one_of(
    st.builds(SourceTrack, INTS, st.text(max_size=9), st.binary(max_size=40), INTS, INTS),
    st.builds(SourceUnit, INTS, INTS, INTS, INTS, st.booleans(), PARTS),
    st.builds(StartOutput, st.text(max_size=9), INTS, INTS, st.none() | INTS),
    st.builds(MadeUnit, st.text(max_size=9), INTS, INTS, INTS, st.booleans(), PARTS, INTS),
    st.builds(MadeTrack, st.text(max_size=9), INTS, st.text(max_size=9), st.binary(max_size=40)),
    st.builds(RungReport, st.text(max_size=9), INTS, INTS, INTS, INTS, INTS),
    st.builds(Done, INTS, st.text(max_size=50)),
    st.builds(Note, INTS, st.text(max_size=50)),
)


@given(st.lists(ANY, max_size=5), st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_every_message_survives_the_way(messages: list[Message], step: int) -> None:
    assert told_apart(read(b"".join(map(encode_message, messages)), step)) == told_apart(messages)


@given(st.lists(ANY, min_size=1, max_size=3), st.data())
@settings(max_examples=200, deadline=None)
def test_damage_parses_or_raises_a_wire_error(messages: list[Message], data: st.DataObject) -> None:
    stream = bytearray(b"".join(map(encode_message, messages)))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(stream))


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_body_parses_or_raises_a_wire_error(body: bytes) -> None:
    check(struct.pack(">I", len(body)) + body)


def check(data: bytes) -> None:
    try:
        read(data, len(data))
    except WireError:
        return


def test_every_message_of_the_module_is_tried() -> None:
    assert {type(message) for message in MESSAGES} == set(transcode_messages._KINDS)

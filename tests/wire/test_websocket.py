import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import websocket as ws
from wire.errors import LimitExceeded, Malformed, WireError
from wire.websocket import WsFrame, WsParser


def drain(parser: WsParser) -> list[WsFrame]:
    frames = []
    while (frame := parser.next_event()) is not None:
        frames.append(frame)
    return frames


def parse(data: bytes, size: int | None = None) -> list[WsFrame]:
    parser, frames = WsParser(), []
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        parser.receive_data(data[start : start + step])
        frames += drain(parser)
    return frames


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_headers_at_the_borders_of_5_2(length: int, head: str) -> None:
    assert ws.frame_header(length).hex() == head


def test_the_examples_of_5_7() -> None:
    assert ws.encode_frame(b"Hello", ws.TEXT).hex() == "810548656c6c6f"
    assert ws.encode_masked_frame(b"Hello", ws.TEXT, bytes.fromhex("37fa213d")).hex() == "818537fa213d7f9f4d5158"
    assert ws.encode_ping(b"Hello").hex() == "890548656c6c6f"
    assert ws.encode_pong(b"Hello").hex() == "8a0548656c6c6f"
    assert parse(bytes.fromhex("010348656c80026c6f")) == [WsFrame(ws.TEXT, b"Hel", fin=False), WsFrame(0, b"lo")]


def test_the_handshake_of_1_3() -> None:
    assert ws.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_masked_frame_of_any_size_unmasks() -> None:
    for size in (0, 1, 3, 4, 5, 1000):
        payload = bytes(index & 0xFF for index in range(size))
        frame = ws.encode_masked_frame(payload, ws.BINARY, b"\x00\x01\xfe\xff")
        body = frame[-size:] if size else b""
        assert bytes(byte ^ b"\x00\x01\xfe\xff"[index & 3] for index, byte in enumerate(body)) == payload


def test_frames_come_back_byte_by_byte() -> None:
    frames = [ws.encode_frame(b"x" * size) for size in (0, 1, 125, 126, 70000)] + [ws.encode_ping(b"p")]
    data = b"".join(frames)
    assert parse(data, 1) == parse(data)
    assert [len(frame.payload) for frame in parse(data)] == [0, 1, 125, 126, 70000, 1]


def test_a_ping_may_stand_between_fragments() -> None:
    assert [frame.opcode for frame in parse(b"\x02\x01a" + ws.encode_ping() + b"\x80\x01b")] == [2, 9, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"\xc2\x00",  # reserved bit
        b"\x83\x00",  # opcode 3
        b"\x82\x80",  # masked
        b"\x09\x00",  # fragmented ping
        b"\x89\x7e",  # long ping
        b"\x80\x00",  # continuation of nothing
        b"\x02\x00\x82\x00",  # new message inside a fragmented one
    ],
)
def test_what_a_server_must_not_send(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


def test_frames_over_the_limit_are_refused_by_their_header() -> None:
    parser = WsParser(max_frame_size=100)
    parser.receive_data(ws.frame_header(101))
    with pytest.raises(LimitExceeded, match="101 bytes exceeds 100"):
        parser.next_event()


def test_close_carries_its_code_and_reason() -> None:
    (frame,) = parse(ws.encode_close(4010, "reconnect"))
    assert (frame.opcode, ws.parse_close(frame.payload)) == (ws.CLOSE, (4010, "reconnect"))
    assert ws.parse_close(b"") == (1005, "")
    for payload in (b"\x03", b"\x03\xe8\xff"):
        with pytest.raises(Malformed):
            ws.parse_close(payload)


def test_a_long_reason_is_cut_at_a_character() -> None:
    (frame,) = parse(ws.encode_close(1000, "直" * 60))
    assert ws.parse_close(frame.payload) == (1000, "直" * 41)


def test_control_frames_are_short() -> None:
    for encode in (ws.encode_ping, ws.encode_pong):
        with pytest.raises(LimitExceeded):
            encode(bytes(126))


@given(st.binary(max_size=60))
def test_anything_parses_or_raises_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        for frame in parse(data, 3):
            ws.parse_close(frame.payload)

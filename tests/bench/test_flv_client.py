"""The viewer's end of HTTP-FLV and WS-FLV."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.flv_client import FlvClient, Target
from wire.errors import WireError
from wire.websocket import PING, encode_close, encode_frame

OK = b"HTTP/1.1 200 OK\r\nServer: x\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PLAIN = OK + b"\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

GOOD = [
    (False, CHUNKED + b"3\r\nFLV\r\nA;x=1\r\n0123456789\r\n", b"FLV0123456789", 2),
    (False, CHUNKED + b"0002\r\n\r\n\r\n", b"\r\n", 1),
    (False, PLAIN + b"FLV123", b"FLV123", None),
    (
        True,
        SWITCHED + encode_frame(b"FLV") + encode_frame(b"", PING) + encode_frame(b"x" * 200),
        b"FLV" + b"x" * 200,
        2,
    ),
]
BAD = [
    (False, b"HTTP/1.1 404 Not Found\r\n\r\n"),
    (False, b"\x16\x03\x01" + b"\r\n\r\n"),
    (False, b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000),
    (False, CHUNKED + b"zz\r\n"),
    (False, CHUNKED + b"123456789\r\n"),
    (False, CHUNKED + b"1" * 2000),
    (True, PLAIN),
    (True, SWITCHED + encode_close(4010, "reconnect")),
    (True, SWITCHED + b"\xf2\x00"),
]


def body_of(response: bytes, *, websocket: bool, step: int) -> tuple[bytes, int]:
    client = FlvClient(websocket=websocket)
    out = b"".join(client.receive_data(response[at : at + step]) for at in range(0, len(response), step))
    assert client.head_done
    return out, client.pieces


@pytest.mark.parametrize(("websocket", "response", "body", "pieces"), GOOD)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_body_comes_out_however_the_response_is_cut(
    websocket: bool, response: bytes, body: bytes, pieces: int | None, step: int
) -> None:
    out, counted = body_of(response, websocket=websocket, step=step)
    assert out == body
    assert pieces is None or counted == pieces


@pytest.mark.parametrize(("websocket", "response"), BAD)
@pytest.mark.parametrize("step", [1, 10_000])
def test_unusable_responses_are_refused(websocket: bool, response: bytes, step: int) -> None:
    with pytest.raises(WireError):
        body_of(response, websocket=websocket, step=step)


@given(st.booleans(), st.sampled_from([b"", CHUNKED, SWITCHED, PLAIN]), st.lists(st.binary(max_size=40), max_size=8))
def test_anything_parses_or_raises_wire_error(websocket: bool, head: bytes, rest: list[bytes]) -> None:
    client = FlvClient(websocket=websocket)
    try:
        for data in (head, *rest):
            client.receive_data(data)
    except WireError:
        pass


def test_close_names_its_code() -> None:
    with pytest.raises(WireError, match="4010 reconnect"):
        FlvClient(websocket=True).receive_data(SWITCHED + encode_close(4010, "reconnect"))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080/live/x.flv?a=1", Target(False, "127.0.0.1", 8080, "/live/x.flv?a=1")),
        ("ws://host/live/x.flv", Target(True, "host", 80, "/live/x.flv")),
        ("http://host", Target(False, "host", 80, "/")),
    ],
)
def test_urls_are_read(url: str, target: Target) -> None:
    assert Target.parse(url) == target


def test_websocket_can_be_asked_of_an_http_url() -> None:
    target = Target.parse("http://host/x.flv", websocket=True)
    assert target.websocket
    assert b"Upgrade: websocket\r\n" in target.request()


@pytest.mark.parametrize(
    "url", ["https://host/x.flv", "rtmp://host/x", "live/x.flv", "http:///x", "http://host:99999/"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Target.parse(url)

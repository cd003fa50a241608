"""Peers that stall, talk nonsense, or say nothing: they alone are ended, and the others notice nothing."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.encoders import DemoProcess, start_ffmpeg
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode, running_node

pytestmark = pytest.mark.e2e

SILENCE_S = 0.5
"""No viewer who keeps up may hear nothing for so long: pictures come each 33 ms, and this machine is busy."""
TIMEOUT_S = 1
STALLED_S = 2


@pytest.fixture(scope="module")
def harsh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that gives its peers little time."""
    settings = (
        f"rtmp.handshake_timeout_s={TIMEOUT_S}",
        f"http.header_timeout_s={TIMEOUT_S}",
        f"flv.stalled_timeout_s={STALLED_S}",
        "rtmp.idle_timeout_s=2",
        "rtmp.max_message_bytes=65536",
    )
    flags = [word for setting in settings for word in ("--set", setting)]
    with running_node(tmp_path_factory.mktemp("node"), "--open", *flags) as node:
        yield node


@pytest.fixture(scope="module")
def host(harsh: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """More bits than a stalled viewer's socket can swallow in these few seconds."""
    options = ("--bitrate", "40000000", "--bframes", "0")
    with DemoProcess(
        harsh.publish_url("live"), tmp_path_factory.mktemp("host") / "demo.log", options=options
    ) as process:
        yield process


@pytest.fixture
def witness(harsh: RunningNode, host: DemoProcess) -> Iterator[RawViewer]:
    """A viewer who keeps up, and must notice nothing of what happens in the test."""
    with RawViewer(harsh.flv("live")) as viewer:
        viewer.wait_for_more(5)
        begun = time.monotonic()
        yield viewer
        viewer.wait_for_more(5)
        assert viewer.ended is None
        assert viewer.largest_silence_s(begun) < SILENCE_S
    assert harsh.get("/healthz")[0] == 200
    assert "Traceback" not in harsh.log


def ask(node: RunningNode, scheme: str, data: bytes, *, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", node.ports[scheme]))
    sock.sendall(data)
    return sock


def until_closed(sock: socket.socket) -> bytes:
    """What is said before the connection ends; fails by socket timeout if it does not end."""
    said = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65_536):
            said += data
    return said


def test_a_viewer_that_never_reads_is_closed_and_nobody_notices(harsh: RunningNode, witness: RawViewer) -> None:
    request = b"GET /live/live.flv HTTP/1.1\r\nHost: node\r\n\r\n"
    with ask(harsh, "http", request, receive_buffer=4096):
        eventually(lambda: harsh.metric("streamer_flv_viewers") == 2, "the stalled viewer is there")
        eventually(lambda: harsh.metric("streamer_flv_viewers") == 1, "the stalled viewer is closed", within=25)
    assert harsh.metric("streamer_flv_closed_total", reason="too slow") == 1


def test_a_frozen_reader_is_closed_or_skips_and_nobody_notices(
    harsh: RunningNode, witness: RawViewer, tmp_path: Path
) -> None:
    skips = harsh.metric("streamer_flv_skips_total")
    closed = harsh.metric("streamer_flv_closed_total", reason="too slow")
    arguments = ["-i", harsh.flv("live"), "-c", "copy", "-f", "null", "-"]
    with start_ffmpeg(arguments, tmp_path / "reader.log") as reader:
        eventually(lambda: harsh.metric("streamer_flv_viewers") == 2, "FFmpeg watches")
        reader.freeze()
        eventually(
            lambda: (
                harsh.metric("streamer_flv_skips_total") > skips
                or harsh.metric("streamer_flv_closed_total", reason="too slow") > closed
            ),
            "the frozen reader is skipped or closed",
            within=25,
        )
    eventually(lambda: harsh.metric("streamer_flv_viewers") == 1, "the frozen reader is forgotten", within=25)


def test_a_viewer_that_hangs_up_rudely_is_forgotten(harsh: RunningNode, witness: RawViewer) -> None:
    request = b"GET /live/live.flv HTTP/1.1\r\nHost: node\r\n\r\n"
    for _ in range(10):
        sock = ask(harsh, "http", request)
        assert sock.recv(100)
        # RFC 9293, 3.10.4: an abort. Zero seconds of lingering is how a socket is told so.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        sock.close()
    eventually(lambda: harsh.metric("streamer_flv_viewers") == 1, "only the witness is left")


@pytest.mark.parametrize("garbage", [b"\x03" + os.urandom(1536) + os.urandom(8000), b"GET / HTTP/1.1\r\n\r\n", b"\xff"])
def test_garbage_on_the_rtmp_port_ends_that_connection_with_a_sentence(
    harsh: RunningNode, witness: RawViewer, garbage: bytes
) -> None:
    before = len(re.findall("closed: 4102 protocol|closed: 4003 idle", harsh.log))
    with ask(harsh, "rtmp", garbage) as sock:
        sock.settimeout(20)
        until_closed(sock)
    eventually(
        lambda: len(re.findall("closed: 4102 protocol|closed: 4003 idle", harsh.log)) > before, "a sentence in the log"
    )


def test_a_message_over_the_limit_is_refused_with_its_numbers(harsh: RunningNode, witness: RawViewer) -> None:
    handshake = b"\x03" + bytes(8) + bytes(1528) + bytes(1536)
    # RTMP 1.0, 5.3.1: chunk type 0 on stream 3, time 0, a video message of 8 MiB.
    header = b"\x03" + bytes(3) + (8 << 20).to_bytes(3, "big") + b"\x09" + bytes(4)
    with ask(harsh, "rtmp", handshake + header) as sock:
        until_closed(sock)
    eventually(lambda: "8388608" in harsh.log, "the size in the log")


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), b"\r\n" * 50_000, b"GET /" + b"a" * 100_000],
)
def test_garbage_on_the_http_port_ends_that_connection_alone(
    harsh: RunningNode, witness: RawViewer, garbage: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", harsh.ports["http"]), timeout=20) as sock:
        try:
            sock.sendall(garbage)
        except (ConnectionResetError, BrokenPipeError):
            return  # closed before it was all said
        said = until_closed(sock)
    assert said == b"" or re.match(rb"HTTP/1\.[01] 4\d\d ", said)


@pytest.mark.parametrize(("scheme", "beginning"), [("rtmp", b"\x03"), ("http", b"GET /live/live.flv HTTP/1.1\r\n")])
def test_a_peer_that_speaks_too_slowly_is_closed(
    harsh: RunningNode, witness: RawViewer, scheme: str, beginning: bytes
) -> None:
    """Slow loris: a byte now and then must not keep a connection."""
    begun = time.monotonic()
    with ask(harsh, scheme, beginning) as sock:
        sock.settimeout(0.1)
        while time.monotonic() - begun < 10:
            try:
                sock.sendall(b"x")
                if not sock.recv(4096):
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        assert TIMEOUT_S / 2 < time.monotonic() - begun < 8


def test_a_publisher_that_falls_silent_is_closed_and_its_viewers_stay(
    harsh: RunningNode, witness: RawViewer, tmp_path: Path
) -> None:
    with (
        DemoProcess(harsh.publish_url("silent"), tmp_path / "demo.log") as demo,
        RawViewer(harsh.flv("silent")) as viewer,
    ):
        viewer.wait_for_more(10)
        demo.freeze()
        eventually(lambda: "no byte for 2 s" in harsh.log, "the silent publisher is closed")
        assert viewer.ended is None


def test_what_a_websocket_viewer_says_closes_it_with_1008(harsh: RunningNode, witness: RawViewer) -> None:
    with RawViewer(harsh.flv("live", "ws")) as viewer:
        viewer.wait_for_bytes()
        viewer.say(b"hello")
        assert viewer.wait_for_end() == "clean"
        assert viewer.close_code == 1008

"""Thousands of comings and goings leave nothing behind in a real node."""

from __future__ import annotations

import http.client
import itertools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.clip import ClipOptions, make_clip
from bench.publisher import LoadPublisher
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node

CYCLES = 3000
WARM_UP = 300
TAGS = 6
"""Enough to begin a stream with sound and picture."""
MAX_GROWTH = 6 * 1024 * 1024

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def check_flat(node: RunningNode, cycle: Callable[[int], None]) -> None:
    """Memory and descriptors after the warm-up and after all cycles."""
    for number in range(WARM_UP):
        cycle(number)
    memory, descriptors = node.metric("process_resident_memory_bytes"), node.metric("process_open_fds")
    for number in range(WARM_UP, CYCLES):
        cycle(number)
    eventually(lambda: node.metric("process_open_fds") <= descriptors + 2, "as few descriptors as before")
    grown = node.metric("process_resident_memory_bytes") - memory
    assert grown < MAX_GROWTH, f"memory grew by {grown / 2**20:.1f} MB in {CYCLES - WARM_UP} cycles"


def test_publishers_that_come_and_go(tmp_path: Path) -> None:
    clip = make_clip(ClipOptions(320, 180, bitrate=200_000))
    with running_node(tmp_path, "--open", "--set", "stream.resume_window_s=0") as node:

        def cycle(number: int) -> None:
            publisher = LoadPublisher(node.publish_url(f"room{number % 7}"), clip)
            publisher.connect()
            tags = itertools.count()
            publisher.run(lambda seconds: next(tags) > TAGS)
            publisher.close()

        check_flat(node, cycle)
        eventually(lambda: node.metric("streamer_rtmp_connections") == 0, "no publisher left")
        eventually(lambda: node.metric("streamer_streams") == 0, "no stream left")


def test_viewers_that_come_and_go(tmp_path: Path) -> None:
    with running_node(tmp_path, "--demo", "--open") as node:
        eventually(lambda: node.metric("streamer_stream_units_total") > 100, "a demo host on the air", within=20)

        def cycle(number: int) -> None:
            if number % 2:
                connection = http.client.HTTPConnection("127.0.0.1", node.ports["http"], timeout=20)
                connection.request("GET", "/live/demo.flv")
                assert connection.getresponse().read(1000)[:3] == b"FLV"
                connection.close()
                return
            with socket.create_connection(("127.0.0.1", node.ports["http"]), 20) as viewer:
                viewer.sendall(
                    b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                assert b" 101 " in viewer.recv(1000)

        check_flat(node, cycle)
        eventually(lambda: node.metric("streamer_flv_viewers") == 0, "no viewer left", within=30)

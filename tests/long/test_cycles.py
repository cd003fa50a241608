"""Thousands of comings and goings leave nothing behind in a real node."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.clip import ClipOptions, make_clip
from bench.publisher import LoadPublisher
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node
from tests.support.whep_client import ask, viewer
from wire.ice import IceCredentials

WARM_UP = 300
MEASURED = 2700
WHEP_WARM_UP = 6000
"""Memory has been seen to rise until 3,000 viewers had come and gone, and no more until 11,000 had."""
AT_ONCE = 10
"""WHEP viewers: a handshake is mostly waiting."""
RESTARTED = IceCredentials("abcd", "0123456789012345678901")
RESTART = f"a=ice-ufrag:{RESTARTED.ufrag}\r\na=ice-pwd:{RESTARTED.password}\r\n"
TAGS = 6
"""Enough to begin a stream with sound and picture."""
MAX_GROWTH = 6 * 1024 * 1024

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def check_flat(node: RunningNode, cycle: Callable[[int], None], *, warm_up: int = WARM_UP) -> None:
    """Memory and descriptors after the warm-up and after `MEASURED` cycles more."""
    for number in range(warm_up):
        cycle(number)
    memory, descriptors = node.metric("process_resident_memory_bytes"), node.metric("process_open_fds")
    for number in range(warm_up, warm_up + MEASURED):
        cycle(number)
    eventually(lambda: node.metric("process_open_fds") <= descriptors + 2, "as few descriptors as before")
    grown = node.metric("process_resident_memory_bytes") - memory
    assert grown < MAX_GROWTH, f"memory grew by {grown / 2**20:.1f} MB in {MEASURED} cycles"


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


async def watch_by_whep(url: str, *, restarts: bool) -> None:
    async with viewer(url) as client:
        await client.until(1)
        if restarts:
            headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
            status, _, body = await ask("PATCH", client.location, RESTART, headers)
            assert status == 200, body
            ufrag, password = re.search(r"ice-ufrag:(\S+)", body), re.search(r"ice-pwd:(\S+)", body)
            assert ufrag is not None
            assert password is not None
            client.own, client.server = RESTARTED, IceCredentials(ufrag[1], password[1])
            answers = client.answers
            async with asyncio.timeout(20):
                while client.answers == answers:
                    client.arrived.clear()
                    await client.arrived.wait()


def test_whep_viewers_that_come_and_go(tmp_path: Path) -> None:
    settings = ("--set", "webrtc.max_half_open_per_address=100")
    with running_node(tmp_path, "--demo", "--open", *settings) as node, asyncio.Runner() as runner:
        eventually(lambda: node.metric("streamer_stream_units_total") > 100, "a demo host on the air", within=20)
        url = f"http://127.0.0.1:{node.ports['http']}/whep/demo"

        async def several(first: int) -> None:
            numbers = range(first, first + AT_ONCE)
            await asyncio.gather(*(watch_by_whep(url, restarts=number % 3 == 0) for number in numbers))

        def cycle(number: int) -> None:
            if number % AT_ONCE == 0:
                runner.run(several(number))

        check_flat(node, cycle, warm_up=WHEP_WARM_UP)
        eventually(lambda: node.metric("streamer_webrtc_peers") == 0, "no peer left", within=30)
        assert node.metric("streamer_whep_joins_total") == WHEP_WARM_UP + MEASURED

"""The ladder from end to end, with its real worker: who cannot take the source, who cannot keep up, and faults."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import av
import pytest

from bench import barcode
from tests.e2e.test_rungs import workers
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node
from tests.support.playback import watch
from tests.support.quiet import is_quiet
from tests.support.whep_client import WhepClient, viewer
from wire.rtp.assembly import AccessUnitAssembler
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import ReorderBuffer

pytestmark = pytest.mark.e2e

LADDER = """ladder=[{rooms=["*"], rungs=[
    {name="180p", height=180, bitrate=250000, preset="ultrafast"},
    {name="144p", height=144, bitrate=150000, preset="ultrafast"}]}]"""
IDR = 5
OPUS = 111
"""Its payload type in Chromium's offer."""
SOURCE_BITS = 600_000
MAX_UNREAD = 0.03
BACK_S = 1.5
"""Seconds that a rung may be away when its worker is killed."""


@pytest.fixture(scope="module")
def laddered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("laddered"), "--open", "--set", LADDER.replace("\n", " ")) as node:
        yield node


def demo(node: RunningNode, room: str, folder: Path, *options: str) -> DemoProcess:
    return DemoProcess(node.publish_url(room), folder / "demo.log", options=["--bitrate", str(SOURCE_BITS), *options])


class Trickle:
    """An HTTP-FLV viewer that reads `rate` bytes a second; None for as fast as it comes."""

    def __init__(self, url: str) -> None:
        self.rate: int | None = None
        self.data = bytearray()
        parts = urlsplit(url)
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._sock.connect((parts.hostname, parts.port))
        self._sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Trickle:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()

    @property
    def flv(self) -> bytes:
        return bytes(self.data).partition(b"\r\n\r\n")[2]

    def _run(self) -> None:
        while True:
            try:
                data = self._sock.recv(2048)
            except OSError:
                return
            if not data:
                return
            self.data += data
            if self.rate is not None:
                time.sleep(len(data) / self.rate)


def rendition_of(node: RunningNode, room: str, names: tuple[str, ...] = ("source", "180p", "144p")) -> str:
    shown = [name for name in names if node.metric("streamer_rendition_viewers", transport="flv", rendition=name) > 0]
    return shown[0] if len(shown) == 1 else ""


def test_a_viewer_that_cannot_keep_up_falls_and_comes_back_and_misses_nothing(
    laddered: RunningNode, tmp_path: Path
) -> None:
    with demo(laddered, "slow", tmp_path), Trickle(laddered.flv("slow")) as slow:
        eventually(lambda: rendition_of(laddered, "slow") == "source", "it watches the source")
        time.sleep(2)
        slow.rate = 50_000
        eventually(lambda: rendition_of(laddered, "slow") in ("180p", "144p"), "a smaller rung", within=8)
        time.sleep(2)
        slow.rate = None
        eventually(lambda: rendition_of(laddered, "slow") == "source", "the way back", within=60)
        time.sleep(1)
    shown = watch(slow.flv)
    assert shown.offset_ms(1) is not None, "each picture is at its own time"
    steps = [b.pts_ms - a.pts_ms for a, b in itertools.pairwise(shown.pictures)]
    assert min(steps) > 0
    if is_quiet():
        assert laddered.metric("streamer_flv_skips_total") == 0
        assert max(steps) < 60, "no picture is missing"
    assert laddered.metric("streamer_switches_total", transport="flv", direction="up") >= 1


class Picture:
    """What a WHEP client was sent, decoded: number in the bar code and RTP time of each picture.

    At 144p a cell of the code is 8 pixels wide, and at so few bits the encoder may blur one: some may be unread.
    """

    def __init__(self, packets: list[RtpPacket]) -> None:
        buffer, assembler = ReorderBuffer(), AccessUnitAssembler(H264Depacketiser())
        codec = av.CodecContext.create("h264", "r")
        self.shown: list[tuple[int, int]] = []
        unread = 0
        is_broken = True
        for number, packet in enumerate(packets):
            for item in buffer.receive(packet, number / 1000):
                for unit in assembler.receive(item):
                    is_keyframe = any(nal[0] & 31 == IDR for nal in unit.nals)
                    is_broken = not is_keyframe and (is_broken or unit.after_loss)
                    if is_broken:
                        continue
                    coded = av.Packet(b"".join(b"\0\0\0\1" + nal for nal in unit.nals))
                    for frame in codec.decode(coded):
                        code = barcode.read(frame.to_ndarray()[: frame.height])
                        if code is not None:
                            self.shown.append((code[1], unit.rtp_time & 0xFFFFFFFF))
                        unread += code is None
        assert unread <= MAX_UNREAD * len(self.shown), f"{unread} codes unread beside {len(self.shown)}"


async def arrivals(client: WhepClient, seconds: float) -> list[tuple[float, int]]:
    """When pictures came in so many seconds: the time of each new RTP time of the picture's kind."""
    found: list[tuple[float, int]] = []
    seen, until = len(client.packets), time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(0.01)
        new = [packet for packet in client.packets[seen:] if packet.marker and packet.payload_type != OPUS]
        seen = len(client.packets)
        found += [(time.monotonic(), packet.timestamp) for packet in new]
    return found


def video_of(client: WhepClient) -> list[RtpPacket]:
    """Without sound and without repeats."""
    others = [packet for packet in client.packets if packet.payload_type != OPUS]
    return [packet for packet in others if packet.payload_type == others[0].payload_type]


def test_a_webrtc_viewer_of_a_source_with_b_frames_is_shown_a_rung(laddered: RunningNode, tmp_path: Path) -> None:
    async def scenario() -> list[RtpPacket]:
        async with viewer(laddered.url("/whep/bframes")) as client:
            await client.until(400)
            return video_of(client)

    with demo(laddered, "bframes", tmp_path, "--bframes", "2"):
        eventually(lambda: laddered.metric("streamer_streams", state="live") > 0, "the show")
        packets = asyncio.run(scenario())
    shown = Picture(packets).shown
    assert len(shown) > 60
    steps = [b[0] - a[0] for a, b in itertools.pairwise(shown)]
    assert min(steps) > 0
    if is_quiet():
        assert sorted(steps)[int(0.9 * len(steps))] <= 34, "30 pictures a second, as the source has them"
    offsets = {((b[1] - a[1]) & 0xFFFFFFFF) // 90 - (b[0] - a[0]) for a, b in itertools.pairwise(shown)}
    assert offsets <= {-1, 0, 1}, "RTP time is the picture's own"


def test_a_killed_worker_costs_a_webrtc_viewer_a_moment_and_no_connection(
    laddered: RunningNode, tmp_path: Path
) -> None:
    async def scenario() -> tuple[list[tuple[float, int]], list[RtpPacket]]:
        async with viewer(laddered.url("/whep/killed")) as client:
            await client.until(200)
            os.kill(workers(laddered)[0], signal.SIGKILL)
            times = await arrivals(client, 5)
            assert client.closed is None
            return times, video_of(client)

    eventually(lambda: not workers(laddered), "the workers of the test before end", within=30)
    with demo(laddered, "killed", tmp_path, "--bframes", "2"):
        eventually(lambda: laddered.metric("streamer_streams", state="live") > 0, "the show")
        times, packets = asyncio.run(scenario())
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(times)]
    if is_quiet():
        assert max(gaps) < BACK_S
    shown = Picture(packets).shown
    assert all(b[0] > a[0] for a, b in itertools.pairwise(shown)), "no picture twice"

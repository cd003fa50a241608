"""A whole node on loopback, with a publisher that feeds it real H.264, and clients that speak WHEP to it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import aiohttp

from media.hub import Hub
from media.publisher import Publisher
from media.stream import Kinds, Stream
from media.ticks import TICKS_PER_SECOND, Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from streamer.address import Address
from streamer.config import (
    AccessSettings,
    Config,
    DataSettings,
    DrainSettings,
    HttpSettings,
    RtmpSettings,
    WebRtcSettings,
)
from streamer.ladder import Ladder
from streamer.node import Bound, Node
from tests.support.offers import text
from tests.support.picture import encode_h264, grey, noise
from wire.codecs.h264 import is_keyframe, parameter_sets, strip

LOOPBACK = Address("127.0.0.1", 0)
FPS = 30
ROOM = "demo"


@dataclass
class LiveNode:
    node: Node
    base: str
    udp: Address

    @property
    def hub(self) -> Hub:
        return self.node.hub

    @property
    def whep(self) -> str:
        return f"{self.base}/whep/{ROOM}"


def config(data: Path, *, webrtc: WebRtcSettings | None = None, is_open: bool = True) -> Config:
    return Config(
        http=HttpSettings(listen=LOOPBACK, shutdown_timeout_s=0.5),
        rtmp=RtmpSettings(listen=LOOPBACK),
        access=AccessSettings(open=is_open),
        webrtc=replace(webrtc or WebRtcSettings(join_wait_s=0.3), listen=LOOPBACK),
        drain=DrainSettings(grace_s=0),
        data=DataSettings(dir=data),
        ladder=Ladder(()),
    )


@asynccontextmanager
async def whep_node(settings: Config) -> AsyncIterator[LiveNode]:
    """Runs until the block ends."""
    node, stop, bound = Node(settings), asyncio.Event(), asyncio.get_running_loop().create_future()

    def on_bound(value: Bound) -> None:
        bound.set_result(value)

    running = asyncio.create_task(node.run(stop, on_bound=on_bound))
    await asyncio.wait({running, bound}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    where: Bound = bound.result()
    assert where.udp is not None
    try:
        yield LiveNode(node, f"http://{where.http}", where.udp)
    finally:
        stop.set()
        await running


@cache
def clip() -> tuple[tuple[bytes, ...], ...]:
    """A second of film: one picture of many packets, then shades of grey; a keyframe every tenth."""
    frames = [noise(1)] + [grey(40 + 5 * number) for number in range(1, 30)]
    return tuple(tuple(nals) for nals in encode_h264(frames))


def units(reordered: bool = False) -> itertools.chain[AccessUnit]:
    """The clip, without end, on a publisher's clock."""
    settings = parameter_sets(clip()[0], None)
    assert settings is not None
    track = Track(Codec.H264, settings)

    def unit(number: int) -> AccessUnit:
        nals = clip()[number % len(clip())]
        dts = number * TICKS_PER_SECOND // FPS
        pts = dts + (6000 if reordered else 0)
        return AccessUnit(track, Ticks(dts), Ticks(pts), is_keyframe(nals), strip(nals))

    return itertools.chain(map(unit, itertools.count()))


@asynccontextmanager
async def publishing(hub: Hub, *, reordered: bool = False, room: str = ROOM) -> AsyncIterator[Stream]:
    """Publishes in real time until the block ends; the first second of it is there at once."""
    publisher = hub.claim(room, peer="tester", on_displaced=lambda reason: None)
    publisher.expect(Kinds(video=True, audio=False), frame_rate=FPS)
    source = units(reordered)
    for unit in itertools.islice(source, FPS + 5):
        publisher.publish(unit)
    task = asyncio.create_task(_publish(publisher, source))
    try:
        yield publisher.stream
    finally:
        task.cancel()
        publisher.release(clean=True)


async def _publish(publisher: Publisher, source: itertools.chain[AccessUnit]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    for unit in source:
        await asyncio.sleep(max(0.0, due - loop.time()))
        publisher.publish(unit)
        due = max(due + 1 / FPS, loop.time())  # what a stall holds up comes later, and not all at once


async def post(
    url: str, body: str | bytes | None = None, *, content_type: str = "application/sdp"
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a POST, by default of Chromium's offer."""
    return await ask("POST", url, text("chromium-viewer") if body is None else body, {"Content-Type": content_type})


async def ask(
    method: str, url: str, body: str | bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    async with aiohttp.ClientSession() as session, session.request(method, url, data=body, headers=headers) as response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.text()

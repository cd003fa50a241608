"""A live show in one process: a real encoder pushes by RTMP, and the real site serves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import imageio_ffmpeg
from aiohttp import web

from ingest.authorize import Refusal
from ingest.rtmp_server import RtmpIngest
from media.clock import SystemClock
from media.hub import Hub, HubLimits
from relay.flv_handler import FlvLimits, FlvRelay
from streamer.address import Address
from streamer.config import HttpSettings
from streamer.http import HttpSite, Sources, build_app

FPS = 25


class Show:
    """The parts of a running show."""

    def __init__(self, hub: Hub, base: str, rtmp: str) -> None:
        self.hub = hub
        self.base = base
        self.rtmp = rtmp


def _anyone(room: str, secret: str, address: str) -> Refusal | None:
    return None


@asynccontextmanager
async def show(*, join_wait: float = 5.0) -> AsyncIterator[Show]:
    """The HTTP site and the RTMP server on free ports, joined by one hub. Nobody publishes yet."""
    hub = Hub(SystemClock(), new_epoch=lambda: f"e{time.monotonic_ns()}", limits=HubLimits(resume_window=1.0))
    relay = FlvRelay(hub, time.monotonic, FlvLimits(join_wait=join_wait))
    ingest = RtmpIngest(hub, _anyone)
    settings = HttpSettings(shutdown_timeout_s=0.5)
    app = build_app(settings, Sources(), routes=[web.get("/live/{room}.flv", relay.handle)])
    async with HttpSite(app, settings) as site:
        bound = await site.listen(Address("127.0.0.1", 0))
        host, port = (await ingest.listen("127.0.0.1", 0))[0]
        try:
            yield Show(hub, f"http://{bound}", f"rtmp://{host}:{port}/live")
        finally:
            ingest.close()
            hub.close()
            relay.close()


@asynccontextmanager
async def encoder(url: str, *, width: int = 320, height: int = 240) -> AsyncIterator[asyncio.subprocess.Process]:
    """FFmpeg pushes a moving picture with a tone, in real time, until the block ends."""
    picture = f"testsrc2=size={width}x{height}:rate={FPS}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-re"]
    command += ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    command += [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-g",
        str(FPS),
        "-pix_fmt",
        "yuv420p",
    ]
    command += ["-c:a", "aac", "-f", "flv", url]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()

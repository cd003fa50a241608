"""Real publishers by WHIP beside browsers: FFmpeg in both DTLS roles, and aiortc. Lip sync by flash and beep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import imageio_ffmpeg
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from bench.demo_host import DemoHost, DemoOptions
from bench.lip_sync import read_flashes
from media.stream import Stream, StreamState
from media.track import Codec
from tests.support.picture import grey, noise
from tests.support.whip_link import Collector
from tests.support.whip_show import KEY, WhipShow, whip_show

pytestmark = pytest.mark.e2e

SECONDS = 7
PATIENCE = 15.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of the demo host's show, with a flash and a beep each second."""
    path = tmp_path_factory.mktemp("film") / "demo.flv"
    DemoHost(DemoOptions(url=str(path), width=320, height=240, bitrate=300_000, keyint=1.0, duration=SECONDS)).run()
    return path


@asynccontextmanager
async def ffmpeg(show: WhipShow, film: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """FFmpeg publishes the film in real time, its pictures as they are."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "error",
        "-re",
        "-i",
        str(film),
    ]
    command += ["-map", "0:v", "-map", "0:a", "-c:v", "copy", "-c:a", "libopus", "-ar", "48000", "-ac", "2"]
    command += ["-f", "whip", "-authorization", KEY, *options, show.url]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def live(show: WhipShow) -> Stream:
    async with asyncio.timeout(PATIENCE):
        while (stream := show.hub.get("demo")) is None or not stream.is_ready:
            await asyncio.sleep(0.02)
    return stream


async def in_state(stream: Stream, state: StreamState) -> None:
    async with asyncio.timeout(PATIENCE):
        while stream.state is not state:
            await asyncio.sleep(0.02)


async def watch(show: WhipShow, until: asyncio.Task[Any]) -> bytes:
    """What an FLV viewer gets until the task is done."""
    data = bytearray()
    async with aiohttp.ClientSession() as client, client.get(f"{show.base}/live/demo.flv") as response:
        assert response.status == 200
        reading = asyncio.create_task(_read(response, data))
        await until
        await asyncio.sleep(0.2)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return bytes(data)


async def _read(response: aiohttp.ClientResponse, data: bytearray) -> None:
    async for piece in response.content.iter_any():
        data += piece


@pytest.mark.parametrize(
    "options", [(), ("-whip_flags", "dtls_active")], ids=["we are the client", "we are the server"]
)
def test_ffmpeg_publishes_with_lips_in_step(film: Path, options: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with whip_show() as show, ffmpeg(show, film, *options) as encoder:
            viewing = asyncio.create_task(watch(show, asyncio.create_task(encoder.wait())))
            stream = await live(show)
            data = await viewing
            await in_state(stream, StreamState.STOPPED)
            assert stream.drops.total() == 0
            assert show.whip.totals().dropped == 0
        flashes = [flash.beep_ms for flash in read_flashes(data)]
        assert len(flashes) >= 4
        assert all(beep is not None and abs(beep) < 40 for beep in flashes), flashes

    run(scenario())


def test_ffmpeg_that_is_killed_may_come_back(film: Path) -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            reader = Collector()
            async with ffmpeg(show, film):
                stream = await live(show)
                stream.attach(reader)
                await asyncio.sleep(1)
            epoch = stream.epoch
            async with ffmpeg(show, film):
                seen = len(reader.pictures)
                async with asyncio.timeout(PATIENCE):
                    while len(reader.pictures) < seen + 30:
                        await asyncio.sleep(0.02)
            now = show.hub.get("demo")
            assert now is stream
            assert now.epoch == epoch
            assert stream.counters.takeovers + stream.counters.resumes == 1
            steps = [b.dts - a.dts for a, b in zip(reader.pictures, reader.pictures[1:], strict=False)]
            assert all(0 < step <= 9000 for step in steps), "the timeline has no hole"

    run(scenario())


class Grey(VideoStreamTrack):
    """A still picture after one of noise."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def recv(self):  # type: ignore[no-untyped-def]
        pts, time_base = await self.next_timestamp()
        frame = noise(1) if self._number == 0 else grey(77)
        frame.pts, frame.time_base = pts, time_base
        self._number += 1
        return frame


def test_aiortc_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])

    async def scenario() -> None:
        async with whip_show() as show:
            connection = RTCPeerConnection()
            connection.addTransceiver(Grey(), direction="sendonly")
            connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
            await connection.setLocalDescription(await connection.createOffer())
            location = await _exchange(show, connection)
            stream = await live(show)
            reader = Collector()
            stream.attach(reader)
            assert stream.source_video is not None
            assert stream.source_video.codec is Codec.H264
            stream.request_keyframe()
            async with asyncio.timeout(PATIENCE):
                while sum(unit.keyframe for unit in reader.pictures) < 2 or len(reader.sounds) < 50:
                    await asyncio.sleep(0.02)
            async with aiohttp.ClientSession() as client, client.delete(location) as response:
                assert response.status == 200
            await in_state(stream, StreamState.STOPPED)
            await connection.close()

    run(scenario())


async def _exchange(show: WhipShow, connection: RTCPeerConnection) -> str:
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {KEY}"}
    body = connection.localDescription.sdp
    async with aiohttp.ClientSession() as client, client.post(show.url, data=body, headers=headers) as response:
        assert response.status == 201
        await connection.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
        return response.headers["Location"]

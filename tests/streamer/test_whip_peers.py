"""Real publishers by WHIP beside browsers: FFmpeg in both DTLS roles, and aiortc. Lip sync by flash and beep."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import imageio_ffmpeg
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from bench.lip_sync import read_flashes
from media.stream import Stream, StreamState
from media.track import Codec
from tests.support.eventually import soon
from tests.support.gstreamer import write_show
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
    folder = tmp_path_factory.mktemp("film")
    pictures, width, height, fps, sound = map(str, write_show(folder, SECONDS, number=1))
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", fps]
    x264 = ["-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-g", fps]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw, "-i", pictures, "-i", sound, *x264]
    subprocess.run([*command, "-c:a", "aac", str(folder / "demo.flv")], check=True)
    return folder / "demo.flv"


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
    return await show.hub.subscribe("demo", PATIENCE)


async def in_state(stream: Stream, state: StreamState) -> None:
    await soon(lambda: stream.state is state, str(state), within=PATIENCE)


async def watch(show: WhipShow) -> bytes:
    """What an FLV viewer gets until the broadcast is over."""
    async with aiohttp.ClientSession() as client, client.get(f"{show.base}/live/demo.flv") as response:
        assert response.status == 200
        return await response.read()


@pytest.mark.parametrize(
    "options", [(), ("-whip_flags", "dtls_active")], ids=["we are the client", "we are the server"]
)
def test_ffmpeg_publishes_with_lips_in_step(film: Path, options: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with whip_show() as show, ffmpeg(show, film, *options) as encoder:
            viewing = asyncio.create_task(watch(show))
            stream = await live(show)
            assert await encoder.wait() == 0
            await in_state(stream, StreamState.STOPPED)
            show.hub.end("demo")
            data = await viewing
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
                async with asyncio.timeout(PATIENCE):
                    await reader.until(lambda: len(reader.pictures) >= 30)
            epoch = stream.epoch
            async with ffmpeg(show, film):
                seen = len(reader.pictures)
                async with asyncio.timeout(PATIENCE):
                    await reader.until(lambda: len(reader.pictures) >= seen + 30)
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
                await reader.until(
                    lambda: sum(unit.keyframe for unit in reader.pictures) >= 2 and len(reader.sounds) >= 50
                )
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

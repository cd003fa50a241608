"""The studio page in Chromium with its fake camera, and what viewers get of it on both transports."""

from __future__ import annotations

import asyncio
import io
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from playwright.async_api import Browser, Page, async_playwright

from ingest.whip_session import KEYFRAME_EVERY
from media.reasons import SHUTDOWN
from media.stream import StreamState
from media.ticks import TICKS_PER_SECOND
from tests.support.chromium import CHROMIUM_FLAGS, STORAGE_OFF, until
from tests.support.eventually import soon
from tests.support.flv import FlvFile, read_flv
from tests.support.whip_link import Collector
from tests.support.whip_show import KEY, WhipShow, whip_show
from wire.flv_tag import FlvTag

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.usefixtures("built_pages")]

CAMERA_FLAGS = ("--use-fake-device-for-media-stream=device-count=3", "--use-fake-ui-for-media-stream")
NOISE = """
navigator.mediaDevices.getUserMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
    const context = canvas.getContext("2d"), picture = context.createImageData(640, 360);
    const words = new Uint32Array(picture.data.buffer);
    setInterval(() => {
        let seed = performance.now() | 1;
        for (let at = 0; at < words.length; at++) {
            seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5;
            words[at] = seed | 0xff000000;
        }
        context.putImageData(picture, 0, 0);
    }, 40);
    const audio = new AudioContext(), tone = audio.createOscillator(), out = audio.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    return new MediaStream([...canvas.captureStream(25).getTracks(), ...out.stream.getTracks()]);
};
"""
"""A camera that shows grain, which takes every bit that it is given."""

FLASH_AND_BEEP = """
navigator.mediaDevices.getUserMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), {width: 320, height: 240});
    const context = canvas.getContext("2d"), audio = new AudioContext(), tone = audio.createOscillator();
    const gain = audio.createGain(), out = audio.createMediaStreamDestination();
    gain.gain.value = 0;
    tone.connect(gain).connect(out);
    tone.start();
    for (let second = 1; second < 60; second++) {
        gain.gain.setValueAtTime(0.5, second);
        gain.gain.setValueAtTime(0, second + 0.1);
    }
    setInterval(() => {
        context.fillStyle = audio.currentTime > 1 && audio.currentTime % 1 < 0.1 ? "white" : "black";
        context.fillRect(0, 0, 320, 240);
    }, 5);
    return new MediaStream([...canvas.captureStream(60).getTracks(), ...out.stream.getTracks()]);
};
"""
"""A host that claps once a second."""

PHONE = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices), pictures = [];
navigator.mediaDevices.getUserMedia = async (wishes) => {
    const isBusy = wishes.video && pictures.some((track) => track.readyState === "live");
    if (isBusy || window.broken && wishes.video?.deviceId?.exact === window.broken) {
        throw new DOMException("busy", "NotReadableError");
    }
    const stream = await open(wishes);
    pictures.push(...stream.getVideoTracks());
    return stream;
};
"""
"""Opens one camera at a time, and never that with the id `window.broken`."""


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 90))


@asynccontextmanager
async def browser_with_camera(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        flags = [*CHROMIUM_FLAGS, *CAMERA_FLAGS]
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


async def open_studio(browser: Browser, show: WhipShow, *, key: str = KEY, script: str = "") -> tuple[Page, list[str]]:
    """The page, after `script` has run in it, and what its console complains about."""
    page = await (await browser.new_context()).new_page()
    await page.add_init_script(script)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    await page.goto(f"{show.base}/studio/demo")
    await until(page, "!document.querySelector('#go').disabled")
    await page.fill("#key", key)
    return page, complaints


async def go_live(page: Page) -> None:
    await page.click("#go")
    await until(page, "window.studio.state === 'live'")


async def watch(show: WhipShow, is_enough: Callable[[FlvFile], bool]) -> bytes:
    """What a viewer gets until that is enough."""
    data = bytearray()
    url = f"{show.base}/live/demo.flv"
    async with asyncio.timeout(20), aiohttp.ClientSession() as client, client.get(url) as response:
        assert response.status == 200
        async for piece in response.content.iter_any():
            data += piece
            if is_enough(read_flv(data)):
                break
    return bytes(data)


@asynccontextmanager
async def busy_with(turn: float) -> AsyncIterator[None]:
    """Something else has the event loop for `turn` seconds, and leaves it to others for half as long."""

    async def work() -> None:
        while turn:
            await asyncio.sleep(turn / 2)
            time.sleep(turn)  # noqa: ASYNC251  the loop stands still, as when many viewers are sent to

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()


def test_a_host_goes_live_and_is_watched_on_both_transports(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, complaints = await open_studio(browser, show)
            await go_live(page)
            # More than 2.5 s of sound, in packets of 20 ms.
            data = await watch(show, lambda file: len(file.pictures) > 45 and len(file.sounds) > 130)
            with av.open(io.BytesIO(data), format="flv") as container:
                assert container.streams.video[0].codec_context.name == "h264"
                assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
                frames = list(container.decode(video=0))
            assert len(frames) > 40
            with av.open(io.BytesIO(data), format="flv") as container:
                sounds = list(container.decode(audio=0))
            assert sum(frame.samples for frame in sounds) > 2.5 * 48_000
            viewer = await (await browser.new_context()).new_page()
            await viewer.goto(f"{show.base}/watch/demo?via=webrtc")
            await until(viewer, "window.streamer?.stats.frames >= 30")
            assert await page.text_content("#message") == ""
            assert complaints == []
            stream = show.hub.get("demo")
            assert stream is not None
            assert stream.drops.total() == 0
            await page.click("#go")
            await until(page, "window.studio.state === 'off'")
            await soon(lambda: stream.state is StreamState.STOPPED, "the end", within=5)

    run(scenario())


@pytest.mark.parametrize("turn", [0.0, 0.04], ids=["a node at rest", "a busy node"])
def test_a_browser_raises_its_bit_rate_to_2_mbit_within_10_s(chromium: str, turn: float) -> None:
    """Of a busy node each turn of its loop takes a while: what came meanwhile did not come later for it."""

    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser, busy_with(turn):
            page, _ = await open_studio(browser, show, script=NOISE)
            await go_live(page)
            await until(page, "window.studio.stats.bitrate >= 2_000_000", within=10)
            counters = show.whip.totals()
            assert counters.lost <= counters.packets / 100

    run(scenario())


def test_a_browser_makes_keyframes_for_those_who_join(chromium: str) -> None:
    """By itself it makes one only with another resolution, every 4 s until it has the camera's, and then none."""

    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show)
            await go_live(page)
            reader = Collector()
            (await show.hub.subscribe("demo", 10)).attach(reader)
            async with asyncio.timeout(20):
                await reader.until(lambda: sum(unit.keyframe for unit in reader.pictures) >= 5)
            times = [unit.dts / TICKS_PER_SECOND for unit in reader.pictures if unit.keyframe]
            steps = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert max(steps) < KEYFRAME_EVERY + 1, steps

    run(scenario())


def seconds_of(tags: list[FlvTag]) -> float:
    return (tags[-1].timestamp - tags[0].timestamp) / 1000 if tags else 0.0


def _claps(data: bytes) -> tuple[list[float], list[float]]:
    """When the picture turns white, and when the sound begins, in seconds."""
    flashes, beeps = [], []
    with av.open(io.BytesIO(data), format="flv") as container:
        dark = False
        for frame in container.decode(video=0):
            is_light = frame.to_ndarray(format="gray").mean() > 128
            if is_light and dark:
                flashes.append(float(frame.time or 0))
            dark = not is_light
    with av.open(io.BytesIO(data), format="flv") as container:
        heard = float("-inf")
        for sound in container.decode(audio=0):
            loud = np.flatnonzero(abs(sound.to_ndarray()[0]) > 0.1)
            if len(loud):
                onset = float(sound.time or 0) + float(loud[0]) / sound.sample_rate
                if onset - heard > 0.5:
                    beeps.append(onset)
                heard = onset
    return flashes, beeps


def test_a_clap_is_seen_and_heard_together(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show, script=FLASH_AND_BEEP)
            await go_live(page)
            flashes, beeps = _claps(await watch(show, lambda file: seconds_of(file.pictures) > 7))
            apart = [min((beep - flash for beep in beeps), key=abs) for flash in flashes[1:-1]]
            assert len(apart) >= 3
            assert all(abs(late) < 0.08 for late in apart), apart

    run(scenario())


def test_a_phone_changes_its_camera_while_it_is_live(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show, script=PHONE)
            await until(page, "document.querySelectorAll('#camera option').length === 3")
            # the one between them has pictures of depth, which nothing shows
            first, _, second = await page.evaluate(
                "[...document.querySelector('#camera').options].map((one) => one.value)"
            )
            await go_live(page)
            sessions, stream = show.whip.sessions(), show.hub.get("demo")
            assert stream is not None
            used = "document.querySelector('#preview').srcObject.getVideoTracks()[0].getSettings().deviceId"
            for asked in (second, first):
                await page.select_option("#camera", asked)
                await until(page, f"{used} === '{asked}'")
                before = stream.counters.video_units
                await soon(lambda least=before + 30: stream.counters.video_units >= least, "the other camera")
            await page.evaluate(f"window.broken = '{second}'")
            await page.select_option("#camera", second)
            await until(page, "document.querySelector('#message').textContent.includes('camera is in use')")
            await until(page, f"document.querySelector('#camera').value === '{first}' && {used} === '{first}'")
            assert await page.evaluate("[window.studio.state, window.studio.stats.connections]") == ["live", 1]
            assert show.whip.sessions() == sessions

    run(scenario())


def test_a_wrong_key_is_named_and_not_tried_again(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show, key="wrong")
            await page.click("#go")
            await until(page, "document.querySelector('#message').textContent.includes('not right')")
            assert await page.evaluate("window.studio.state") == "off"
            assert show.whip.refused["403"] == 1

    run(scenario())


def test_who_is_displaced_is_told_and_stays_away(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            first, _ = await open_studio(browser, show)
            await go_live(first)
            second, _ = await open_studio(browser, show)
            await go_live(second)
            await until(first, "document.querySelector('#message').textContent.includes('Somebody else')")
            assert await first.evaluate("window.studio.state") == "off"
            assert await second.evaluate("window.studio.state") == "live"

    run(scenario())


def test_a_lost_session_is_begun_again_and_the_broadcast_goes_on(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show)
            await go_live(page)
            stream = show.hub.get("demo")
            assert stream is not None
            show.whip.sessions()[0].end(SHUTDOWN)
            await until(page, "window.studio.stats.connections === 2 && window.studio.state === 'live'")
            assert show.hub.get("demo") is stream
            assert stream.counters.resumes + stream.counters.takeovers == 1

    run(scenario())


def test_a_page_that_is_closed_takes_its_leave(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show)
            await go_live(page)
            await page.close(run_before_unload=False)
            await soon(lambda: not show.whip.sessions(), "the session's end")
            stream = show.hub.get("demo")
            assert stream is not None
            assert stream.state is StreamState.STOPPED

    run(scenario())


def test_without_https_a_host_reads_why_there_is_no_camera(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            context = await browser.new_context()
            # as on any other plain address
            await context.add_init_script("delete Navigator.prototype.mediaDevices")
            await context.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
            page = await context.new_page()
            await page.goto(f"{show.base}/studio/demo")
            await until(page, "document.querySelector('#message').textContent.includes('HTTPS')")
            assert await page.is_disabled("#go")

    run(scenario())


def test_a_browser_that_keeps_nothing_goes_live_too(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page, _ = await open_studio(browser, show, script=STORAGE_OFF)
            await go_live(page)
            assert await page.text_content("#live") == "Live"

    run(scenario())


def test_a_host_reads_the_studio_in_chinese(chromium: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show, browser_with_camera(chromium) as browser:
            page = await (await browser.new_context(locale="zh-CN")).new_page()
            await page.goto(f"{show.base}/studio/demo")
            await until(page, "!document.querySelector('#go').disabled")
            assert await page.text_content("#go") == "开始直播"
            assert await page.get_attribute("html", "lang") == "zh-CN"
            assert await page.get_by_label("推流密钥").count() == 1
            await page.fill("#key", "wrong")
            await page.click("#go")
            await until(page, "document.querySelector('#message').textContent.includes('推流密钥与这个直播间不符')")

    run(scenario())

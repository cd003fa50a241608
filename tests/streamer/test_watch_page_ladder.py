"""The watch page in Chromium behind a wire that becomes narrow and wide again: it falls at once, climbs back by itself,
and every picture stays at its own place on the timeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, async_playwright

from bench import barcode
from bench.network import Network, own_network
from tests.support.chromium import CHROMIUM_FLAGS, until
from tests.support.eventually import soon
from tests.support.ladder import FPS, SourceFilm, rung
from tests.support.ladder_node import LadderNode, ladder_node
from tests.support.network import limit, or_skip, program_inside
from tests.support.quiet import is_quiet

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.usefixtures("built_pages")]

RUNGS = (rung("180p", 320, 180, 400_000), rung("90p", 160, 90, 150_000))
WIDTHS = {"source": 640, "180p": 320, "90p": 160}
GRAIN = 40
SECONDS = 110
NARROW_KBIT = 600
"""Half of what the source needs."""
BUSY_MACHINE = 2
"""Pauses that a machine without a graphics card may make by itself, when it has other things to do."""
PAUSE_S = 0.35
FALL_S = 2.0
STALL_S = 2.5
"""Pictures that are under way when the wire becomes narrow take so long to pass it."""

WATCH_FRAMES = """() => {
    const video = document.querySelector("video");
    window.seen = [];
    const note = (now, frame) => {
        window.seen.push([performance.now() / 1000, frame.width, frame.mediaTime]);
        video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
}"""
CODE = """() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    return new Promise((done) => video.requestVideoFrameCallback(() => {
        [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
        const pen = canvas.getContext("2d");
        pen.drawImage(video, 0, 0);
        const nowMs = window.streamer.nowMs;
        const band = 4 * Math.ceil(canvas.width / 32);
        const { data } = pen.getImageData(0, canvas.height - band, canvas.width, band);
        const luma = [];
        for (let at = 0; at < data.length; at += 4) luma.push(data[at + 1]);
        done([nowMs, canvas.width, luma]);
    }));
}"""


@cache
def film() -> SourceFilm:
    return SourceFilm(SECONDS * FPS, gop=2 * FPS, bitrate=1_200_000, profile="baseline", grain=GRAIN)


@asynccontextmanager
async def page_of(executable: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        flags = [*CHROMIUM_FLAGS, "--allow-loopback-in-peer-connection"]
        browser = await playwright.chromium.launch(executable_path=executable, args=flags)
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


def rung_of(node: LadderNode) -> str:
    live = node.live.node
    shown = [name for _, name, _ in live.flv.viewers()]
    shown += [session.renditions[0] for session in live.webrtc.whep.sessions()]
    return shown[0] if shown else "nothing"


async def stays(node: LadderNode, name: str, seconds: float, *, within: float) -> None:
    """Wait until it has had this rung for so long without a break."""
    clock = asyncio.get_running_loop().time
    since = clock()

    def is_long() -> bool:
        nonlocal since
        if rung_of(node) != name:
            since = clock()
        return clock() - since >= seconds

    await soon(is_long, f"{name} for {seconds:g} s", within=within)


async def frame_gaps(page: Page, since: int) -> tuple[list[float], int]:
    """The times between pictures that were shown since `since`, a number of pictures; and how many there are now."""
    seen: list[list[float]] = await page.evaluate("window.seen")
    times = [entry[0] for entry in seen[max(0, since - 1) :]]
    return [b - a for a, b in pairwise(times)], len(seen)


async def offset_ms(page: Page) -> float:
    """From the bar code in the picture to the place that the page has."""
    for _ in range(5):
        now_ms, width, luma = await page.evaluate(CODE)
        code = barcode.read(np.array(luma, np.uint8).reshape(-1, width))
        if code is not None:  # scaled in the moment of a change
            return float(now_ms) - code[1] * 1000 / FPS
    raise AssertionError("no picture carries its number")


async def shows(page: Page, width: int, within: float = 10.0) -> None:
    await until(page, f"document.querySelector('video').videoWidth === {width}", within)


async def shows_its_rung(page: Page, node: LadderNode, *names: str) -> None:
    """One of these, which may change meanwhile."""

    async def is_shown() -> bool:
        width = await page.evaluate("document.querySelector('video').videoWidth")
        return any(rung_of(node) == name and width == WIDTHS[name] for name in names)

    await soon(is_shown, f"a picture of {' or '.join(names)}")


@pytest.mark.parametrize("via", ["webrtc", "flv"])
def test_a_narrow_network_is_followed_down_and_a_wide_one_up(chromium: str, tmp_path: Path, via: str) -> None:
    async def scenario(network: Network) -> None:
        browser = program_inside(network, chromium, tmp_path)
        async with (
            ladder_node(tmp_path, film(), RUNGS, host=network.outside, grain=GRAIN) as node,
            page_of(browser) as page,
        ):
            await page.goto(f"{node.base}/watch/demo?via={via}")
            await shows(page, WIDTHS["source"], 20)
            await page.evaluate(WATCH_FRAMES)
            await stays(node, "source", 6, within=20)  # a wide wire carries it
            offsets = [await offset_ms(page)]
            _, before = await frame_gaps(page, 0)

            limit(network, NARROW_KBIT)
            await soon(lambda: rung_of(node) != "source", "a fall", within=FALL_S)
            await asyncio.sleep(6)
            await shows_its_rung(page, node, "180p", "90p")
            gaps, narrow = await frame_gaps(page, before)
            assert max(gaps) < STALL_S or not is_quiet()
            offsets.append(await offset_ms(page))

            limit(network, None)
            await soon(lambda: rung_of(node) == "source", "the way back up", within=60)
            await asyncio.sleep(3)
            await shows(page, WIDTHS["source"])
            gaps, _ = await frame_gaps(page, narrow)
            pauses = [round(gap, 2) for gap in gaps if gap > PAUSE_S]
            assert len(pauses) <= BUSY_MACHINE or not is_quiet(), pauses
            offsets.append(await offset_ms(page))
            assert max(offsets) - min(offsets) <= 2 * 1000 / FPS, "a picture is at its own time on every rung"
            stats: dict[str, Any] = await page.evaluate("window.streamer.stats")
            assert stats["connections"] == 1
            widths = {int(entry[1]) for entry in await page.evaluate("window.seen")}
            assert widths >= {WIDTHS["source"], WIDTHS["90p"]} or widths >= {WIDTHS["source"], WIDTHS["180p"]}

    with or_skip(own_network()) as network:
        film()  # takes a while, which is not the scenario's
        asyncio.run(asyncio.wait_for(scenario(network), SECONDS))

"""The watch page in Chromium by WHEP, on a node of its own: pictures, position, loss, and a network without UDP."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, async_playwright

from streamer.http_static import BUILT_PAGES
from tests.support.chromium import CHROMIUM_FLAGS

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
FLAGS = (*CHROMIUM_FLAGS, "--allow-loopback-in-peer-connection")
PATIENCE = 30
BUSY_MACHINE = 2
"""Freezes that a machine without a graphics card may cause by itself, when it has other things to do."""
NAMESPACE = "streamer-whep-test"
HOST, GATEWAY = "10.77.0.1", "10.77.0.2"


@pytest.fixture(autouse=True)
def _pages_are_built() -> None:
    if not (BUILT_PAGES / "watch.html").exists():
        pytest.skip("the pages are not built")


@dataclass
class Served:
    base: str
    udp_port: int


@asynccontextmanager
async def demo(data: Path, *prefix: str, host: str = "127.0.0.1") -> AsyncIterator[Served]:
    """`streamer serve --demo` as a process of its own, with `prefix` in front of the command."""
    command = [*prefix, sys.executable, "-m", "streamer", "serve", "--open", "--demo", "--data", str(data)]
    for flag in ("--http", "--rtmp", "--udp"):
        command += [flag, f"{host}:0"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield await _addresses(process)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def _addresses(process: asyncio.subprocess.Process) -> Served:
    assert process.stdout is not None
    found: dict[str, str] = {}
    while "watch" not in found:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
        assert line, "the node ended"
        name, _, rest = line.partition(" ")
        found[name] = rest.split()[0]
    return Served(found["http"].rstrip("/"), int(found["udp"].rpartition(":")[2]))


@asynccontextmanager
async def page_of(executable: str) -> AsyncIterator[tuple[Page, list[str]]]:
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        page = await browser.new_page(reduced_motion="reduce")  # the picture is looked at, not what floats over it
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        try:
            yield page, complaints
        finally:
            await browser.close()


async def until(page: Page, expression: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(expression):
            await asyncio.sleep(0.05)


async def frames(page: Page) -> int:
    count: int = await page.evaluate("window.streamer.stats.frames")
    return count


def run(scenario: Any) -> None:
    asyncio.run(asyncio.wait_for(scenario, 90))


async def metric(served: Served, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{served.base}/metrics") as response:
        return value(await response.text(), name)


def value(metrics: str, name: str) -> float:
    return next(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(f"{name} "))


CODE = """() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const pen = canvas.getContext("2d");
    return new Promise((done) => video.requestVideoFrameCallback(() => {
        pen.drawImage(video, 0, 0);
        const nowMs = window.streamer.nowMs;
        const band = 4 * Math.ceil(canvas.width / 32);
        const { data } = pen.getImageData(0, canvas.height - band, canvas.width, band);
        const luma = [];
        for (let at = 0; at < data.length; at += 4) luma.push(data[at + 1]);
        done([nowMs, canvas.width, luma]);
    }));
}"""


def test_the_page_plays_by_webrtc_and_knows_its_place(chromium: str, tmp_path: Path) -> None:
    import numpy as np

    from bench import barcode

    async def scenario() -> None:
        async with demo(tmp_path) as served, page_of(chromium) as (page, complaints):
            await page.goto(f"{served.base}/watch/demo?via=webrtc")
            await until(page, "window.streamer?.stats.frames >= 60")
            assert await page.evaluate("window.streamer.transport") == "webrtc"
            await until(page, "window.streamer.stats.frames >= 150")
            stats = await page.evaluate("window.streamer.stats")
            assert stats["freezes"] <= BUSY_MACHINE
            assert stats["connections"] == 1
            assert (stats["width"], stats["height"]) == (1280, 720)
            offsets = set()
            for _ in range(5):
                now_ms, width, luma = await page.evaluate(CODE)
                picture = np.array(luma, np.uint8).reshape(-1, width)
                code = barcode.read(picture)
                assert code is not None, "the picture carries its own time"
                offsets.add(now_ms - code[1])
            assert max(offsets) - min(offsets) <= 40, "position and picture agree within a frame"
            assert await page.text_content("#message") == ""
            await page.click("#settings-open")
            assert "WebRTC" in (await page.text_content("#settings .facts") or "")
            assert complaints == []
            await page.goto("about:blank")
            async with asyncio.timeout(PATIENCE):
                while await metric(served, "streamer_whep_viewers"):
                    await asyncio.sleep(0.05)

    run(scenario())


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def namespace(rules: str) -> Iterator[tuple[str, ...]]:
    """A network of its own at `HOST`, with firewall rules; yields what to put before a command."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("a network namespace with firewall rules needs root, ip and nft")
    name = f"{NAMESPACE}-{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        # browsers do not speak from loopback alone, so there is a wire to nowhere
        _ip("-n", name, "link", "add", "wire", "type", "veth", "peer", "name", "end")
        _ip("-n", name, "addr", "add", f"{HOST}/24", "dev", "wire")
        for device in ("wire", "end"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", name, "route", "add", "default", "via", GATEWAY)
        subprocess.run(["ip", "netns", "exec", name, "nft", "-f", "-"], input=rules.encode(), check=True)
        yield ("ip", "netns", "exec", name)
    finally:
        _ip("netns", "del", name)


def inside(prefix: tuple[str, ...], chromium: str, folder: Path) -> str:
    """A command that starts Chromium in the namespace."""
    script = folder / "chromium-inside"
    script.write_text(f'#!/bin/sh\nexec {" ".join(prefix)} {chromium} "$@"\n')
    script.chmod(0o755)
    return str(script)


NO_UDP = """
table inet test {
    chain out { type filter hook output priority 0; meta l4proto udp drop; }
}
"""
LOSS = """
table inet test {
    chain out { type filter hook output priority 0; meta l4proto udp udp length > 300 numgen random mod 100 < 3 drop; }
}
"""


def test_a_network_without_udp_is_no_obstacle(chromium: str, tmp_path: Path) -> None:
    async def scenario(prefix: tuple[str, ...]) -> None:
        browser = inside(prefix, chromium, tmp_path)
        async with demo(tmp_path, *prefix, host=HOST) as served, page_of(browser) as (page, _):
            await page.goto(f"{served.base}/watch/demo?via=webrtc")
            await until(page, "window.streamer?.stats.frames >= 90")

    with namespace(NO_UDP) as prefix:
        run(scenario(prefix))


def test_three_per_cent_loss_is_not_seen(chromium: str, tmp_path: Path) -> None:
    async def scenario(prefix: tuple[str, ...]) -> None:
        browser = inside(prefix, chromium, tmp_path)
        async with demo(tmp_path, *prefix, host=HOST) as served, page_of(browser) as (page, _):
            await page.goto(f"{served.base}/watch/demo?via=webrtc")
            await until(page, "window.streamer?.stats.frames >= 300")
            stats = await page.evaluate("window.streamer.stats")
            assert stats["freezes"] <= BUSY_MACHINE
            text = await page.evaluate("fetch('/metrics').then((response) => response.text())")
            assert value(text, "streamer_whep_repairs_total") > 10
            assert value(text, "streamer_whep_keyframe_requests_total") == 0, "no picture was lost"

    with namespace(LOSS) as prefix:
        run(scenario(prefix))

"""The watch page in Chromium by WHEP, on a node of its own: pictures, position, loss, and a network without UDP."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, async_playwright

from bench.network import Network, own_network
from tests.support.chromium import CHROMIUM_FLAGS, until
from tests.support.eventually import soon
from tests.support.network import or_skip, program_inside

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.usefixtures("built_pages")]

ROOT = Path(__file__).parents[2]
FLAGS = (*CHROMIUM_FLAGS, "--allow-loopback-in-peer-connection")
PATIENCE = 30
BUSY_MACHINE = 2
"""Freezes that a machine without a graphics card may cause by itself, when it has other things to do."""


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


async def frames(page: Page) -> int:
    count: int = await page.evaluate("window.streamer.stats.frames")
    return count


def run(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 90))


async def metric(served: Served, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{served.base}/metrics") as response:
        return value(await response.text(), name)


async def has_left(served: Served) -> bool:
    """Is no WebRTC viewer there any more?"""
    return await metric(served, "streamer_whep_viewers") == 0


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
            await until(page, "window.streamer?.stats.frames >= 60", PATIENCE)
            assert await page.evaluate("window.streamer.transport") == "webrtc"
            await until(page, "window.streamer.stats.frames >= 150", PATIENCE)
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
            await soon(lambda: has_left(served), "no viewer", within=PATIENCE)

    run(scenario())


NO_UDP = """
table inet test {
    chain out { type filter hook output priority 0; meta l4proto udp drop; }
}
"""
LOSS = """
table inet test {
    chain in { type filter hook input priority 0; meta l4proto udp udp length > 300 numgen random mod 100 < 3 drop; }
}
"""
"""What arrives is lost, whole sends at a time: where it leaves, the sender would be told."""
LOST_START = """
table inet test {
    chain in {
        type filter hook input priority 0;
        meta l4proto udp udp length > 500 @th,64,2 2 numgen inc mod 1000000 { %s } counter drop;
    }
}
"""
"""These sends of the picture are lost, counted from 0 (RFC 7983: the first byte of RTP and RTCP is 128 or more; sound
is smaller). The first two have the parameter sets, with the encoder's settings beside them."""


def lost_sends(network: Network) -> int:
    """What the rules' counters say by now."""
    told = subprocess.run([*network.prefix, "nft", "list", "ruleset"], check=True, capture_output=True, text=True)
    return sum(int(packets) for packets in re.findall(r"counter packets (\d+)", told.stdout))


def watch_behind(rules: str, frames: int, chromium: str, tmp_path: Path) -> tuple[dict[str, Any], str, int]:
    """The page's own counts, the node's metrics and how many sends were lost, where the rules count them, once so many
    frames were shown behind firewall rules.
    """

    async def scenario(network: Network) -> tuple[dict[str, Any], str, int]:
        browser = program_inside(network, chromium, tmp_path)
        async with demo(tmp_path, *network.prefix, host=network.inside) as served, page_of(browser) as (page, _):
            await page.goto(f"{served.base}/watch/demo?via=webrtc")
            await until(page, f"window.streamer?.stats.frames >= {frames}", PATIENCE)
            stats = await page.evaluate("window.streamer.stats")
            text = await page.evaluate("fetch('/metrics').then((response) => response.text())")
            return stats, text, lost_sends(network)

    with or_skip(own_network(rules)) as network:
        seen: tuple[dict[str, Any], str, int] = run(scenario(network))
    return seen


def test_a_network_without_udp_is_no_obstacle(chromium: str, tmp_path: Path) -> None:
    _, text, _ = watch_behind(NO_UDP, 90, chromium, tmp_path)
    assert value(text, "streamer_webrtc_tcp_connections") >= 1


@pytest.mark.parametrize(("lost", "sends", "repairs"), [("0", 1, 0), ("1", 1, 0), ("2", 1, 1), ("0-2", 3, 2)])
def test_the_first_packets_of_a_picture_are_not_missed(
    lost: str, sends: int, repairs: int, chromium: str, tmp_path: Path
) -> None:
    _, text, counted = watch_behind(LOST_START % lost, 30, chromium, tmp_path)
    assert counted == sends
    assert value(text, "streamer_whep_repairs_total") >= repairs, "one copy of the sets needs none"
    assert value(text, "streamer_whep_keyframe_requests_total") == 0, "no picture was lost"


def test_three_per_cent_loss_is_not_seen(chromium: str, tmp_path: Path) -> None:
    stats, text, _ = watch_behind(LOSS, 450, chromium, tmp_path)
    assert stats["freezes"] <= BUSY_MACHINE
    assert value(text, "streamer_whep_repairs_total") > 10
    assert value(text, "streamer_whep_keyframe_requests_total") == 0, "no picture was lost"

"""The watch page in Chromium, playing what a real encoder pushes. There is a picture and no room: the page plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import ConsoleMessage, Page, async_playwright

from media.reasons import ENDED, STOPPED
from tests.support.chromium import CHROMIUM_FLAGS, until
from tests.support.live import encoder, show

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.usefixtures("built_pages")]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


@asynccontextmanager
async def browsing(chromium: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """A new page, and what its console complains about: a policy that blocks something is an error there too."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        page = await browser.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" and _matters(said) else None
        )
        try:
            yield page, complaints
        finally:
            await browser.close()


def _matters(said: ConsoleMessage) -> bool:
    """The room that is not there, and the rungs, are asked for and not found."""
    return "404" not in said.text


async def plays(page: Page, frames: int) -> dict[str, Any]:
    """Wait until so many frames were shown, then give the player's statistics."""
    await until(page, f"window.streamer?.stats.frames >= {frames}")
    stats: dict[str, Any] = await page.evaluate("window.streamer.stats")
    return stats


@pytest.mark.parametrize("via", ["ws", "http"])
def test_it_plays_over_both_transports_and_knows_its_place(chromium: str, via: str) -> None:
    async def scenario() -> None:
        async with show() as live, encoder(f"{live.rtmp}/demo"), browsing(chromium) as (page, complaints):
            await page.goto(f"{live.base}/watch/demo?via={via}")
            stats = await plays(page, 50)
            assert (stats["width"], stats["height"], stats["connections"]) == (320, 240, 1)
            assert stats["bufferS"] < 2.0
            assert await page.evaluate("window.streamer.transport") == via
            stream = live.hub.get("demo")
            assert stream is not None
            epoch, now_ms = await page.evaluate("[window.streamer.epoch, window.streamer.nowMs]")
            assert epoch == stream.epoch
            behind_ms = stream.live_edge / 90 - now_ms
            assert 0 <= behind_ms < 2000, "the picture shown is a little behind the live edge, never ahead"
            assert await page.text_content("#message") == ""
            await page.click("#settings-open")
            assert "320×240" in (await page.text_content("#settings .facts") or "")
            assert complaints == []

    run(scenario())


def test_a_viewer_who_is_early_sees_why_and_then_the_show(chromium: str) -> None:
    async def scenario() -> None:
        async with show(join_wait=0.5) as live, browsing(chromium) as (page, _):
            await page.goto(f"{live.base}/watch/demo?via=ws")
            await until(page, "document.querySelector('#message').textContent.includes('Nobody is live')")
            async with encoder(f"{live.rtmp}/demo"):
                await plays(page, 10)
                assert await page.text_content("#message") == ""

    run(scenario())


def test_a_new_broadcast_is_taken_up_by_itself(chromium: str) -> None:
    async def scenario() -> None:
        async with show() as live, browsing(chromium) as (page, _):
            async with encoder(f"{live.rtmp}/demo"):
                await page.goto(f"{live.base}/watch/demo?via=ws")
                await plays(page, 10)
                first = await page.evaluate("window.streamer.epoch")
            live.hub.end("demo", ENDED)
            async with encoder(f"{live.rtmp}/demo", width=160, height=128):
                await until(page, f"window.streamer.epoch !== {first!r}")
                await until(page, "window.streamer.stats.width === 160")

    run(scenario())


def test_the_keyboard_and_the_buttons_work(chromium: str) -> None:
    async def scenario() -> None:
        async with show() as live, encoder(f"{live.rtmp}/demo"), browsing(chromium) as (page, _):
            await page.goto(f"{live.base}/watch/demo?via=ws")
            await plays(page, 5)
            assert await page.evaluate("document.querySelector('video').muted"), "browsers start only silent video"
            await page.click("#unmute")
            assert not await page.evaluate("document.querySelector('video').muted")
            assert await page.is_hidden("#unmute")
            await page.evaluate("document.activeElement.blur()")
            await page.keyboard.press("m")
            assert await page.evaluate("document.querySelector('video').muted")
            await page.keyboard.press(" ")
            assert await page.evaluate("document.querySelector('video').paused")
            await until(page, "document.querySelector('#play').ariaLabel === 'Play'")
            await page.keyboard.press(" ")
            await until(page, "!document.querySelector('video').paused")

    run(scenario())


def test_a_broadcast_that_an_operator_stopped_is_not_asked_for_again(chromium: str) -> None:
    async def scenario() -> None:
        async with show() as live, encoder(f"{live.rtmp}/demo"), browsing(chromium) as (page, _):
            await page.goto(f"{live.base}/watch/demo?via=ws")
            await plays(page, 10)
            live.hub.end("demo", STOPPED)
            await until(page, "document.querySelector('#message').textContent === 'The broadcast was stopped.'")
            assert await page.evaluate("window.streamer.stats.closeCode") == STOPPED.code

    run(scenario())

"""The console in Chromium: what an operator and a host see and do, on a whole node with a real encoder."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tests.support.chromium import CHROMIUM_FLAGS, STORAGE_OFF
from tests.support.live import encoder
from tests.support.running import OPERATOR_KEY, ROOM_KEY, on_uvloop, running_node, settings_in

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.usefixtures("built_pages")]
STREAM = "/api/v1/streams/demo"


@asynccontextmanager
async def browsing(chromium: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """A new page, and what its console complains about: a policy that blocks something is an error there too."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        page = await browser.new_page(viewport={"width": 900, "height": 640})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        try:
            yield page, complaints
        finally:
            await browser.close()


async def enter(page: Page, base: str, key: str, room: str = "") -> None:
    await page.goto(f"{base}/console")
    await page.fill("#key", key)
    await page.fill("#room", room)
    await page.click("text=Show")


def test_an_operator_sees_streams_findings_and_viewers_and_stops_them(chromium: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            running_node(settings_in(tmp_path)) as running,
            encoder(running.publish_url()),
            browsing(chromium) as (page, complaints),
        ):
            await running.until(STREAM, "body['tracks']")
            viewer = await running.watch()
            watching = asyncio.create_task(viewer.content.read())
            await enter(page, running.base, OPERATOR_KEY)
            card = page.locator("article", has_text="demo")
            await card.locator(".findings li").first.wait_for()
            await page.wait_for_selector("text=/fine|measur|short/i")
            assert "h264 + aac" in (await card.text_content() or "")
            assert await page.text_content("#facts") == "1 stream · 1 viewer"
            await card.locator("summary").click()
            await card.locator("td", has_text="http-flv").wait_for()
            assert OPERATOR_KEY not in page.url
            await page.reload()
            await card.locator(".findings li").first.wait_for()  # the tab remembers the key
            await card.locator("summary").click()
            await card.locator("button", has_text="Close").click()
            await page.click("#yes")
            await card.locator("td", has_text="http-flv").wait_for(state="detached")
            await watching
            await card.locator("summary").click()  # of a stream that is gone the page would ask for viewers in vain
            await card.locator("button", has_text="Stop").click()
            await page.click("text=Cancel")
            assert running.node.hub.get("demo") is not None
            await card.locator("button", has_text="Stop").click()
            await page.click("#yes")
            await card.wait_for(state="detached")
            await page.wait_for_selector("text=demo refuses publishers")
            assert running.node.hub.blocked_for("demo") > 200
            await page.click("text=Allow again")
            await page.wait_for_selector("text=demo refuses publishers", state="detached")
            assert complaints == []

    on_uvloop(scenario(), 90)


def test_a_host_sees_their_own_room_and_cannot_stop_it(chromium: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, browsing(chromium) as (page, _):
            await enter(page, running.base, ROOM_KEY, "demo")
            await page.wait_for_selector("text=demo is not live.")
            async with encoder(running.publish_url()):
                card = page.locator("article", has_text="demo")
                await card.locator(".findings li").first.wait_for()
                await page.wait_for_selector("text=320×240 25 fps")
                assert await card.locator("button").count() == 0

    on_uvloop(scenario(), 90)


@pytest.mark.parametrize(
    ("key", "sentence"), [("guess", "The key is not valid."), (ROOM_KEY, "A stream key only opens")]
)
def test_a_wrong_key_is_asked_for_again(chromium: str, tmp_path: Path, key: str, sentence: str) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, browsing(chromium) as (page, _):
            await enter(page, running.base, key)
            await page.wait_for_selector(f"text={sentence}")
            assert await page.is_visible("#enter")
            assert await page.evaluate("sessionStorage.length") == 0

    on_uvloop(scenario(), 90)


def test_a_node_that_is_gone_is_said_and_found_again(chromium: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, browsing(chromium) as (page, _):
            await enter(page, running.base, OPERATOR_KEY)
            await page.wait_for_selector("text=Nobody is live.")
            await page.context.set_offline(True)
            await page.wait_for_selector("text=The server does not answer. Trying again.")
            await page.context.set_offline(False)
            await page.wait_for_selector("text=Nobody is live.")

    on_uvloop(scenario(), 90)


async def refreshed(page: Page) -> None:
    """The page has asked again, and has shown an answer: it asks for the next one after that."""
    for _ in range(2):
        async with page.expect_response("**/api/v1/streams"):
            pass


def test_a_failed_action_is_said_until_the_next_one(chromium: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, browsing(chromium) as (page, _):
            running.node.hub.block("demo", 250.0)
            await enter(page, running.base, OPERATOR_KEY)
            allow = await page.wait_for_selector("text=Allow again")
            assert allow is not None
            deletion = re.compile(r"/streams/demo\?block=0")
            await page.route(deletion, lambda route: route.abort())
            await allow.click()
            await page.wait_for_selector("text=The server did not answer, and may not have done it.")
            await refreshed(page)
            assert "may not have done it" in (await page.text_content("#notice") or "")
            await page.unroute(deletion)
            await allow.click()  # the same button: no refresh takes it away from a press
            await page.wait_for_selector("text=demo refuses publishers", state="detached")
            await page.wait_for_selector("text=Nobody is live.")

    on_uvloop(scenario(), 90)


def test_a_right_key_is_kept_while_its_address_has_to_wait(chromium: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, browsing(chromium) as (page, _):
            await enter(page, running.base, OPERATOR_KEY)
            await page.wait_for_selector("text=Nobody is live.")
            waiting = '{"detail": "After wrong keys this address must wait 2.0 s."}'
            await page.route("**/api/v1/streams", lambda route: route.fulfill(status=429, body=waiting))
            await page.wait_for_selector("text=must wait 2.0 s. Trying again.")
            await page.unroute("**/api/v1/streams")
            await page.wait_for_selector("text=Nobody is live.")

    on_uvloop(scenario(), 90)


def test_a_browser_that_keeps_nothing_shows_the_console_too(chromium: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, browsing(chromium) as (page, complaints):
            await page.add_init_script(STORAGE_OFF)
            await enter(page, running.base, OPERATOR_KEY)
            await page.wait_for_selector("text=Nobody is live.")
            await page.click("text=Forget the key")
            assert await page.is_visible("#enter")
            assert complaints == []

    on_uvloop(scenario(), 90)

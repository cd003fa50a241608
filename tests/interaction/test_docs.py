"""The documentation says what the code does: its tables are complete, and its client works in a real browser."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from interaction import refusal
from interaction.kinds import KINDS
from interaction.refusal import Refusal
from interaction.session import COMMANDS
from interaction.shop_commands import BUYER_REQUESTS
from interaction.shop_goods import GOODS, Buy
from tests.support.rooms import client, node

PAGE = Path(__file__).parents[2] / "docs" / "interaction.md"
SHOP_PAGE = PAGE.with_name("shop.md")
CHROMIUM = shutil.which("chromium")


def test_the_tables_name_every_kind_command_and_error() -> None:
    text = PAGE.read_text()
    refusals = [value for value in vars(refusal).values() if isinstance(value, Refusal)]
    assert not [kind for kind in KINDS if f"| `{kind}` |" not in text]
    assert not [command for command in COMMANDS if f"| `{command}` |" not in text]
    assert not [found for found in refusals if f"| {found.code} | {found.name} |" not in text]
    for kind in KINDS.values():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{kind.name}` |"))
        cells = [cell.strip() for cell in row.split("|")]
        assert (cells[2], cells[3], cells[6]) == (kind.lane.value, kind.role.name.lower(), f"{kind.max_bytes:,}")


def test_the_shops_tables_name_every_request_field_and_event() -> None:
    text = SHOP_PAGE.read_text()
    assert not [name for name in BUYER_REQUESTS if f"| `{name}` |" not in text]
    assert not [goods for goods in GOODS.values() if f"`PUT /{goods.plural}/ID`" not in text]
    assert not [goods for goods in GOODS.values() if f"| `shop.{goods.name}` |" not in text]
    for form in (Buy, *(goods.form for goods in GOODS.values())):
        fields = [field.name for field in dataclasses.fields(form)]
        assert not [name for name in fields if f"`{name}`" not in text and f"`{name}?`" not in text], form


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_client_of_the_documentation_works_in_a_browser(tmp_path: Path) -> None:
    """WebSocket and long polling in Chromium; the connection is cut in between and nothing is missed."""
    code = re.search(r"```js\n(.*?)```", PAGE.read_text(), re.S)
    assert code is not None
    assert len(code[1].splitlines()) <= 24

    async def test() -> None:
        from playwright.async_api import async_playwright

        async with node(tmp_path) as here, client(here, token=here.token()) as host, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            await page.goto(f"{here.url}/rooms/r/poll")
            await page.evaluate(
                f"() => {{ {code[1]}; window.seen = [];"
                "const url = location.origin.replace('http', 'ws') + '/rooms/r/ws';"
                "window.me = join(url, {onEvent: event => seen.push(event), now_t: () => Infinity}); }"
            )
            room = here.layer.rooms.open_rooms["r"]
            await page.wait_for_function("() => { try { me.send('like', {}); return true } catch { return false } }")
            await host.say("notice", {"text": "one"})
            await page.wait_for_function("() => seen.some(event => event.body.text === 'one')")
            await page.evaluate("me.send('danmaku', {text: '来自浏览器'})")
            await host.event(lambda event: event["body"].get("text") == "来自浏览器")
            for viewer in [viewer for viewer in room.viewers if viewer.framing.name == "json"]:
                viewer.transport.abort()
            await host.say("notice", {"text": "two"})
            await page.wait_for_function("() => seen.some(event => event.body.text === 'two')")
            assert await page.evaluate("seen.filter(event => event.seq !== null).map(event => event.seq)") == [1, 2]
            async with asyncio.timeout(30):  # any event ends a poll, how many watch too
                await page.evaluate(
                    "(async () => { let at = await (await fetch('/rooms/r/poll')).json();"
                    " const next = () => fetch('/rooms/r/poll?cursor=' + at.cursor);"
                    " let asked = next(); me.send('danmaku', {text: 'poll'});"
                    " while (!(at = await (await asked).json()).events.some(event => event.body.text === 'poll'))"
                    " asked = next(); })()"
                )
            await browser.close()

    asyncio.run(test())

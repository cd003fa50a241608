"""Two pages in Chromium press buy for the last unit: exactly one of them gets it, and both are told the truth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interaction.kinds import Role
from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.shop import audit, selling

PAGE = """
<button id="buy">Buy</button><p id="answer"></p><p id="stock"></p>
"""
CODE = """
(token) => {
  const $ = id => document.getElementById(id);
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/rooms/r/ws', 'json');
  const apply = event => {
    if (event.kind === 'shop.product') window.card = event.body;
    if (event.kind === 'shop.stock') $('stock').textContent = event.body.left || 'sold out';
  };
  socket.onopen = () => socket.send(JSON.stringify({type: 'join', token}));
  socket.onmessage = ({data}) => {
    const message = JSON.parse(data);
    [...(message.state || []), ...(message.events || [])].forEach(apply);
    if (message.type === 'order') $('answer').textContent = 'yes, until ' + message.expires_ms;
    if (message.type === 'error') $('answer').textContent = 'no: ' + message.name;
  };
  const id = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
  $('buy').onclick = () => socket.send(JSON.stringify(
    {type: 'buy', id, product: card.product, amount: card.amount, currency: card.currency}));
}
"""


@pytest.mark.browser
def test_the_last_unit_goes_to_exactly_one_of_two_buyers(tmp_path: Path, chromium: str) -> None:
    async def test() -> None:
        from playwright.async_api import async_playwright

        async with selling(tmp_path) as (here, backend), async_playwright() as playwright:
            await backend.product(stock=1)
            browser = await playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
            pages = []
            for name in ("ann", "bob"):
                page = await (await browser.new_context()).new_page()
                await page.goto(f"{here.url}/rooms/r/poll")
                await page.set_content(PAGE)
                await page.evaluate(CODE, here.token(Role.VIEWER, sender=name))
                await page.wait_for_function(
                    "() => window.card && document.getElementById('stock').textContent === '1'"
                )
                pages.append(page)
            await asyncio.gather(*(page.dblclick("#buy") for page in pages))
            for page in pages:
                await page.wait_for_function("() => document.getElementById('stock').textContent === 'sold out'")
                await page.wait_for_function("() => document.getElementById('answer').textContent")
            answers = sorted([await page.text_content("#answer") or "" for page in pages])
            assert answers[0] == "no: sold out"
            assert answers[1].startswith("yes, until ")
            books = await audit(here.layer.shop.ledger)
            assert len(books.stream) == 1
            assert books.items["p/p"].left == 0
            await browser.close()

    asyncio.run(test())

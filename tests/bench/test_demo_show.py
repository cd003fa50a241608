"""The demo's show against a real node of rooms: what a viewer is told, and what becomes of an order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import demo_show
from bench.demo_show import CUP, KETTLE, PRODUCTS, SALE, SALE_UNITS, DemoShow
from interaction.kinds import Role
from tests.support.rooms import LocalTimelines, Node, RunningTimeline, client, node
from tests.support.shop import PATIENT


@contextlib.contextmanager
def show_at(here: Node) -> Iterator[DemoShow]:
    token = here.token(Role.BACKEND, sender="demo-audience", room="demo", valid_s=600)
    show = DemoShow(f"{here.url}/rooms/demo", token, choose=random.Random(1))
    try:
        yield show
    finally:
        show.stop()
        show.run()


async def items(here: Node) -> dict[str, Any]:
    _, found = await here.layer.shop.ledger.state("demo")
    return {item.name.partition("/")[2]: item for item in found}


def run(tmp_path: Path, scenario: Callable[[Node], Any]) -> None:
    async def main() -> None:
        timelines = LocalTimelines(demo=RunningTimeline())
        async with node(tmp_path, timelines=timelines, shop=PATIENT) as here, asyncio.timeout(30):
            await scenario(here)

    asyncio.run(main())


def test_a_round_shows_products_a_sale_words_and_likes(tmp_path: Path) -> None:
    async def scenario(here: Node) -> None:
        with show_at(here) as show:
            async with client(here, room="demo") as viewer:
                for _, act in show._timetable():
                    await asyncio.to_thread(act)
                wanted = {
                    "shop.product",
                    "shop.sale",
                    "shop.coupon",
                    "product.show",
                    "danmaku",
                    "gift",
                    "notice",
                    "likes",
                }
                while not wanted <= {event["kind"] for event in viewer.events}:
                    await asyncio.sleep(0.01)
                titles = [event["body"]["title"] for event in viewer.events if event["kind"] == "shop.product"]
                assert all(title.startswith("Demo: ") for title in titles)

    run(tmp_path, scenario)


def test_each_round_has_its_stock_again_and_nothing_is_forgotten(tmp_path: Path) -> None:
    async def scenario(here: Node) -> None:
        with show_at(here) as show:
            await asyncio.to_thread(show.stock_up)
            await buy(here, quantity=2)
            assert (await items(here))[CUP.id].left == CUP.left - 2
            await asyncio.to_thread(show.stock_up)
            await asyncio.to_thread(show._open_sale)
            found = await items(here)
            assert {p.id: found[p.id].left for p in PRODUCTS} == {p.id: p.left for p in PRODUCTS}
            assert found[CUP.id].held == 2
            assert found[SALE].left == SALE_UNITS <= found[KETTLE.id].left

    run(tmp_path, scenario)


def test_orders_are_paid_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(here: Node) -> None:
        with show_at(here) as show:
            await asyncio.to_thread(show.stock_up)
            order = await buy(here)
            await asyncio.to_thread(show.take_payments)
            assert (await here.layer.shop.ledger.order("demo", order))["state"] == "reserved"
            monkeypatch.setattr(demo_show, "PAID_AFTER_S", 0.0)
            await asyncio.to_thread(show.take_payments)
            assert (await here.layer.shop.ledger.order("demo", order))["state"] == "confirmed"

    run(tmp_path, scenario)


def test_it_waits_for_a_node_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_show, "AGAIN_S", 0.0)
    show = DemoShow("http://127.0.0.1:9/rooms/demo", "token")
    tries = iter(range(3))

    def round_() -> None:
        if next(tries, None) is None:
            show.stop()
        show.stock_up()

    monkeypatch.setattr(show, "_play_round", round_)
    show.run()
    assert next(tries, None) is None


async def buy(here: Node, quantity: int = 1) -> str:
    async with client(here, room="demo", token=here.token(Role.VIEWER, sender="buyer")) as buyer:
        answer = await buyer.ask(
            type="buy", id="one", product=CUP.id, amount=CUP.price, currency="CNY", quantity=quantity
        )
        assert answer["type"] == "order", answer
        return str(answer["order"])

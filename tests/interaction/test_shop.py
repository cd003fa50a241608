"""The shop through its doors, on a real Valkey: what buyers, hosts and back ends can do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from interaction.kinds import Role
from interaction.settings import ShopSettings
from interaction.shop_ledger import Due
from tests.support.rooms import LocalTimelines, RunningTimeline, client, node
from tests.support.shop import BUY, Backend, buyer, selling
from tests.support.stores import until


def run(test: Any) -> None:
    asyncio.run(test())


def test_a_buyer_reserves_pays_and_the_counts_are_right(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=3)
            bought = await ann.ask(type="buy", id="r1", **BUY)
            assert (bought["type"], bought["state"], bought["total"], bought["currency"]) == (
                "order",
                "reserved",
                1999,
                "CNY",
            )
            assert bought["expires_ms"] - bought["wall_ms"] == 300_000
            assert await backend.counts() == (2, 1, 0)
            confirmed = await backend.post(f"orders/{bought['order']}/confirm")
            assert (confirmed["state"], confirmed["duplicate"]) == ("confirmed", False)
            assert (await backend.post(f"orders/{bought['order']}/confirm"))["duplicate"]
            assert await backend.counts() == (2, 0, 1)
            assert (await backend.post(f"orders/{bought['order']}/release"))["code"] == 1129
            kinds = [(entry["type"], entry["order"]) for entry in await backend.orders()]
            assert kinds == [("reserved", bought["order"]), ("confirmed", bought["order"])]
            assert (await ann.ask(type="order", order=bought["order"]))["state"] == "confirmed"

    run(test)


def test_pressing_twice_buys_once_on_ten_connections_and_by_post(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), contextlib.AsyncExitStack() as stack:
            await backend.product(stock=30)
            connections = [await stack.enter_async_context(buyer(here, "ann")) for _ in range(10)]
            first = connections[0]
            answers = await asyncio.gather(*(who.ask(type="buy", id="r1", **BUY) for who in connections))
            posted = await backend.post("buy", {"id": "r1", **BUY}, token=here.token(Role.VIEWER, sender="ann"))
            assert {answer["order"] for answer in (*answers, posted)} == {answers[0]["order"]}
            assert sorted(answer["duplicate"] for answer in (*answers, posted)) == [False] + [True] * 10
            assert await backend.counts() == (29, 1, 0)
            other = await first.ask(type="buy", id="r1", **{**BUY, "quantity": 2})
            assert (other["code"], other["name"]) == (1128, "request reused")

    run(test)


def test_a_no_stays_a_no_for_its_request(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann, buyer(here, "bob") as bob:
            await backend.product(stock=1)
            bought = await ann.ask(type="buy", id="r1", **BUY)
            assert (await bob.ask(type="buy", id="r1", **BUY))["code"] == 1121
            assert (await ann.ask(type="cancel", order=bought["order"]))["state"] == "released"
            assert await backend.counts() == (1, 0, 0)
            assert (await bob.ask(type="buy", id="r1", **BUY))["code"] == 1121
            assert (await bob.ask(type="buy", id="r2", **BUY))["type"] == "order"
            assert (await bob.ask(type="cancel", order=bought["order"]))["code"] == 1134

    run(test)


BAD = [
    ({"quantity": 0}, 1104),
    ({"quantity": -1}, 1104),
    ({"quantity": 1.5}, 1104),
    ({"quantity": 10**18}, 1104),
    ({"quantity": True}, 1104),
    ({"amount": -1}, 1104),
    ({"amount": 19.99}, 1104),
    ({"amount": 10**15}, 1104),
    ({"amount": 1}, 1125),
    ({"currency": "USD"}, 1126),
    ({"currency": "cny"}, 1104),
    ({"currency": "XXQ"}, 1104),
    ({"product": "other"}, 1120),
    ({"product": "no spaces"}, 1104),
    ({"sale": "none"}, 1120),
    ({"coupon": "none"}, 1127),
    ({"quantity": 4}, 1123),
    ({"quantity": 3}, 1122),
    ({"id": None}, 1104),
    ({"gift": 1}, 1104),
]


def test_a_bad_purchase_is_refused_by_number_and_changes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend):
            await backend.product(stock=2, limit=3)
            token = here.token(Role.VIEWER, sender="ann")
            for number, (change, code) in enumerate(BAD):
                answer = await backend.post("buy", {"id": f"r{number}", **BUY, **change}, token=token)
                assert answer.get("code") == code, (change, answer)
            assert await backend.counts() == (2, 0, 0)
            assert await backend.orders() == []

    run(test)


def test_definitions_are_checked_versioned_and_for_hosts(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend):
            viewer = here.token(Role.VIEWER, sender="ann")
            good = {"title": "Tea", "amount": 5, "currency": "JPY", "stock": 2}
            assert (await backend.put("products/tea", good, token=viewer))["code"] == 1105
            for wrong in (
                {"amount": 0.5},
                {"amount": -5},
                {"stock": -1},
                {"currency": "YEN"},
                {"stock": 10**12},
                {"color": 1},
            ):
                assert (await backend.put("products/tea", {**good, **wrong}))["code"] == 1104
            assert (await backend.put("products/a b", good))["code"] == 1104
            assert (await backend.put("products/tea", {**good, "version": 2}))["title"] == "Tea"
            assert (await backend.put("products/tea", {**good, "title": "Old", "version": 1}))["code"] == 1130
            bought = {"id": "r", "product": "tea", "amount": 5, "currency": "JPY", "quantity": 2}
            assert (await backend.post("buy", bought, token=viewer))["total"] == 10
            assert (await backend.put("products/tea", {**good, "stock": 1, "version": 3}))["code"] == 1131
            assert (await backend.delete("products/tea"))["code"] == 1133
            await backend.put("products/tea", {**good, "stock": 5, "version": 3})
            assert await backend.counts("tea") == (3, 2, 0)
            assert (await backend.put("sales/s", {"product": "none", "amount": 1, "total": 1}))["code"] == 1120
            assert (
                await backend.put("sales/s", {"product": "tea", "amount": 1, "total": 1, "opens_ms": 9, "closes_ms": 9})
            )["code"] == 1104

    run(test)


def test_a_flash_sale_opens_by_the_stores_clock_for_everyone_at_once(tmp_path: Path) -> None:
    """frame+hold: the card is at the frame, and nobody buys before the hold is over."""
    timeline = RunningTimeline()

    async def test() -> None:
        held = LocalTimelines(r=timeline)
        async with selling(tmp_path, timelines=held, shop=ShopSettings(hold_s=2, tell_ms=100)) as (here, backend):
            await backend.product(stock=10, listed=False)
            async with buyer(here, "ann") as ann:
                assert (await ann.ask(type="buy", id="r0", **BUY))["code"] == 1135
                sale = await backend.put(
                    "sales/flash", {"product": "p", "amount": 999, "total": 2, "duration_ms": 60_000}
                )
                card = await ann.event(lambda event: event["kind"] == "shop.sale")
                assert abs(card["t"] - timeline.live_edge()) < 90_000
                assert card["body"]["opens_ms"] == sale["opens_ms"]
                flash = {**BUY, "amount": 999, "sale": "flash"}
                early = await ann.ask(type="buy", id="r1", **flash)
                assert (early["code"], early["may_retry"]) == (1011, True)
                opened = await ann.event(_stock("sale", phase="open"))
                assert opened["at_ms"] >= sale["opens_ms"]
                assert (await ann.ask(type="buy", id="r1", **flash))["total"] == 999
                assert (await ann.ask(type="buy", id="r2", **flash))["code"] == 1123  # one each
                async with buyer(here, "bob") as bob:
                    await bob.ask(type="buy", id="r1", **flash)
                    await bob.event(_stock("sale", left=0))
                async with buyer(here, "eve") as eve:
                    assert (await eve.ask(type="buy", id="r1", **flash))["code"] == 1121
                assert await backend.counts("flash") == (0, 2, 0)
                assert await backend.counts() == (8, 2, 0)
                await backend.post("sales/flash/close")
                await ann.event(_stock("sale", phase="over"))
                assert (await ann.ask(type="buy", id="r3", **flash))["code"] == 1124

    run(test)


def _stock(name: str, **wanted: Any) -> Any:
    return lambda event: (
        event["kind"] == "shop.stock" and name in event["body"] and wanted.items() <= dict(event["body"]).items()
    )


def test_the_three_ways_to_be_in_step(tmp_path: Path) -> None:
    timeline = RunningTimeline()

    async def test() -> None:
        held = LocalTimelines(r=timeline)
        async with selling(tmp_path, timelines=held) as (here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=10)
            now = time.time()
            ahead = {"at": {"t": timeline.live_edge() + 10 * 90_000}, "product": "p", "amount": 1, "total": 1}
            opens: dict[str, float] = {}
            for sync in ("frame", "frame+hold", "wall"):
                sale = await backend.put(f"sales/{sync.replace('+', '-')}", {**ahead, "sync": sync})
                opens[sync] = sale["opens_ms"] / 1000 - now
                card = await ann.event(lambda event, sync=sync: event["body"].get("sync") == sync)
                assert (card["t"] is None) == (sync == "wall")
            assert opens["frame"] == pytest.approx(10, abs=1)
            assert opens["frame+hold"] == pytest.approx(15, abs=1)
            assert opens["wall"] == pytest.approx(10, abs=1)

    run(test)


def test_a_newcomer_finds_every_product_and_sale_in_the_snapshot(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend):
            async with buyer(here, "ann") as ann:
                await backend.product(stock=5)
                await backend.put("sales/s", {"product": "p", "amount": 1, "total": 1, "sync": "frame"})
                await backend.post("products/p/show")
                await ann.ask(type="buy", id="r1", **BUY)
                await ann.event(_stock("product", left=4))
            async with client(here) as late:
                state = {event["kind"]: event["body"] for event in late.hello["state"] if "sale" not in event["body"]}
                assert state["product.show"]["title"] == "A thing"
                assert state["shop.product"]["amount"] == 1999
                assert state["shop.stock"]["left"] == 4
                sale = next(event["body"] for event in late.hello["state"] if event["kind"] == "shop.sale")
                assert (sale["product"], sale["currency"], sale["total"]) == ("p", "CNY", 1)

    run(test)


def test_stock_is_told_at_most_twice_a_second_and_sold_out_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=20)
            await ann.event(_stock("product", left=20))
            began = time.monotonic()
            for left in (10, 0):
                for number in range(10):
                    assert (await ann.ask(type="buy", id=f"r{left}-{number}", **BUY))["type"] == "order"
                await ann.event(_stock("product", left=left))
            took = time.monotonic() - began
            told = [event for event in ann.events if event["kind"] == "shop.stock"]
            assert len(told) <= 3 + 2 * took

    run(test)


def test_a_reservation_ends_by_itself_and_the_unit_is_free_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            selling(tmp_path, shop=ShopSettings(pay_s=0.2, tell_ms=50)) as (here, backend),
            buyer(here, "ann") as ann,
        ):
            await backend.product(stock=1)
            bought = await ann.ask(type="buy", id="r1", **BUY)
            await until(lambda: _is_free(backend))
            entries = await backend.orders()
            assert [entry["type"] for entry in entries] == ["reserved", "expired"]
            late = await backend.post(f"orders/{bought['order']}/confirm")
            assert (late["code"], "expired" in late["text"]) == (1129, True)
            again = await ann.ask(type="buy", id="r1", **BUY)
            assert (again["order"], again["state"], again["duplicate"]) == (bought["order"], "expired", True)

    run(test)


async def _is_free(backend: Backend) -> bool:
    return await backend.counts() == (1, 0, 0)


def test_coupons_are_claimed_used_and_given_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann, buyer(here, "bob") as bob:
            await backend.product(stock=5)
            coupon = {"off": 500, "currency": "CNY", "minimum": 1000, "total": 1}
            await backend.put("coupons/five", coupon)
            assert (await ann.ask(type="buy", id="r0", coupon="five", **BUY))["code"] == 1127
            assert not (await ann.ask(type="claim", coupon="five", id="c1"))["duplicate"]
            assert (await ann.ask(type="claim", coupon="five", id="c1"))["duplicate"]
            assert (await ann.ask(type="claim", coupon="five", id="c2"))["code"] == 1123
            assert (await bob.ask(type="claim", coupon="five", id="c1"))["code"] == 1121
            bought = await ann.ask(type="buy", id="r1", coupon="five", **BUY)
            assert bought["total"] == 1499
            assert (await ann.ask(type="buy", id="r2", coupon="five", **BUY))["code"] == 1127
            await backend.post(f"orders/{bought['order']}/release")
            assert (await ann.ask(type="buy", id="r3", coupon="five", **BUY))["total"] == 1499

    run(test)


def test_a_lottery_is_drawn_once_among_those_who_took_part(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann:
            await backend.put("lotteries/l", {"winners": 3})
            token = here.token(Role.VIEWER, sender="ann")
            assert not (await backend.post("enter", {"lottery": "l"}, token=token))["duplicate"]
            assert (await ann.ask(type="enter", lottery="l"))["duplicate"]
            names = {"ann", *(f"b{number}" for number in range(9))}
            for name in names - {"ann"}:
                await backend.post("enter", {"lottery": "l"}, token=here.token(Role.VIEWER, sender=name))
            drawn = await backend.post("lotteries/l/draw")
            assert drawn["entrants"] == 10
            assert len(set(drawn["drawn"])) == 3
            assert set(drawn["drawn"]) < names
            assert (await backend.post("lotteries/l/draw"))["drawn"] == drawn["drawn"]
            told = await ann.event(lambda event: event["kind"] == "shop.lottery" and "drawn" in event["body"])
            assert told["body"]["drawn"] == drawn["drawn"]
            assert (await backend.post("enter", {"lottery": "l"}, token=here.token(Role.VIEWER, sender="x")))[
                "code"
            ] == 1124

    run(test)


def test_strangers_cannot_buy_and_viewers_cannot_run_the_shop(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), client(here) as stranger:
            await backend.product(stock=1)
            assert (await stranger.ask(type="buy", id="r1", **BUY))["code"] == 1105
            viewer, host = here.token(Role.VIEWER, sender="ann"), here.token(Role.HOST)
            for path in ("orders", "webhook"):
                assert (await backend.get(path, token=host))["code"] == 1105
            assert (await backend.get("", token=viewer))["code"] == 1105
            assert (await backend.post("orders/x/confirm", token=host))["code"] == 1105
            assert (await backend.post("reopen", token=viewer))["code"] == 1105
            assert (await backend.post("orders/x/confirm"))["code"] == 1134

    run(test)


def test_a_buyer_who_presses_too_fast_is_slowed_down(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path, shop=ShopSettings(buyer_rate=0.1, buyer_burst=2)) as (here, backend):
            await backend.product(stock=9)
            async with buyer(here, "ann") as first, buyer(here, "ann") as second:
                codes = [(await who.ask(type="buy", id="r", **BUY)).get("code") for who in (first, second, first)]
            assert codes == [None, None, 1002]

    run(test)


def test_a_removed_product_leaves_nothing_behind(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=1)
            bought = await ann.ask(type="buy", id="r1", **BUY)
            await backend.post(f"orders/{bought['order']}/confirm")
            assert (await backend.delete("products/p"))["removed"]
            assert (await backend.get(""))["items"] == []
            assert await here.layer.store.execute("HGETALL", "{r}:shop:buyers") in ({}, [])
            gone = await ann.event(lambda event: event["body"].get("removed"))
            assert gone["kind"] == "shop.product"
            assert (await ann.ask(type="buy", id="r2", **BUY))["code"] == 1120

    run(test)


def test_a_product_that_is_removed_while_the_room_is_told_of_it_stays_removed(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend):
            announce = here.layer.shop._announce
            begun, removed, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

            async def late(room: str, due: Due) -> None:
                begun.set()
                await removed.wait()
                await announce(room, due)
                told.set()

            here.layer.shop._announce = late  # type: ignore[method-assign]
            await backend.product(stock=1)
            await begun.wait()
            assert (await backend.delete("products/p"))["removed"]
            removed.set()
            await told.wait()
            state = (await here.layer.broker.open("r")).state["shop.product:p"]
            assert state[-1].event.body == {"product": "p", "removed": True}

    run(test)


def test_a_sale_told_by_a_node_that_died_is_told_by_another(tmp_path: Path) -> None:
    """The definition is in the store, and whoever sweeps next tells the room."""

    async def test() -> None:
        async with node(tmp_path / "one") as here:
            here.layer.shop._announce = _dies  # type: ignore[method-assign]
            backend = Backend(here)
            async with backend.session():
                await backend.product(stock=1)
                url = f"unix://{here.layer.server.socket}"  # type: ignore[union-attr]
                async with node(tmp_path / "two", url=url) as other, client(other) as viewer:
                    await viewer.event(lambda event: event["kind"] == "shop.product")

    run(test)


async def _dies(*_: Any) -> None:
    """A node that is killed here."""

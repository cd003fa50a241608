"""Webhooks against a receiver that fails, stalls, repeats and goes away: at least once, signed, and by any node."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from interaction.settings import ShopSettings
from tests.support.rooms import node
from tests.support.shop import BUY, Backend, buyer, selling
from tests.support.stores import until

SECRET = "0123456789abcdef0123"
QUICK = ShopSettings(webhook_timeout_s=0.3, buyer_rate=1e3, buyer_burst=1e3)


class Receiver:
    """A shop's back end that checks every signature. `answers` are given in turn: a status, or "stall"; then 204."""

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.taken: dict[str, dict[str, Any]] = {}
        self.tries: list[str] = []
        self.at_once = self.most_at_once = 0

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        id_, stamp = request.headers["Streamer-Id"], request.headers["Streamer-Timestamp"]
        expected = hmac.new(SECRET.encode(), f"{id_}.{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        assert request.headers["Streamer-Signature"] == f"v1={expected}"
        self.tries.append(id_)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.answers.pop(0) if self.answers else 204
            if answer == "stall":
                await asyncio.sleep(60)
            if answer == 204:
                self.taken[id_] = json.loads(body)  # again, where the poster did not wait for this answer
            return web.Response(status=int(answer), headers={"Location": "/elsewhere"} if answer == 302 else {})
        finally:
            self.at_once -= 1


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield receiver, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interaction.shop_webhooks.FIRST_WAIT_MS", 20)
    monkeypatch.setattr("interaction.shop_webhooks.LOOK_S", 0.02)
    monkeypatch.setattr("interaction.shop_webhooks.LEASE_MS", 1_000)


def test_every_order_arrives_signed_though_the_receiver_fails_stalls_and_redirects(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            selling(tmp_path, shop=QUICK) as (here, backend),
            receiving() as (receiver, url),
            buyer(here, "ann") as ann,
        ):
            receiver.answers = [500, "stall", 302, 404]
            await backend.product(stock=30)
            await ann.ask(type="buy", id="before", **BUY)  # older than the webhook: not forgotten
            assert (await backend.put("webhook", {"url": url, "secret": SECRET}))["url"] == url
            bought = [await ann.ask(type="buy", id=f"r{number}", **BUY) for number in range(12)]
            await backend.post(f"orders/{bought[0]['order']}/confirm")
            await until(lambda: len(receiver.taken) >= 14)
            entries = await backend.orders()
            assert len(entries) == 14
            key = lambda entry: tuple(map(int, entry["entry"].split("-")))  # noqa: E731
            assert sorted(receiver.taken.values(), key=key) == [{"room": "r", **entry} for entry in entries]
            assert receiver.most_at_once <= 8
            await until(lambda: _settled(backend))
            assert 18 <= len(receiver.tries) <= 14 + here.layer.webhooks.counts["failed"]  # 18, or more after a stall
            assert len(set(receiver.tries)) == 14
            assert "secret" not in await backend.get("webhook")

    asyncio.run(test())


async def _settled(backend: Backend) -> bool:
    return (await backend.get("webhook"))["pending"] == 0


def test_what_a_dead_node_had_is_posted_by_another(tmp_path: Path) -> None:
    async def test() -> None:
        async with receiving() as (receiver, url), selling(tmp_path / "one", shop=QUICK) as (here, backend):
            await backend.product(stock=3)
            await backend.put("webhook", {"url": url, "secret": SECRET})

            async def die(*_: Any) -> bool:
                """The node is killed with the entry in its hands."""
                await asyncio.Event().wait()
                return False

            here.layer.webhooks._deliver = die  # type: ignore[method-assign, assignment]
            async with buyer(here, "ann") as ann:
                bought = await ann.ask(type="buy", id="r1", **BUY)
            await until(lambda: _pending(backend))
            server = here.layer.server
            assert server is not None
            async with node(tmp_path / "two", url=f"unix://{server.socket}", shop=QUICK):
                await until(lambda: receiver.taken)
            assert [entry["order"] for entry in receiver.taken.values()] == [bought["order"]]

    asyncio.run(test())


async def _pending(backend: Backend) -> bool:
    return (await backend.get("webhook"))["pending"] == 1


def test_the_stream_is_never_trimmed_before_every_group_has_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=9)
            for number in range(4):
                await ann.ask(type="buy", id=f"r{number}", **BUY)
            ledger, store = here.layer.shop.ledger, here.layer.store
            ledger._kept_ms = -1_000  # everything is old
            ids = [entry["entry"] for entry in await backend.orders()]
            assert await ledger.trim("r") == 0  # no group: somebody may still come
            stream = "{r}:shop:stream"
            for group in ("books", "parcels"):
                await store.execute("XGROUP CREATE", stream, group, "0")
                await store.execute("XREADGROUP", "GROUP", group, "c", "COUNT", "3", "STREAMS", stream, ">")
            await store.execute("XACK", stream, "books", *ids[:3])
            await store.execute("XACK", stream, "parcels", ids[0], ids[2])
            assert await ledger.trim("r") == 1
            assert [entry["entry"] for entry in await backend.orders()] == ids[1:]
            await store.execute("XACK", stream, "parcels", ids[1])
            assert await ledger.trim("r") == 1
            ledger._kept_ms = 3_600_000
            assert await ledger.trim("r") == 0  # young

    asyncio.run(test())


def test_a_webhook_needs_an_address_and_a_secret(tmp_path: Path) -> None:
    async def test() -> None:
        async with selling(tmp_path) as (_, backend):
            for url, secret in (("ftp://x", SECRET), ("http://x", "short"), (1, SECRET), ("http://x", None)):
                assert (await backend.put("webhook", {"url": url, "secret": secret}))["code"] == 1104
            assert (await backend.get("webhook")) == {"url": None}
            assert (await backend.delete("webhook"))["type"] == "ack"

    asyncio.run(test())

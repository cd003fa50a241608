"""A shop whose node, store or master is killed: never oversold, nothing lost, and the truth for every buyer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from interaction.placement import Placed
from interaction.refusal import Refused
from interaction.settings import RedisSettings, ShopSettings
from interaction.shop_goods import PRODUCT, defined
from interaction.shop_ledger import Ledger
from interaction.store import Store
from tests.support import stores
from tests.support.rooms import Node
from tests.support.shop import BUY, Backend, audit, buyer, selling
from tests.support.shop import PRODUCT as THING
from tests.support.stores import running

ROOT = Path(__file__).parents[2]
NOWHERE = Placed(None, None)


class Served:
    """A node in a process of its own, that can be killed between any two instructions."""

    def __init__(self, folder: Path, url: str) -> None:
        self._command = (sys.executable, "-m", "tests.support.shop_node", str(folder), url)
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        said = json.loads(await self.process.stdout.readline())
        self.url, self.tokens = said["url"], said["tokens"]

    async def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


async def press(http: aiohttp.ClientSession, nodes: list[Served], name: str, request: str) -> dict[str, Any]:
    """A patient buyer: the same request again at another node, until there is an answer that is final."""
    for attempt in range(400):
        served = nodes[attempt % len(nodes)]
        headers = {"Authorization": f"Bearer {served.tokens[name]}"}
        try:
            async with http.post(
                f"{served.url}/rooms/r/shop/buy", json={"id": request, **BUY}, headers=headers
            ) as response:
                answer: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError):
            await asyncio.sleep(0.02)
            continue
        if not answer.get("may_retry"):
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} {request}: no answer")


def test_nodes_and_valkey_are_killed_while_many_buy(tmp_path: Path) -> None:
    """Two nodes, each killed with SIGKILL at random moments, and the store too; every buyer is told the truth."""
    choose = random.Random(8)

    async def kill_now_and_then(nodes: list[Served], server: Any, done: asyncio.Event) -> int:
        kills = 0
        while not done.is_set():
            await asyncio.sleep(choose.uniform(0.05, 0.2))
            victim = choose.choice([*nodes, server])
            if victim is server:
                await stores.until(lambda: server.pid)  # none in the pause before a restart
                pid = server.pid
                os.kill(pid, signal.SIGKILL)
                await stores.until(lambda pid=pid: server.pid != pid)
            else:
                await victim.kill()
                await victim.start()
            kills += 1
        return kills

    async def test() -> None:
        async with stores.embedded(tmp_path / "valkey") as server, aiohttp.ClientSession() as http:
            url = f"unix://{server.socket}"
            store = Store(url, timeout_s=10, retry_s=20)
            ledger = Ledger(store, ShopSettings())
            nodes = [Served(tmp_path / name, url) for name in ("one", "two")]
            async with running(store):
                await ledger.define("r", defined(PRODUCT, "p", {**THING, "stock": 60, "limit": 3}, delay_ms=0), NOWHERE)
                await asyncio.gather(*(served.start() for served in nodes))
                done = asyncio.Event()
                killing = asyncio.ensure_future(kill_now_and_then(nodes, server, done))
                try:
                    answers: list[dict[str, Any]] = []
                    for request in range(5):
                        answers += await asyncio.gather(
                            *(press(http, nodes, f"b{number}", f"q{request}") for number in range(25))
                        )
                finally:
                    done.set()
                    kills = await killing
                    await asyncio.gather(*(served.kill() for served in nodes))
                books = await audit(ledger)
                told = {answer["order"] for answer in answers if answer["type"] == "order"}
                assert told == set(books.stream)
                assert len(told) == 60
                assert books.items["p/p"].left == 0
                assert {answer["code"] for answer in answers if answer["type"] == "error"} <= {1121, 1123}
                assert kills > 0

    asyncio.run(test())


def _settings(port: int, **given: Any) -> RedisSettings:
    return RedisSettings(url=f"redis://127.0.0.1:{port}", timeout_s=5, retry_s=20, **given)


@contextlib.asynccontextmanager
async def _on_redis(tmp_path: Path) -> AsyncIterator[tuple[stores.RedisProcess, Node, Backend]]:
    async with stores.redis(tmp_path / "redis") as server:  # noqa: SIM117 - one line would be too long
        async with selling(tmp_path, redis=_settings(server.port)) as (here, backend):
            yield server, here, backend


@stores.needs_redis
def test_sales_close_when_the_store_comes_back_empty_until_somebody_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with _on_redis(tmp_path) as (server, here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=2)
            await ann.ask(type="buy", id="r1", **BUY)
            await server.kill()
            shutil.rmtree(server.folder)
            await server.start()
            closed = await ann.ask(type="buy", id="r2", **BUY)
            assert (closed["code"], closed["may_retry"]) == (1010, True)
            assert (await backend.put("products/p", {**THING, "stock": 2}))["code"] == 1010  # not by mistake either
            assert "now there is nothing" in (await backend.get(""))["alarm"]
            assert "sales are closed" in caplog.text
            await backend.post("reopen")
            await backend.product(stock=1)
            assert (await ann.ask(type="buy", id="r2", **BUY))["state"] == "reserved"
            assert (await backend.get(""))["alarm"] is None

    asyncio.run(test())


@stores.needs_redis
def test_sales_close_when_the_store_comes_back_with_fewer_orders(tmp_path: Path) -> None:
    async def test() -> None:
        async with _on_redis(tmp_path) as (server, here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=5)
            await ann.ask(type="buy", id="r1", **BUY)
            await server.kill()
            shutil.copytree(server.folder, tmp_path / "yesterday")
            await server.start()
            await _bought(ann, "r2")
            await server.kill()
            shutil.rmtree(server.folder)
            shutil.copytree(tmp_path / "yesterday", server.folder)
            await server.start()
            assert (await ann.ask(type="buy", id="r3", **BUY))["code"] == 1010
            await backend.post("reopen")
            assert (await _bought(ann, "r3"))["state"] == "reserved"

    asyncio.run(test())


async def _bought(who: Any, request: str) -> dict[str, Any]:
    """As a patient buyer does: the same request again while it "may" be retried."""
    async with asyncio.timeout(20):
        while True:
            answer: dict[str, Any] = await who.ask(type="buy", id=request, **BUY)
            if not answer.get("may_retry"):
                return answer
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _sentinels(folder: Path) -> AsyncIterator[tuple[str, Any, Any]]:
    """A store's URL, how to kill the master and wait for the replica to take over, and how to bring it back."""
    async with stores.trio(folder, down_after_ms=2_000) as servers:

        async def fail_over() -> None:
            await servers.master.kill()
            await stores.until(lambda: _is_master(servers.replica))

        async def heal() -> None:
            await servers.master.start()
            await servers.master.command("REPLICAOF", "127.0.0.1", str(servers.replica.port))

        yield servers.url, fail_over, heal


@contextlib.asynccontextmanager
async def _cluster(folder: Path) -> AsyncIterator[tuple[str, Any, Any]]:
    async with stores.cluster(folder, replicas=True) as servers:
        owner = await servers.owner("{r}")
        others = [server for server in servers.nodes if server is not owner]
        masters = [server for server in others if await _is_master(server)]

        async def fail_over() -> None:
            await owner.kill()
            rest = [server for server in others if server not in masters]
            await stores.until(lambda: _any_master(rest), timeout=40)

        yield servers.url, fail_over, owner.start


async def _any_master(servers: list[stores.RedisProcess]) -> bool:
    return any([await _is_master(server) for server in servers])


@pytest.mark.parametrize(
    "replicated",
    [
        pytest.param(_sentinels, id="sentinel", marks=[stores.needs_redis, stores.needs_sentinel]),
        pytest.param(_cluster, id="cluster", marks=[stores.needs_redis, pytest.mark.long]),
    ],
)
def test_after_a_failover_every_yes_is_still_true(tmp_path: Path, replicated: Any) -> None:
    """WAIT: a buyer hears yes only when the replica has the order, so that the new master has it."""

    async def test() -> None:
        async with replicated(tmp_path / "redis") as (url, fail_over, heal):
            store = Store(url, timeout_s=10, retry_s=1.0)
            ledger = Ledger(store, ShopSettings(), replicas=1)
            async with running(store):
                await ledger.define("r", defined(PRODUCT, "p", {**THING, "stock": 100_000}, delay_ms=0), NOWHERE)
                told: dict[str, str] = {}
                done = asyncio.Event()

                async def shop(number: int) -> None:
                    request = 0
                    while not done.is_set():
                        with contextlib.suppress(Refused):
                            wanted = {"id": f"q{number}-{request}", "quantity": 1, **BUY}
                            told[wanted["id"]] = (await ledger.buy("r", f"b{number}", wanted)).order
                            request += 1

                shopping = [asyncio.ensure_future(shop(number)) for number in range(20)]
                await stores.until(lambda: len(told) > 500)
                await fail_over()
                alone = len(told)
                await asyncio.sleep(0.3)
                assert len(told) == alone  # the new master gives no yes that could be lost with it
                await heal()
                await stores.until(lambda: len(told) > alone + 100, timeout=40)
                done.set()
                await asyncio.gather(*shopping)
                books = await audit(ledger)
                by_request = {entries[0][b"request"].decode(): order for order, entries in books.stream.items()}
                assert told.items() <= by_request.items()

    asyncio.run(test())


async def _is_master(server: stores.RedisProcess) -> bool:
    try:
        return b"role:master" in await server.command("INFO", "replication")
    except OSError:  # a Sentinel cuts the connections of a server that it promotes
        return False


def test_a_store_without_the_wanted_replicas_gives_no_yes(tmp_path: Path) -> None:
    async def test() -> None:
        given = RedisSettings(timeout_s=10, retry_s=0.3, replicas=1)
        async with selling(tmp_path, redis=given) as (here, backend), buyer(here, "ann") as ann:
            assert (await backend.put("products/p", {**THING, "stock": 1}))["code"] == 1001
            here.layer.shop.ledger._replicas = 0
            await backend.product(stock=1)
            here.layer.shop.ledger._replicas = 1
            answer = await ann.ask(type="buy", id="r1", **BUY)
            assert (answer["code"], answer["may_retry"]) == (1001, True)
            here.layer.shop.ledger._replicas = 0
            answer = await ann.ask(type="buy", id="r1", **BUY)
            assert (answer["state"], answer["duplicate"]) == ("reserved", True)
            assert await backend.counts() == (0, 1, 0)

    asyncio.run(test())


def test_reservations_end_on_any_node_once_though_the_selling_one_died(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.embedded(tmp_path / "valkey") as server:
            url, given = f"unix://{server.socket}", ShopSettings(pay_s=0.3, tell_ms=50)
            async with selling(tmp_path / "a", url=url, shop=given) as (here, backend), buyer(here, "ann") as ann:
                await backend.product(stock=3)
                for number in range(3):
                    await ann.ask(type="buy", id=f"r{number}", **BUY)
            async with (
                selling(tmp_path / "b", url=url, shop=given) as (here, backend),
                selling(tmp_path / "c", url=url, shop=given),
            ):
                await stores.until(lambda: _is_left(backend, 3))
                books = await audit(here.layer.shop.ledger)
                assert [len(entries) for entries in books.stream.values()] == [2, 2, 2]

    asyncio.run(test())


async def _is_left(backend: Backend, left: int) -> bool:
    return (await backend.counts())[0] == left


@pytest.mark.parametrize("off_s", [-3600, 3600])
def test_a_nodes_clock_may_be_an_hour_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off_s: int) -> None:
    """Windows and deadlines are the store's."""
    monkeypatch.setattr("tests.support.rooms.RealClock.wall", lambda self: time.time() + off_s)

    async def test() -> None:
        async with selling(tmp_path, shop=ShopSettings(hold_s=2)) as (here, backend), buyer(here, "ann") as ann:
            await backend.product(stock=1)
            sale = await backend.put("sales/s", {"product": "p", "amount": 5, "total": 1})
            assert abs(sale["opens_ms"] / 1000 - time.time()) < 5
            flash = {**BUY, "amount": 5, "sale": "s"}
            assert (await ann.ask(type="buy", id="r1", **flash))["code"] == 1011
            await ann.event(lambda event: event["body"].get("phase") == "open")
            bought = await ann.ask(type="buy", id="r1", **flash)
            assert bought["state"] == "reserved"
            assert abs(bought["wall_ms"] / 1000 - time.time()) < 5

    asyncio.run(test())

"""The ledger under random interleavings, repeats, cancelled callers and kills, on real stores.

Whatever happens: left + reserved + sold is the stock, every accepted order is in the stream exactly once, nobody has
more than the limit, and what a buyer was told stays true.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from interaction.placement import Placed
from interaction.refusal import Refused
from interaction.settings import ShopSettings
from interaction.shop_goods import PRODUCT, SALE, defined
from interaction.shop_ledger import Ledger
from interaction.store import Store
from tests.support import stores
from tests.support.shop import audit

NOWHERE = Placed(None, None)
STOCK, LIMIT, SALE_TOTAL = 12, 4, 5
BUYERS, REQUESTS = ("ann", "bob", "eve"), tuple(f"q{number}" for number in range(4))

T = TypeVar("T")
purchases = st.tuples(
    st.sampled_from(BUYERS), st.sampled_from(REQUESTS), st.sampled_from(("", "flash")), st.integers(1, 3)
)


class World:
    """A store that can be killed, and two nodes on it."""

    def __init__(self, runner: asyncio.Runner, url: str, kill: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self.run = runner.run
        self.kill = kill
        self.kills = self.bought = 0
        self.stores = [Store(url, timeout_s=10.0, retry_s=20.0) for _ in range(2)]

    @contextlib.contextmanager
    def running(self) -> Iterator[World]:
        async def start() -> list[asyncio.Task[None]]:
            return [asyncio.ensure_future(store.run()) for store in self.stores]

        tasks = self.run(start())
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            self.run(_ended(tasks))


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def machine(world: World, *, kills: bool) -> type[RuleBasedStateMachine]:
    """The state machine on `world`, each example in a room of its own."""

    class Selling(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.room = f"r{secrets.token_hex(6)}"
            given = ShopSettings(pay_s=3600)
            self.ledgers = [Ledger(store, given) for store in world.stores]
            self.told: dict[tuple[str, str], tuple[Any, ...]] = {}
            self.asked: dict[tuple[str, str], tuple[Any, ...]] = {}
            self.orders: dict[str, None] = {}
            self.uncertain: set[tuple[str, str]] = set()

        @initialize()
        def define(self) -> None:
            async def work() -> None:
                product = {"title": "T", "amount": 7, "currency": "CNY", "stock": STOCK, "limit": LIMIT}
                sale = {"product": "p", "amount": 5, "total": SALE_TOTAL, "limit": 2}
                await self.ledgers[0].define(self.room, defined(PRODUCT, "p", product, delay_ms=0), NOWHERE)
                await self.ledgers[0].define(self.room, defined(SALE, "flash", sale, delay_ms=0), NOWHERE)
                if kills:  # at least once, whatever is drawn
                    await self._buy(0, ("ann", "q0", "", 1))
                    await self._kill_while_they_buy([("ann", "q0", "", 1), ("bob", "q0", "flash", 1)])
                    await self._buy(1, ("ann", "q0", "", 1))

            world.run(work())

        @rule(wanted=st.lists(purchases, min_size=1, max_size=6))
        def buy_at_once(self, wanted: list[tuple[str, str, str, int]]) -> None:
            """Several buyers on both nodes, among them repeats of old requests."""

            async def work() -> None:
                await asyncio.gather(*(self._buy(number % 2, one) for number, one in enumerate(wanted)))

            world.run(work())

        @rule(one=purchases, steps=st.integers(0, 6))
        def a_node_dies_while_it_buys(self, one: tuple[str, str, str, int], steps: int) -> None:
            async def work() -> None:
                task = asyncio.ensure_future(self._buy(0, one))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            self.uncertain.add(one[:2])
            world.run(work())

        @rule(wanted=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(("confirmed", "released")))))
        def settle_at_once(self, wanted: list[tuple[int, str]]) -> None:
            """The same order too, and both ways: one of them decides."""

            async def work() -> None:
                known = list(self.orders)
                chosen = [(known[index % len(known)], one) for index, one in wanted] if known else []
                await asyncio.gather(*(self._settle(n % 2, order, one) for n, (order, one) in enumerate(chosen)))

            world.run(work())

        @rule(every=st.integers(1, 4))
        def time_runs_out(self, every: int) -> None:
            """Reservations of some orders are overdue, and both nodes sweep."""

            async def work() -> None:
                for order in list(self.orders)[::every]:
                    await _overdue(world.stores[0], self.room, order)
                await asyncio.gather(*(self._sweep(ledger) for ledger in self.ledgers))

            world.run(work())

        @rule(stock=st.integers(0, STOCK))
        def change_the_stock(self, stock: int) -> None:
            async def work() -> None:
                product = {"title": "T", "amount": 7, "currency": "CNY", "stock": stock, "limit": LIMIT}
                with contextlib.suppress(Refused):  # fewer than are sold
                    await self.ledgers[1].define(self.room, defined(PRODUCT, "p", product, delay_ms=0), NOWHERE)

            world.run(work())

        if kills:

            @rule(wanted=st.lists(purchases, min_size=2, max_size=6))
            def the_store_is_killed_while_they_buy(self, wanted: list[tuple[str, str, str, int]]) -> None:
                world.run(self._kill_while_they_buy(wanted))

        @invariant()
        def the_books_are_right(self) -> None:
            async def check() -> None:
                books = await audit(self.ledgers[0], self.room)
                for key, answer in self.told.items():
                    if answer[0] == "yes":
                        assert books.stream[answer[1]][0][b"request"] == key[1].encode()
                accepted = [(e[0][b"buyer"].decode(), e[0][b"request"].decode()) for e in books.stream.values()]
                assert len(set(accepted)) == len(accepted), "a request bought twice"
                refused = {key for key, answer in self.told.items() if answer[0] == "no"}
                assert not refused & set(accepted), "told no, and bought"
                assert {key for key in accepted if key not in self.uncertain} <= set(self.told)

            world.run(check())

        async def _kill_while_they_buy(self, wanted: list[tuple[str, str, str, int]]) -> None:
            buying = [asyncio.ensure_future(self._buy(n % 2, one)) for n, one in enumerate(wanted)]
            await asyncio.sleep(0)
            await world.kill(self.room)
            world.kills += 1
            await asyncio.gather(*buying)

        async def _buy(self, node: int, one: tuple[str, str, str, int]) -> None:
            buyer, request, sale, quantity = one
            asked = self.asked.setdefault((buyer, request), (sale, quantity))
            sale, quantity = asked  # the same id means the same request
            wanted = {
                "id": request,
                "product": "p",
                "quantity": quantity,
                "amount": 5 if sale else 7,
                "currency": "CNY",
            }
            if sale:
                wanted["sale"] = sale
            try:
                bought = await self.ledgers[node].buy(self.room, buyer, wanted)
            except Refused as refused:
                if refused.refusal.may_retry:
                    raise AssertionError("the store was away for longer than anybody waits") from refused
                answer: tuple[Any, ...] = ("no", refused.refusal.code)
            else:
                answer = ("yes", bought.order, bought.total)
                self.orders[bought.order] = None
                world.bought += 1
            before = self.told.setdefault((buyer, request), answer)
            assert before == answer, f"told {before}, then {answer}"

        async def _settle(self, node: int, order: str, wanted: str) -> None:
            with contextlib.suppress(Refused):  # settled otherwise
                settled = await self.ledgers[node].settle(self.room, order, wanted)
                assert settled.order["state"] == wanted

        async def _sweep(self, ledger: Ledger) -> None:
            swept = await ledger.sweep(self.room)
            assert swept is not None
            for order in swept.overdue:
                await self._settle(self.ledgers.index(ledger), order, "expired")

    return Selling


async def _overdue(store: Store, room: str, order: str) -> None:
    """As if the time to pay were over: the order's deadline is put into the past."""
    from interaction.script import Script

    source = (
        "local packed = redis.call('HGET', KEYS[1], ARGV[1]) if not packed then return 0 end "
        "local order = cmsgpack.unpack(packed) if order.state ~= 'reserved' then return 0 end "
        "order.expires_ms = 1 redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(order)) "
        "redis.call('ZADD', KEYS[2], 1, 'o/' .. ARGV[1]) return 1"
    )
    keys = (f"{{{room}}}:shop:orders", f"{{{room}}}:shop:timers")
    await store.call(Script("overdue", source, "0" * 40), keys, (order,))


def check(world: World, *, kills: bool, examples: int, steps: int) -> None:
    given = settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        phases=(Phase.generate,),  # real servers are too slow to look for a shorter example
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine(world, kills=kills), settings=given)
    assert world.bought >= examples
    assert (world.kills > 0) == kills


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[World]:
    """The node's own Valkey: killed with its append-only file, it is started again."""
    with asyncio.Runner() as runner, _entered(runner, stores.embedded(folder)) as server:

        async def kill(_: str) -> None:
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await stores.until(lambda: server.pid not in (None, pid))

        with World(runner, f"unix://{server.socket}", kill).running() as world:
            yield world


@contextlib.contextmanager
def clustered(folder: Path) -> Iterator[World]:
    """Three masters; the one that has the room is killed and started again."""
    with asyncio.Runner() as runner, _entered(runner, stores.cluster(folder)) as servers:

        async def kill(room: str) -> None:
            owner = await servers.owner(f"{{{room}}}")
            await owner.kill()
            await owner.start()

        with World(runner, servers.url, kill).running() as world:
            yield world


@contextlib.contextmanager
def _entered(runner: asyncio.Runner, manager: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
    entered = runner.run(manager.__aenter__())  # type: ignore[arg-type]
    try:
        yield entered
    finally:
        runner.run(manager.__aexit__(None, None, None))  # type: ignore[arg-type]


def test_the_books_are_right_whatever_happens(tmp_path: Path) -> None:
    with embedded(tmp_path) as world:
        check(world, kills=False, examples=60, steps=15)


def test_the_books_are_right_when_valkey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interaction.valkey_server.LAST_RESTART_S", 0.1)
    with embedded(tmp_path) as world:
        check(world, kills=True, examples=8, steps=8)


@stores.needs_redis
def test_the_books_are_right_on_a_cluster(tmp_path: Path) -> None:
    with clustered(tmp_path) as world:
        check(world, kills=False, examples=5, steps=10)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "world_of", [pytest.param(embedded, id="embedded"), pytest.param(clustered, id="cluster", marks=stores.needs_redis)]
)
@pytest.mark.parametrize("kills", [False, True])
def test_the_books_are_right_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world_of: Any, kills: bool
) -> None:
    monkeypatch.setattr("interaction.valkey_server.LAST_RESTART_S", 0.1)
    with world_of(tmp_path) as world:
        check(world, kills=kills, examples=60 if kills else 500, steps=30)

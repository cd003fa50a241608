"""The broker's contract, the same on every store that can be used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from interaction.broker import Broker, Position
from interaction.refusal import STATE_FULL, UNAVAILABLE, Refused
from interaction.store import Store
from media.event import Event, Lane
from media.ticks import Ticks
from tests.support import stores

SECOND = 90_000


def event(number: int | str, *, kind: str = "notice", lane: Lane = Lane.COMMERCE, t: int | None = None) -> Event:
    epoch = None if t is None else "e1"
    return Event(
        f"id{number}", epoch, None if t is None else Ticks(t), None, kind, lane, None, "host", {"text": str(number)}
    )


@contextlib.asynccontextmanager
async def _embedded(folder: Path) -> AsyncIterator[str]:
    async with stores.embedded(folder) as server:
        yield f"unix://{server.socket}"


@contextlib.asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[str]:
    async with stores.redis(folder) as server:
        yield f"redis://127.0.0.1:{server.port}"


@contextlib.asynccontextmanager
async def _sentinel(folder: Path) -> AsyncIterator[str]:
    async with stores.trio(folder) as servers:
        yield servers.url


@contextlib.asynccontextmanager
async def _cluster(folder: Path) -> AsyncIterator[str]:
    async with stores.cluster(folder) as servers:
        yield servers.url


STORES = [
    pytest.param(_embedded, id="embedded"),
    pytest.param(_redis, id="redis", marks=stores.needs_redis),
    pytest.param(_sentinel, id="sentinel", marks=[stores.needs_redis, stores.needs_sentinel]),
    pytest.param(_cluster, id="cluster", marks=stores.needs_redis),
]

Start = Callable[[Path], contextlib.AbstractAsyncContextManager[str]]


async def _numbers_without_gaps(broker: Broker) -> None:
    taken = await asyncio.gather(*(broker.publish("gaps", event(number)) for number in range(50)))
    assert sorted(answer.seq or 0 for answer in taken) == list(range(1, 51))
    assert len({answer.log for answer in taken}) == 1


async def _takes_once(broker: Broker) -> None:
    answers = await asyncio.gather(*(broker.publish("once", event("same")) for _ in range(5)))
    assert [answer.seq for answer in answers] == [1] * 5
    assert sum(answer.duplicate for answer in answers) == 4
    assert (await broker.open("once")).position.seq == 1


async def _ambient_is_not_numbered(broker: Broker) -> None:
    answer = await broker.publish("ambient", event(1, kind="danmaku", lane=Lane.AMBIENT))
    assert answer.seq is None
    opened = await broker.open("ambient")
    assert [record.event.body["text"] for record in opened.ambient] == ["1"]
    assert opened.position.seq == 0


async def _opens_with_state_and_tail(broker: Broker) -> None:
    for number in range(5):
        await broker.publish("state", event(number), state_key="notice" if number < 3 else "other")
    opened = await broker.open("state")
    assert {key: [record.event.seq for record in records] for key, records in opened.state.items()} == {
        "notice": [3],
        "other": [5],
    }
    assert [record.event.seq for record in opened.commerce] == [1, 2, 3, 4, 5]
    assert opened.position == Position(opened.position.log, 5, "id4", opened.position.ambient)


async def _keeps_superseded_state_for_viewers_behind(broker: Broker) -> None:
    for seconds in (10, 50, 100, 101):
        edge = Ticks((seconds + 1) * SECOND)
        await broker.publish("late", event(seconds, t=seconds * SECOND), state_key="product", live_edge=edge)
    opened = await broker.open("late")
    # Nobody is further back than 30 s behind 102 s: the event at 50 s is the oldest that anybody still sees.
    assert [record.event.body["text"] for record in opened.state["product"]] == ["50", "100", "101"]


async def _verifies(broker: Broker) -> None:
    for number in range(3):
        await broker.publish("verify", event(number))
    here = (await broker.open("verify")).position
    assert await broker.verify("verify", here)
    assert await broker.verify("verify", Position(here.log, 2, "id1"))
    assert not await broker.verify("verify", Position("another", 3, "id2"))
    assert (await broker.open("verify")).position.log == here.log
    # A history with another event under a number that was told, or shorter than was told, is another history.
    assert not await broker.verify("verify", Position(here.log, 2, "other"))
    renamed = (await broker.open("verify")).position
    assert renamed.log != here.log
    assert not await broker.verify("verify", Position(renamed.log, 9, "id8"))


async def _half_lost_is_lost(broker: Broker) -> None:
    await broker.publish("half", event(1), state_key="notice")
    before = (await broker.open("half")).position
    await broker.store.execute("DEL", "{half}:commerce")
    answer = await broker.publish("half", event(2))
    assert (answer.seq, answer.log == before.log) == (1, False)
    assert not (await broker.open("half")).state


async def _counts(broker: Broker) -> None:
    await broker.open("counts")
    assert await broker.like("counts", 5, "batch1") == (5, True)
    assert (await broker.like("counts", 5, "batch1"))[0] == 5
    total, told = await broker.like("counts", 2, "batch2")
    assert (total, told) == (7, False)
    assert await broker.presence("counts", "node1", 3) == (3, True)
    assert (await broker.presence("counts", "node2", 4))[0] == 7
    assert (await broker.open("counts")).totals == {"likes": 5, "presence": 3}


async def _reads_what_is_new(broker: Broker) -> None:
    await broker.publish("read", event(1))
    reading = asyncio.ensure_future(broker.store.read({"{read}:commerce": "1-0"}, block_ms=900, count=10))
    await asyncio.sleep(0)
    await broker.publish("read", event(2))
    found = await reading
    assert [record.event.id for record in broker.records(found["{read}:commerce"], Lane.COMMERCE)] == ["id2"]


async def _reads_history_in_pages(broker: Broker) -> None:
    await asyncio.gather(*(broker.publish("pages", event(number)) for number in range(1_100)))
    seqs = [record.event.seq async for record in broker.history("pages", Lane.COMMERCE, after="7-0")]
    assert seqs == list(range(8, 1_101))
    some = [record.event.seq async for record in broker.history("pages", Lane.COMMERCE, after="7-0", limit=600)]
    assert some == list(range(8, 608))


async def _trims_by_age(broker: Broker) -> None:
    brief = Broker(broker.store, commerce_kept_s=0.05)
    await asyncio.gather(*(brief.publish("trim", event(number)) for number in range(10)))
    await asyncio.sleep(0.06)
    answer = await brief.publish("trim", event("last"))
    assert answer.seq == 11
    assert [record.event.seq async for record in brief.history("trim", Lane.COMMERCE)] == [11]


CONTRACT = (
    _numbers_without_gaps,
    _takes_once,
    _ambient_is_not_numbered,
    _opens_with_state_and_tail,
    _keeps_superseded_state_for_viewers_behind,
    _verifies,
    _half_lost_is_lost,
    _counts,
    _reads_what_is_new,
    _reads_history_in_pages,
    _trims_by_age,
)


@pytest.mark.parametrize("start", STORES)
def test_every_store_keeps_the_contract(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One start per store: a cluster takes seconds to form. The step that fails is in the traceback."""
    monkeypatch.setattr("interaction.broker.LIKES_INTERVAL_MS", 60_000)  # no time to tell comes in the middle

    async def test() -> None:
        async with start(tmp_path) as url, stores.running(Store(url)) as store:
            for step in CONTRACT:
                await step(Broker(store))

    asyncio.run(test())


def test_a_room_has_a_bound_on_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interaction.broker.MAX_STATE_KEYS", 3)

    async def test() -> None:
        async with stores.embedded(tmp_path) as server, stores.running(Store(f"unix://{server.socket}")) as store:
            broker = Broker(store)
            for number in range(3):
                await broker.publish("r", event(number), state_key=f"stock:{number}")
            with pytest.raises(Refused) as raised:
                await broker.publish("r", event(3), state_key="stock:3")
            assert raised.value.refusal is STATE_FULL
            assert (await broker.publish("r", event(4), state_key="stock:2")).seq == 4

    asyncio.run(test())


def test_a_store_that_is_away_is_said_within_the_time(tmp_path: Path) -> None:
    async def test() -> None:
        store = Store(f"unix://{tmp_path}/nobody.sock", timeout_s=0.1, retry_s=0.2)
        async with stores.running(store):
            with pytest.raises(Refused) as raised:
                await asyncio.wait_for(Broker(store).publish("r", event(1)), 2)
            assert raised.value.refusal is UNAVAILABLE

    asyncio.run(test())


def test_a_server_that_forgot_the_scripts_is_given_them_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with stores.embedded(tmp_path) as server, stores.running(Store(f"unix://{server.socket}")) as store:
            broker = Broker(store)
            await broker.publish("r", event(1))
            await store.execute("SCRIPT", "FLUSH")
            answers = await asyncio.gather(*(broker.publish("r", event(number)) for number in range(2, 5)))
            assert [answer.seq for answer in answers] == [2, 3, 4]

    asyncio.run(test())

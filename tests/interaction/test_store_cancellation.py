"""A cancellation that the driver loses: before Python 3.12 `asyncio.wait_for` does so when it comes just in time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from redis import exceptions as redis_errors

from interaction.script import Script
from interaction.store import Store, Unreachable


class DeafNodes:
    """Servers whose every command ends only when it is cancelled, and then as if it had not been."""

    clustered = False

    def __init__(self, failure: BaseException | None) -> None:
        self.asked = asyncio.Event()
        self._failure = failure

    async def node(self, key: str) -> DeafNodes:
        if self._failure is not None:
            await self._lose()
            raise self._failure
        return self

    async def execute_command(self, *command: Any) -> bytes:
        await self._lose()
        return b"answer"

    async def _lose(self) -> None:
        self.asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    def doubt(self) -> None: ...

    async def aclose(self) -> None: ...


FAILURES = [redis_errors.ConnectionError("gone"), OSError("gone")]


def deaf_store(failure: BaseException | None) -> tuple[Store, DeafNodes]:
    store, nodes = Store("redis://127.0.0.1:1"), DeafNodes(failure)
    store._nodes = nodes  # type: ignore[assignment]
    return store, nodes


@pytest.mark.parametrize("failure", [None, *FAILURES])
async def test_a_reader_that_goes_on_after_failures_ends_all_the_same(failure: Exception | None) -> None:
    async def read(store: Store) -> None:
        while True:
            try:
                await store.execute("GET", "key")
            except Unreachable:
                await asyncio.sleep(0)

    store, nodes = deaf_store(failure)
    task = asyncio.create_task(read(store))
    await nodes.asked.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done
    assert task.cancelled()


@pytest.mark.parametrize("failure", [asyncio.CancelledError(), *FAILURES])
async def test_the_store_itself_ends_all_the_same_and_answers_who_asked(failure: BaseException) -> None:
    store, nodes = deaf_store(failure)
    running = asyncio.create_task(store.run())
    asking = asyncio.create_task(store.call(Script("script", "return 1", "sha"), ["key"]))
    await nodes.asked.wait()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=5)
    assert done
    assert running.cancelled()
    assert await asyncio.wait([asking], timeout=5)
    with pytest.raises(Unreachable):
        await asking

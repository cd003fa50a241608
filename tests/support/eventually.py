"""Waiting for what must come, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["eventually", "soon"]

T = TypeVar("T")

POLL_S = 0.02
LAST_LOOK_S = 5.0


def eventually(probe: Callable[[], T], what: str, *, within: float = 10.0) -> T:
    """The first true answer of `probe`. Fails with `what`, and the last answer, after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() > deadline
        answer = probe()
        if answer:
            return answer
        if late:
            raise AssertionError(f"not within {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(POLL_S)


async def soon(probe: Callable[[], T | Awaitable[T]], what: str, *, within: float = 10.0) -> T:
    """`eventually` inside an event loop, which goes on meanwhile. `probe` may be a coroutine function."""
    answer: T | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not (answer := await _look(probe)):
                await asyncio.sleep(POLL_S)
    if not answer:  # the time may have run out while the machine stood still
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_LOOK_S):
                answer = await _look(probe)
    if not answer:
        raise AssertionError(f"not within {within:g} s: {what} (last answer: {answer!r})")
    return answer


async def _look(probe: Callable[[], T | Awaitable[T]]) -> T:
    found = probe()
    return await found if inspect.isawaitable(found) else found

"""Waiting for what must come, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["eventually", "soon"]

T = TypeVar("T")

POLL_S = 0.02


def eventually(probe: Callable[[], T], what: str, *, within: float = 10.0) -> T:
    """The first true answer of `probe`. Fails with `what`, and the last answer, after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(POLL_S)


async def soon(probe: Callable[[], T | Awaitable[T]], what: str, *, within: float = 10.0) -> T:
    """`eventually` inside an event loop, which goes on meanwhile. `probe` may be a coroutine function."""
    answer: object = None
    try:
        async with asyncio.timeout(within):
            while True:
                found = probe()
                answer = result = await found if inspect.isawaitable(found) else found
                if result:
                    return result
                await asyncio.sleep(POLL_S)
    except TimeoutError as exc:
        raise AssertionError(f"not within {within:g} s: {what} (last answer: {answer!r})") from exc

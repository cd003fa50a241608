"""Waiting for what must come, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually"]

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

"""An event loop's callbacks in fake time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class FakeScheduler:
    """`run_until(time)` runs what is due, in order of time, then of calling."""

    def __init__(self, start: float = 100.0) -> None:
        self.time = start
        self.calls = 0
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def now(self) -> float:
        return self.time

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.call_later(0.0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        heapq.heappush(self._queue, (self.time + max(0.0, delay), next(self._order), callback, args))

    def run_until(self, time: float) -> None:
        while self._queue and self._queue[0][0] <= time:
            due, _, callback, args = heapq.heappop(self._queue)
            self.time = max(self.time, due)
            self.calls += 1
            callback(*args)
        self.time = max(self.time, time)

    def run(self, seconds: float) -> None:
        self.run_until(self.time + seconds)

"""Many timers, one callback of the event loop: for peers, of which each has a next thing to do."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol

__all__ = ["Timed", "Timers"]


SPARE = 32
"""Times of what is gone that may stay in the heap."""


class Timed(Protocol):
    """Something with a timer."""

    def next_timeout(self, now: float) -> float | None:
        """When it is due; None: never again."""

    def handle_timeout(self, now: float) -> None:
        """It is due."""


class Timers:
    """`note` after whatever may have made something due earlier. Later is found out when the old time comes: a peer
    whose every datagram moves its end would otherwise cost a timer each."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heap: list[tuple[float, int, Timed]] = []
        self._due: dict[Timed, float] = {}
        self._order = itertools.count()
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due = 0.0

    def __len__(self) -> int:
        return len(self._due)

    def note(self, timed: Timed) -> None:
        """Look at when this is due."""
        now = self._now()
        due = timed.next_timeout(now)
        if due is None:
            self._due.pop(timed, None)
        elif due < self._due.get(timed, float("inf")):
            self._due[timed] = due
            heapq.heappush(self._heap, (due, next(self._order), timed))
            self._arm(now)

    def forget(self, timed: Timed) -> None:
        """Never call it again."""
        if self._due.pop(timed, None) is not None and len(self._heap) > 2 * len(self._due) + SPARE:
            # old times would keep what is gone in memory until they come
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def close(self) -> None:
        self._heap.clear()
        self._due.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, now: float) -> None:
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._handle is not None:
            if due >= self._handle_due:
                return
            self._handle.cancel()
        self._handle_due = due
        self._handle = asyncio.get_running_loop().call_later(max(0.0, due - now), self._fire)

    def _fire(self) -> None:
        self._handle = None
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            due, _, timed = heapq.heappop(self._heap)
            if self._due.get(timed) == due:
                del self._due[timed]
                timed.handle_timeout(now)
                self.note(timed)
        self._arm(now)

"""A bad network in fake time: datagrams are lost, doubled, delayed and so reordered, by a seed."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Conditions:
    """Probabilities, and one-way delays in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0


class Link:
    """One direction. `send` at one time, `arrived` at a later one."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self.sent = 0
        self._conditions = conditions
        self._random = random.Random(seed)
        self._on_the_way: list[tuple[float, int, bytes]] = []

    def send(self, datagram: bytes, now: float) -> None:
        copies = 2 if self._random.random() < self._conditions.duplication else 1
        for _ in range(copies):
            self.sent += 1
            if self._random.random() >= self._conditions.loss:
                at = now + self._conditions.delay + self._random.random() * self._conditions.jitter
                heapq.heappush(self._on_the_way, (at, self.sent, datagram))

    def arrived(self, now: float) -> list[bytes]:
        datagrams = []
        while self._on_the_way and self._on_the_way[0][0] <= now:
            datagrams.append(heapq.heappop(self._on_the_way)[2])
        return datagrams

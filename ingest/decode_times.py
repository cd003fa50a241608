"""When to decode pictures that arrive in decoding order, told only when each is shown, as RTP does."""

from __future__ import annotations

import heapq

__all__ = ["DecodeTimes"]

JUMP = 3 * 90_000
"""Ticks. A picture this far from the newest one is another clock, which the times before it say nothing about."""


class DecodeTimes:
    """With a reorder depth of `n`, the n-th picture after is shown at the earliest: its time is this one's dts.

    `begin` at each configuration, then `dts(pts)` for every picture, in 90 kHz ticks. Without reordering dts is pts.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._shown: list[int] = []
        self._step = 0

    def begin(self, depth: int, *, step: int) -> None:
        """`step` is the usual interval of pictures."""
        self._depth = depth
        self._step = step
        self._shown = []

    def dts(self, pts: int) -> int:
        if not self._depth:
            return pts
        if not self._shown or abs(pts - max(self._shown)) > JUMP:
            # as if pictures had come before the first one, so that its dts is early enough
            self._shown = [pts - self._step * number for number in range(self._depth, 0, -1)]
        return heapq.heappushpop(self._shown, pts)

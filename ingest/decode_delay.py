"""How long a source's pictures wait to be shown, measured on its units: the delay that all its rungs take over."""

from __future__ import annotations

import heapq
from collections import deque

__all__ = ["DecodeDelay"]

MAX_OPEN = 64
"""Units whose place in the order of showing is open. The deepest reordering of either codec is 16 pictures."""


class DecodeDelay:
    """`note` every unit in decoding order; `ticks` is the delay that is known by then. It never falls.

    The n-th picture shown is due no earlier than the n-th unit's dts: the delay is the largest distance of the two.
    The largest `pts - dts` of a unit would be too much: a P picture before a pyramid of B pictures is far ahead of its
    turn, and a rung that waited so long would step back in dts where a viewer changes to it.
    """

    def __init__(self, least: int = 0) -> None:
        self._known = least
        self._first: int | None = None
        self._dts: deque[int] = deque()
        self._pts: list[int] = []

    @property
    def ticks(self) -> int:
        return self._known if self._first is None else max(self._known, self._first)

    def raise_to(self, least: int) -> None:
        """It was at least so much before."""
        self._known = max(self._known, least)

    def note(self, dts: int, pts: int) -> None:
        if self._first is None:
            self._first = pts - dts  # a guess until its turn is known: right for a picture that begins a closed GOP
        self._dts.append(dts)
        heapq.heappush(self._pts, pts)
        # what comes later is shown later than this dts, so everything up to it is in its final order
        while self._pts and (self._pts[0] <= dts or len(self._pts) > MAX_OPEN):
            self._known = max(self._known, heapq.heappop(self._pts) - self._dts.popleft())
            self._first = 0

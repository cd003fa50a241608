"""How often a measured value was how large: counts in fixed steps, cheap enough to keep wherever somebody measures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["WAIT_BOUNDS", "Histogram"]

WAIT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds that people wait: from what nobody notices to what everybody gives up at."""


class Histogram:
    """`counts[i]` is how many values were at most `bounds[i]` and above the one before; the last has no bound."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = WAIT_BOUNDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} values, mean {self.sum / self.count if self.count else 0.0:.4g}>"

    @property
    def count(self) -> int:
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

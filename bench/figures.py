"""Percentiles, and a table that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

__all__ = ["Spread", "table"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Nearest-rank percentiles of a set of values, in the values' unit; None where there was no value."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, values: Sequence[float], scale: float = 1.0) -> Spread:
        """`scale` multiplies each value: 1000 turns seconds into milliseconds."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, None, None, None, None)
        p50, p95, p99 = (ordered[ceil(share * len(ordered)) - 1] * scale for share in (0.50, 0.95, 0.99))
        return cls(len(ordered), p50, p95, p99, ordered[-1] * scale)

    def __str__(self) -> str:
        if self.count == 0:
            return "no values"
        return f"p50 {self.p50:.1f}   p95 {self.p95:.1f}   p99 {self.p99:.1f}   max {self.max:.1f}   ({self.count})"


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two aligned columns, one row a line."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)

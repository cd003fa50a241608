"""Media time: integer 90 kHz ticks on the stream's own timeline."""

from __future__ import annotations

from typing import NewType

__all__ = ["TICKS_PER_MS", "TICKS_PER_SECOND", "Ticks", "from_ms", "from_samples", "to_ms"]

Ticks = NewType("Ticks", int)

TICKS_PER_SECOND = 90_000
TICKS_PER_MS = 90


def from_ms(ms: int) -> Ticks:
    """Exact: a millisecond is 90 ticks."""
    return Ticks(ms * TICKS_PER_MS)


def to_ms(ticks: int) -> int:
    """Whole milliseconds, rounded down, as FLV carries them."""
    return ticks // TICKS_PER_MS


def from_samples(samples: int, sample_rate: int) -> Ticks:
    """Ticks of a count of audio samples, rounded once from the whole count, so that nothing accumulates."""
    return Ticks((samples * TICKS_PER_SECOND + sample_rate // 2) // sample_rate)

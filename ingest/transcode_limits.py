"""How much transcoding a node does at most, and how much it has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["TranscodeCounters", "TranscodeLimits"]


@dataclass(frozen=True, slots=True)
class TranscodeLimits:
    """`linger` in seconds: how long sound is made on after the last one who wanted it left."""

    linger: float = 5.0
    max_workers: int = 200


@dataclass(slots=True)
class TranscodeCounters:
    """Plain counts since the node started. `drops` is by reason; `ended_cpu_seconds` is of workers that have ended."""

    starts: int = 0
    restarts: int = 0
    hangs: int = 0
    refused: int = 0
    units_in: int = 0
    units_out: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    ended_cpu_seconds: float = 0.0

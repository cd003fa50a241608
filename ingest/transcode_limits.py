"""How much transcoding a node does at most, and how much it has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from media.histogram import Histogram

__all__ = ["TranscodeCounters", "TranscodeLimits"]


@dataclass(frozen=True, slots=True)
class TranscodeLimits:
    """`linger` in seconds: how long sound and rungs are made on after the last one who wanted them left.

    `max_workers` bounds memory and sound; `max_rungs` bounds the encoders of all streams together, beside what the
    processors carry.
    """

    linger: float = 5.0
    max_workers: int = 200
    max_rungs: int = 200


@dataclass(slots=True)
class TranscodeCounters:
    """Plain counts since the node started. `drops` is by reason; `ended_cpu_seconds` is of workers that have ended.

    `units_in` and `units_out` are of sound, the others say what they are of. `rung_delays` is in seconds, from the
    unit that released a picture to the rung's unit.
    """

    starts: int = 0
    restarts: int = 0
    hangs: int = 0
    refused: int = 0
    units_in: int = 0
    units_out: int = 0
    pictures_in: int = 0
    pictures_out: int = 0
    rung_starts: int = 0
    rung_failures: int = 0
    rungs_shed: int = 0
    rungs_lowered: int = 0
    rungs_refused: int = 0
    late_pictures: int = 0
    rung_delays: Histogram = field(default_factory=Histogram)
    drops: Counter[str] = field(default_factory=Counter)
    ended_cpu_seconds: float = 0.0

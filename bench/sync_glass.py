"""From the camera to the screen: when a displayed frame was captured, and how that delay moves over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.figures import Spread
from bench.sync_figures import Drawn
from bench.sync_host import Captures

__all__ = ["GlassFigures", "glass"]

SLICE_S = 60.0
"""Drift is told by medians of so long."""
FEWEST_SLICES = 6
"""A short run is cut into as many slices."""


@dataclass(frozen=True, slots=True)
class GlassFigures:
    """Of one page, in milliseconds. `latency` is from capture to the expected appearance on the screen, of each frame
    whose code was read; `presented` to where the browser hands the frame to its compositor. `drift` is the largest
    median of a minute less the smallest, `trend` the last less the first.

    `frames` were told to the page, of those that the browser presented; `skipped` is what it presented without telling.
    `wrong_frame` are those whose burned code is not that of the media time the page was told: the canvas was ahead.
    """

    frames: int
    skipped: int
    read: int
    unreadable: int
    wrong_frame: int
    latency: Spread
    presented: Spread
    drift_ms: float | None
    trend_ms: float | None
    slices: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def glass(drawn: Sequence[Drawn], captures: Captures, *, every: int, wrong_frame: int) -> GlassFigures:
    """`drawn` is one page's steady state, of which one frame in `every` was read."""
    coded = [(frame, capture) for frame in drawn if frame.code and (capture := captures.of(*frame.code))]
    latency = [(frame.display_ms, frame.display_ms - 1000 * capture.wall) for frame, capture in coded]
    slices = _slices(latency)
    told = drawn[-1].count - drawn[0].count + 1 if drawn else 0
    return GlassFigures(
        frames=len(drawn),
        skipped=max(0, told - len(drawn)),
        read=len(coded),
        unreadable=max(0, len(drawn) // every - len(coded)),
        wrong_frame=wrong_frame,
        latency=Spread.of([value for _, value in latency]),
        presented=Spread.of([frame.presented_ms - 1000 * capture.wall for frame, capture in coded]),
        drift_ms=max(slices) - min(slices) if slices else None,
        trend_ms=slices[-1] - slices[0] if slices else None,
        slices=slices,
    )


def _slices(latency: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """The medians of successive minutes, or of sixths of a run that is shorter."""
    if not latency:
        return ()
    begun, ended = latency[0][0], latency[-1][0]
    length = min(SLICE_S * 1000, max(1.0, (ended - begun) / FEWEST_SLICES))
    found: dict[int, list[float]] = {}
    for at, value in latency:
        found.setdefault(int((at - begun) / length), []).append(value)
    found_in_order = [values for _, values in sorted(found.items())]
    whole = [values for values in found_in_order if 2 * len(values) >= len(found_in_order[0])]
    return tuple(median(values) for values in whole)

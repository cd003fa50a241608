"""Wall clock to media time, in segments: one for each stretch that a publisher sent without a break."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from media.ticks import TICKS_PER_SECOND, Ticks

__all__ = ["WallMap"]

WINDOW = 30.0
"""Seconds over which the smallest delay counts: long enough to hold one packet that met no queue."""
SLEW = 0.001
"""Seconds of correction a second: too slow to see, fast enough for any real clock drift (500 ppm)."""
SETTLING = 3.0
"""Seconds at the start of a segment in which corrections are taken at once: the first units often come in a burst."""
MAX_SEGMENTS = 256
"""Stretches remembered: enough for an evening with a bad line."""


@dataclass(slots=True)
class _Segment:
    first_wall: float
    last_wall: float
    first_t: int
    last_t: int
    offset: float
    minima: deque[tuple[float, float]] = field(default_factory=deque)

    def observe(self, t: int, wall: float) -> None:
        self._push(wall, wall - t / TICKS_PER_SECOND)
        target = self.minima[0][1]
        if wall - self.first_wall <= SETTLING:
            self.offset = target
        else:
            limit = SLEW * max(0.0, wall - self.last_wall)
            self.offset += min(limit, max(-limit, target - self.offset))
        self.last_wall = max(self.last_wall, wall)
        self.last_t = max(self.last_t, t)

    def _push(self, wall: float, difference: float) -> None:
        """A sliding minimum: what is later and smaller makes the earlier and larger irrelevant."""
        while self.minima and self.minima[-1][1] >= difference:
            self.minima.pop()
        self.minima.append((wall, difference))
        while self.minima[0][0] < wall - WINDOW:
            self.minima.popleft()


class WallMap:
    """`observe` what arrives, `close` at each break, ask `to_media`. Wall times are seconds since the Unix epoch."""

    def __init__(self) -> None:
        self._segments: deque[_Segment] = deque(maxlen=MAX_SEGMENTS)
        self._open = False

    def observe(self, t: int, wall: float) -> None:
        """A unit with decode time `t` arrived at `wall`."""
        if not self._open:
            difference = wall - t / TICKS_PER_SECOND
            self._segments.append(_Segment(wall, wall, t, t, difference))
            self._open = True
        self._segments[-1].observe(t, wall)

    def close(self) -> None:
        """A break: what arrives next belongs to a new segment."""
        self._open = False

    def to_media(self, wall: float) -> Ticks:
        """The media time of a wall time. Between segments it is the seam; before the first one, its start."""
        if not self._segments:
            return Ticks(0)
        following: _Segment | None = None
        for segment in reversed(self._segments):
            if wall >= segment.first_wall - SETTLING and wall - segment.offset >= segment.first_t / TICKS_PER_SECOND:
                return self._within(segment, wall, following)
            following = segment
        return Ticks(self._segments[0].first_t)

    def _within(self, segment: _Segment, wall: float, following: _Segment | None) -> Ticks:
        t = round((wall - segment.offset) * TICKS_PER_SECOND)
        if following is not None:
            return Ticks(min(t, following.first_t))
        return Ticks(t if self._open else min(t, segment.last_t))

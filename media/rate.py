"""How many bits a second a rendition has, by its own times."""

from __future__ import annotations

from collections import deque

from media.ticks import TICKS_PER_SECOND

__all__ = ["RateMeter"]

WINDOW = 5
"""Seconds. Keyframes are many times larger than other pictures, so a usual group should fit."""
MIN_SPAN = 1
"""Whole seconds that must have been seen: one keyframe alone says nothing about a rate."""


class RateMeter:
    """Sizes by dts, in whole seconds of media time; the second that is still growing does not count."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        self._second: int | None = None
        self._bytes = 0

    def note(self, dts: int, size: int) -> None:
        """A unit of so many bytes."""
        second = dts // TICKS_PER_SECOND
        if second != self._second:
            if self._second is not None and second == self._second + 1:
                self._seconds.append((self._second, self._bytes))
            elif self._second is not None:
                self._seconds.clear()  # a pause, or another time: what was before says nothing
            self._second, self._bytes = second, 0
        self._bytes += size

    @property
    def bits_per_second(self) -> int | None:
        """None until a whole second was seen. The first one may have begun midway, so it goes as soon as it can."""
        if len(self._seconds) < MIN_SPAN:
            return None
        return 8 * sum(size for _, size in self._seconds) // len(self._seconds)

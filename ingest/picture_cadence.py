"""Which pictures are keyframes, and which ones a rung with a lower frame rate takes."""

from __future__ import annotations

import threading
from collections import deque

from media.ticks import TICKS_PER_SECOND

__all__ = ["KeyframeClock", "PictureCadence", "RateMeter"]

MIN_KEYFRAME_DISTANCE = TICKS_PER_SECOND // 4
"""Source keyframes nearer than this to the last keyframe become ordinary pictures in the rungs: a source of nothing but
keyframes would leave no bit of a rung's rate for anything else."""
MIN_RATE, MAX_RATE = 1.0, 300.0
"""Pictures a second that are believed."""
USUAL_RATE = 30.0
MEASURED = 8
"""Intervals that make a rate."""
SETTLED = 1.2
"""Times that the older half of the intervals may be as long as the newer one, or the other way round."""


class KeyframeClock:
    """Decides for all rungs at once, so that theirs are the same pictures, always."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._forced = threading.Event()

    def force(self) -> None:
        """The next picture. From any thread."""
        self._forced.set()

    def decide(self, pts: int, *, is_source_keyframe: bool, interval: float) -> bool:
        """`interval` is the longest time between two of them, in seconds."""
        since = None if self._last is None else pts - self._last
        # half a millisecond of grace: times in milliseconds make a 2 s GOP now and then 1.9999 s long
        due = since is None or since < 0 or since >= interval * TICKS_PER_SECOND - 45
        own = is_source_keyframe and since is not None and since >= MIN_KEYFRAME_DISTANCE
        if not (self._forced.is_set() or due or own):
            return False
        self._forced.clear()
        self._last = pts
        return True


class PictureCadence:
    """Thins pictures out to at most `frame_rate` a second, by their times. None takes all."""

    def __init__(self, frame_rate: float | None) -> None:
        self._step = None if frame_rate is None else TICKS_PER_SECOND / frame_rate
        self._due: float | None = None

    def takes(self, pts: int, *, keyframe: bool) -> bool:
        """A keyframe is always taken."""
        step = self._step
        if step is None:
            return True
        # a tenth of a step early is on time: times in milliseconds are up to half a one off
        if not keyframe and self._due is not None and self._due - 2 * step < pts < self._due - step / 10:
            return False
        on_time = self._due is not None and abs(pts - self._due) < step
        self._due = (self._due if on_time and self._due is not None else pts) + step
        return True


class RateMeter:
    """Pictures a second, from the dts of the last ones; what the source declares until there are enough of them."""

    def __init__(self, span: int = 32) -> None:
        self._dts: deque[int] = deque(maxlen=span)
        self.declared: float | None = None

    def note(self, dts: int) -> None:
        if self._dts and dts <= self._dts[-1]:
            self._dts.clear()
        self._dts.append(dts)

    @property
    def rate(self) -> float:
        count = len(self._dts) - 1
        if count >= MEASURED or (count >= 1 and not self.declared):
            rate = count * TICKS_PER_SECOND / (self._dts[-1] - self._dts[0])
        else:
            rate = self.declared or USUAL_RATE
        return min(MAX_RATE, max(MIN_RATE, rate))

    @property
    def is_settled(self) -> bool:
        """Is this rate there to stay, as far as can be told? A hole or a change leaves the two halves apart."""
        count = len(self._dts) - 1
        if count < MEASURED:
            return False
        middle = count // 2
        older = (self._dts[middle] - self._dts[0]) / middle
        newer = (self._dts[-1] - self._dts[middle]) / (count - middle)
        return older <= newer * SETTLED and newer <= older * SETTLED

"""When a source's pictures are due to be decoded, in the order of showing: the dts that all its rungs take over."""

from __future__ import annotations

import heapq
from collections import deque

__all__ = ["DecodeTurns"]

MAX_OPEN = 64
"""Units whose pictures are still to be shown. The deepest reordering of either codec is 16 pictures, and a few more are
in the decoder and the deinterlacer."""


class DecodeTurns:
    """`note` every unit in decoding order, then ask for the `turn` of every picture in the order of showing.

    The n-th picture shown has the n-th dts, which is never after its pts. So a rung, which has no reordering, steps
    forward with the source, whatever its intervals: encoders with B-frames make a dts of the pts some pictures before,
    and after a hole a delay that was measured on them would be longer than the source's, for good. Units that are never
    shown take one dts with them each, so nothing that is lost moves the others.
    """

    def __init__(self) -> None:
        self._dts: deque[int] = deque()
        self._pts: list[int] = []

    def clear(self) -> None:
        """Other units follow, or the same ones again."""
        self._dts.clear()
        self._pts.clear()

    def note(self, dts: int, pts: int) -> None:
        if self._dts and dts <= self._dts[-1]:
            self.clear()
        self._dts.append(dts)
        heapq.heappush(self._pts, pts)
        if len(self._pts) > MAX_OPEN:
            self._take()

    def turn(self, pts: int) -> int | None:
        """The dts of the picture that is shown now, None for one that is out of order or of no unit."""
        dts = None
        while self._pts and self._pts[0] <= pts:
            dts = self._take()
        return dts

    def _take(self) -> int:
        heapq.heappop(self._pts)
        return self._dts.popleft()

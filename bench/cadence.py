"""When things happen in the demo picture: frame times, and the flash with its beep at each full second."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

__all__ = ["FLASH_MS", "Cadence"]

FLASH_MS = 100  # of light and of sound: three frames at 30 a second, so that a lost frame does not hide it


@dataclass(frozen=True, slots=True)
class Cadence:
    """Frame `n` of a constant frame rate, in whole milliseconds of the publisher's own time.

    Flash `k` begins on the first frame at or after second `k`, and the beep on that frame's pts, which at 48 kHz is
    a whole sample. At a whole number of frames a second that is the full second itself.
    """

    fps: Fraction

    def pts_ms(self, n: int) -> int:
        return int(n * 1000 / self.fps)

    def first_frame_at(self, seconds: float | Fraction) -> int:
        """The first frame at or after this time."""
        return ceil(Fraction(seconds) * self.fps)

    def flash_ms(self, second: int) -> int:
        """The pts at which the flash of this second begins."""
        return self.pts_ms(self.first_frame_at(second))

    def is_lit(self, n: int) -> bool:
        pts = self.pts_ms(n)
        return 0 <= pts - self.flash_ms(pts // 1000) < FLASH_MS

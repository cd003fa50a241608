"""Samples counted from an anchor, held against the times that the source gives: what to do when they part.

The source's times are right, since the picture follows them, but they are rounded, jitter and have holes; the count of
samples is smooth, but drifts when the encoder's sound card and its clock disagree. So the count gives the times, and
is led back whenever it has parted too far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from media.ticks import TICKS_PER_MS, TICKS_PER_SECOND

__all__ = ["MAX_ERROR", "MAX_SILENCE", "SLEW", "Remedy", "SampleClock"]

SLEW = 0.01
"""The most that sound is stretched or squeezed: a sixth of a semitone, for as long as it takes."""
SLEW_FROM = 20 * TICKS_PER_MS
"""Parted by this much on average, the sound is led back: half of what a viewer may be off."""
SLEW_UNTIL = 3 * TICKS_PER_MS
"""Near enough to let it run again: FLV's rounding alone is 1 ms."""
HOLE = 40 * TICKS_PER_MS
"""A sudden step of this much is sound that went missing, not drift: two frames at least."""
MAX_ERROR = 200 * TICKS_PER_MS
"""Leading back by more would take over 20 s of wrong lip sync, so silence is put in or sound left out."""
MAX_SILENCE = TICKS_PER_SECOND
"""A longer hole stays a hole: by now a player has noticed it, and a burst of old silence helps nobody."""
SMOOTHING = 1 / 16
"""Weight of the newest error in the average: timestamps that jitter by a frame or two average out."""


class Remedy(Enum):
    """What to do with the frame whose time was judged."""

    RUN = "take it as it is"
    STRETCH = "make a little more sound of it"
    SQUEEZE = "make a little less sound of it"
    FILL = "put silence before it, as much as the error says"
    SKIP = "leave it out"
    RESTART = "start over with its time as the anchor"


@dataclass(slots=True)
class SampleClock:
    """Where the next source sample belongs, in ticks. `anchor` is the time of the first one.

    `judge` each frame's time, do what it says, and `advance` by what was taken. `error` is how much later the source
    says than the count. After a stretch at one rate has ended, `settle` says how many samples it really made.
    """

    anchor: int
    output_rate: int
    error: float = field(default=0.0, init=False)
    _average: float = field(default=0.0, init=False)
    _slewing: Remedy = field(default=Remedy.RUN, init=False)
    _skipping: bool = field(default=False, init=False)
    _made: int = field(default=0, init=False)
    _stretch: float = field(default=0.0, init=False)

    @property
    def expected(self) -> float:
        return self.anchor + self._made * TICKS_PER_SECOND / self.output_rate + self._stretch

    def judge(self, t: int) -> Remedy:
        """The next frame begins at `t`."""
        before, self.error = self.error, t - self.expected
        if self.error > MAX_SILENCE:
            return Remedy.RESTART
        if self.error > MAX_ERROR or (self.error > HOLE and self.error - before > HOLE):
            return Remedy.FILL
        if self.error < -MAX_ERROR or (self._skipping and self.error < 0):
            self._skipping = True
            return Remedy.SKIP
        if self._skipping:
            self._skipping, self._average = False, 0.0
        self._average += (self.error - self._average) * SMOOTHING
        return self._slew()

    def advance(self, samples: int, rate: float) -> None:
        """So many source samples were taken, at `rate` a second."""
        self._stretch += samples * TICKS_PER_SECOND / rate

    def filled(self) -> None:
        """Silence was put in (and advanced by): there is no error left."""
        self.error = self._average = 0.0

    def settle(self, made: int) -> None:
        """Exactly `made` output samples in all came of everything up to here."""
        self._made, self._stretch = made, 0.0

    def _slew(self) -> Remedy:
        if abs(self._average) > SLEW_FROM:
            self._slewing = Remedy.STRETCH if self._average > 0 else Remedy.SQUEEZE
        elif abs(self._average) < SLEW_UNTIL or (self._average > 0) != (self._slewing is Remedy.STRETCH):
            self._slewing = Remedy.RUN
        return self._slewing

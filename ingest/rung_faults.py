"""What went wrong with a stream's rungs, and what is therefore left out for a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from media.track import Track
from media.unit import AccessUnit

__all__ = ["RungFaults", "is_same_picture"]

MAX_FAILURES, FAILURE_WINDOW = 2, 30.0
"""An encoder that fails so often within these seconds is not tried again for a while."""
MAX_DEATHS = 4
"""Workers in a row, within FAILURE_WINDOW seconds of each other, after which pictures are given up: sound shares the
worker, and goes on without them."""
REFUSED_FOR = 60.0
"""Seconds until what failed is tried again."""
MISSED_FOR = 5.0
"""The same for a worker that did not come back in time: viewers without another rung wait twice as long for one."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why no rung of `source` is made, and until when."""

    source: Track
    problem: str
    until: float


class RungFaults:
    """Of one stream. `now` is seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._refusal: _Refusal | None = None
        self._barred: dict[str, float] = {}
        self._failed_at: dict[str, deque[float]] = {}
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        self._died_in: int | None = None
        self._poisoned: int | None = None
        self._missed_until = float("-inf")

    def refuse(self, source: Track, problem: str, *, until: float = float("inf")) -> None:
        """No rung of this source can be made."""
        self._refusal = _Refusal(source, problem, until)

    def problem(self, source: Track, now: float) -> str:
        """Why no rung of this source can be made, else ''."""
        refusal = self._refusal
        if refusal is None or now >= refusal.until or not is_same_picture(refusal.source, source):
            return ""
        return refusal.problem

    def miss_worker(self, now: float, seconds: float = MISSED_FOR) -> None:
        """There is none, or none begins to work: whatever the source is, it has no rungs for a while."""
        self._missed_until = max(self._missed_until, now + seconds)

    def misses_worker(self, now: float) -> bool:
        """Was there no worker a short while ago?"""
        return now < self._missed_until

    def is_barred(self, name: str, now: float) -> bool:
        """Has this rung's encoder failed too often?"""
        return self._barred.get(name, now) > now

    def barred(self, now: float) -> tuple[str, ...]:
        """The rungs whose encoders have failed too often."""
        return tuple(name for name, until in self._barred.items() if until > now)

    def failed(self, name: str, now: float) -> bool:
        """Its encoder has given up. True when it is to be left alone for a while."""
        failed_at = self._failed_at.setdefault(name, deque(maxlen=MAX_FAILURES))
        failed_at.append(now)
        is_too_often = len(failed_at) == MAX_FAILURES and now - failed_at[0] < FAILURE_WINDOW
        if is_too_often:
            self._barred[name] = now + REFUSED_FOR
        return is_too_often

    def replaced(self, name: str) -> None:
        """It has another encoder, which has not failed yet."""
        self._barred.pop(name, None)
        self._failed_at.pop(name, None)

    def died(self, source: Track, group: int | None, now: float, *, was_ready: bool = True) -> bool:
        """A worker died while it was given the group of pictures that begins at this dts. True: one too many.

        When two died in one group, what is left of it is poisonous. No picture is to blame for one that was not ready,
        or could not be started.
        """
        if self._deaths and now - self._deaths[-1] > FAILURE_WINDOW:
            self._deaths.clear()
        self._deaths.append(now)
        if was_ready:
            self._poisoned = group if group is not None and group == self._died_in else self._poisoned
            self._died_in = group
        if len(self._deaths) < MAX_DEATHS:
            return False
        self._deaths.clear()
        if not was_ready:
            self.miss_worker(now, REFUSED_FOR)
            return True
        self.refuse(source, f"{MAX_DEATHS} workers in a row have died of it", until=now + REFUSED_FOR)
        return True

    def is_poisonous(self, unit: AccessUnit) -> bool:
        """Is this one of the pictures that workers die of? Their group ends with the next keyframe."""
        if self._poisoned is None:
            return False
        if unit.keyframe and unit.dts > self._poisoned:
            self._poisoned = None
            return False
        return True


def is_same_picture(one: Track, other: Track) -> bool:
    """Would a decoder notice no difference?"""
    return one is other or (one.codec is other.codec and one.config == other.config)

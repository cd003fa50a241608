"""Source units on their way through a worker, kept until it says that it is through with them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from media.ticks import TICKS_PER_SECOND
from media.unit import AccessUnit

__all__ = ["MAX_ON_THE_WAY", "MAX_WAITING", "Pending", "SourceQueue"]

MAX_ON_THE_WAY = 32
"""Units that the worker has and has not answered: two thirds of a second of sound, done in some 10 ms."""
MAX_WAITING = 2 * TICKS_PER_SECOND
"""Sound that waits for a worker: older than this, nobody wants to hear it any more."""
WARM_UP = 200 * 90
"""Sound that a new worker hears before the first missing unit: at most 64 ms are inside an encoder, and the decoder
has a past too."""
MAX_CRASHES = 2
"""A unit that a worker died of so often is left out."""
PAIR = 2
"""Units that go together: waking a worker costs as much as two units of sound. The first waits 23 ms at most."""
MAX_STEP = 30 * 90
"""Units further apart than this do not wait for each other."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A unit and its number, which no other unit of the stream has."""

    seq: int
    unit: AccessUnit


class SourceQueue:
    """Source units in order: those that are done but recent, those on their way, and those that wait."""

    def __init__(self, drops: Counter[str], next_number: Callable[[], int]) -> None:
        self._drops = drops
        self._next_number = next_number
        self._recent: deque[Pending] = deque()
        self._units: deque[Pending] = deque()
        self._limit: int | None = None
        self._crashes: Counter[int] = Counter()
        self._last_dts: int | None = None
        self._is_sparse = False
        self.on_the_way = 0

    @property
    def span(self) -> int:
        """Ticks between the oldest unit that is not done and the newest one."""
        return self._units[-1].unit.dts - self._units[0].unit.dts if self._units else 0

    @property
    def waiting(self) -> int:
        """Units that are not on their way."""
        return len(self._units) - self.on_the_way

    @property
    def is_due(self) -> bool:
        """Is there enough to be worth a wake-up?"""
        return self.waiting >= (1 if self._is_sparse else PAIR)

    def admit_all(self) -> None:
        """What is kept for joiners comes all at once and is wanted whole."""
        self._limit = None

    def bound(self) -> None:
        """From now on time goes by: what is here may stay, and a little more."""
        self._limit = self.span + MAX_WAITING

    def clear(self) -> None:
        self._recent.clear()
        self._units.clear()
        self._crashes.clear()
        self._last_dts = None
        self.on_the_way = 0

    def put(self, unit: AccessUnit) -> None:
        self._units.append(Pending(self._next_number(), unit))
        self._is_sparse = self._last_dts is not None and unit.dts - self._last_dts > MAX_STEP
        self._last_dts = unit.dts
        while self._limit is not None and self.span > self._limit:
            self._drop_first("too old")

    def next(self) -> Pending | None:
        """The next unit to send, if it may be on its way. What a worker may have died of goes alone."""
        allowed = 1 if self._crashes else MAX_ON_THE_WAY
        if self.on_the_way >= min(allowed, len(self._units)):
            return None
        self.on_the_way += 1
        return self._units[self.on_the_way - 1]

    def has_sent(self, seq: int) -> bool:
        """Is this unit on its way?"""
        return any(self._units[index].seq == seq for index in range(self.on_the_way))

    def done(self, seq: int) -> None:
        """The worker is through with this unit, and so with all before it."""
        while self.on_the_way and self._units[0].seq <= seq:
            self._recent.append(self._units.popleft())
            self.on_the_way -= 1
        if self._crashes and max(self._crashes) <= seq:
            self._crashes.clear()
        while self._recent and self._recent[-1].unit.dts - self._recent[0].unit.dts > WARM_UP:
            self._recent.popleft()
        if self._limit is not None:
            self._limit = max(MAX_WAITING, min(self._limit, self.span + MAX_WAITING))

    def rewind(self) -> None:
        """For a new worker: everything that is not done, after what was done last."""
        self._units.extendleft(reversed(self._recent))
        self._recent.clear()
        self.on_the_way = 0

    def blame(self) -> None:
        """A worker died: of one of the units that it had not answered for, if of a unit at all."""
        on_the_way = [self._units[index].seq for index in range(self.on_the_way)]
        self._crashes.update(on_the_way)
        if on_the_way and self._crashes[on_the_way[0]] >= MAX_CRASHES:
            self._drop_first("poison")

    def _drop_first(self, reason: str) -> None:
        self._units.popleft()
        self.on_the_way = max(0, self.on_the_way - 1)
        self._drops[reason] += 1

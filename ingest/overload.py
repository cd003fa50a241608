"""Which rung goes first when the processors cannot carry all of them: one decision at a time, for the whole machine.

The order: the rung that takes the most processor time for each of its viewers goes first, on whichever stream it is.
Each stream's last resort, its lowest H.264 rung, is never taken away: it is made at half the frame rate when nothing
else is left. What lags although the processors have time to spare is too slow by itself, and goes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["Decision", "Overload", "Remedy", "RungLoad"]

LAG_MS = 200
"""Of pictures that wait for an encoder or a decoder: half of what may wait before some are left out."""
LAGGING_LOOKS = 2
"""Looks in a row, a second apart, that make it more than one large picture."""
GRACE = 3.0
"""Seconds after its start in which an encoder catches up, so that its lag says nothing."""
SETTLE = 2.0
"""Seconds for a decision to show, before the next one."""
FULL_BELOW = 0.15
"""Share of the processors that is idle: with less, they are the reason for a lag."""
BAR_FIRST, BAR_MAX = 15.0, 300.0
"""Seconds for which a rung that was shed is not offered; doubled each time it was shed again soon."""
SOON = 60.0
"""Seconds after it was offered again."""
MARGIN = 1.25
"""Times its cost that must be idle before a rung is begun beside others: encoders cost more where pictures move."""
UNKNOWN_COST = 0.3
"""Cores of a rung that was never made here."""


@dataclass(frozen=True, slots=True)
class RungLoad:
    """One rung that is being made. `cores` None while unknown; `late` pictures were left out since the last look."""

    room: str
    name: str
    cores: float | None
    viewers: int
    lag_ms: int
    late: int
    age: float
    is_last_resort: bool
    is_lowered: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.room, self.name

    @property
    def price(self) -> float:
        """Cores for each viewer."""
        return (self.cores or 0.0) / max(1, self.viewers)


class Remedy(Enum):
    """What to do with a rung."""

    SHED = "make it no more"
    LOWER = "make it at half the frame rate"
    RAISE = "make it at its own frame rate again"


@dataclass(frozen=True, slots=True)
class Decision:
    load: RungLoad
    remedy: Remedy


@dataclass(slots=True)
class _Bar:
    """`until` when a rung is not offered, or not raised, and how often in a row that was needed."""

    until: float
    times: int


class Overload:
    """`judge` about once a second. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._lagging: dict[tuple[str, str], int] = {}
        self._bars: dict[tuple[str, str], _Bar] = {}
        self._costs: dict[tuple[str, str], float] = {}
        self._decided_at = float("-inf")
        self._idle: float | None = None

    def judge(self, now: float, loads: Sequence[RungLoad], *, idle: float | None, cores: float) -> Decision | None:
        """The next thing to do. `idle` is the cores that had nothing to do lately, of so many; None while unknown."""
        self._idle = idle
        self._costs |= {load.key: load.cores for load in loads if load.cores is not None and not load.is_lowered}
        self._note_lags(loads)
        if now - self._decided_at < SETTLE:
            return None
        lagging = [load for load in loads if self._lagging.get(load.key, 0) >= LAGGING_LOOKS]
        is_full = idle is None or idle < FULL_BELOW * cores
        decision = self._relieve(loads if is_full else lagging) if lagging else self._raise(now, loads)
        if decision is not None:
            self._remember(decision, now)
        return decision

    def is_barred(self, room: str, name: str, now: float) -> bool:
        """Was it shed a short while ago?"""
        bar = self._bars.get((room, name))
        return bar is not None and now < bar.until

    def barred(self, room: str, now: float) -> tuple[str, ...]:
        """The rungs of this stream that were shed a short while ago."""
        return tuple(name for of, name in self._bars if of == room and self.is_barred(room, name, now))

    def has_room(self, room: str, name: str) -> bool:
        """Are the processors idle enough to begin this rung beside others?"""
        cost = self._costs.get((room, name), UNKNOWN_COST)
        return self._idle is None or self._idle >= MARGIN * cost

    def cost(self, room: str, name: str) -> float | None:
        """Cores that it took when it was made last."""
        return self._costs.get((room, name))

    def rest(self) -> None:
        """No rung is made anywhere: what was idle lately says nothing any more."""
        self._idle = None
        self._lagging.clear()

    def forget(self, room: str) -> None:
        """This stream is over."""
        for table in (self._lagging, self._bars, self._costs):
            for key in [key for key in table if key[0] == room]:
                del table[key]

    def _note_lags(self, loads: Sequence[RungLoad]) -> None:
        """A rung that has just begun catches up, and says nothing."""
        before, self._lagging = self._lagging, {}
        for load in loads:
            if load.age > GRACE and (load.lag_ms > LAG_MS or load.late):
                self._lagging[load.key] = before.get(load.key, 0) + 1

    def _relieve(self, loads: Sequence[RungLoad]) -> Decision | None:
        candidates = [*self._by_price(loads, Remedy.SHED), *self._by_price(loads, Remedy.LOWER)]
        return candidates[0] if candidates else None

    @staticmethod
    def _by_price(loads: Sequence[RungLoad], remedy: Remedy) -> Iterator[Decision]:
        """Nobody's rung first, then the dearest for each viewer."""
        last = remedy is Remedy.LOWER
        fit = [load for load in loads if load.is_last_resort == last and not (last and load.is_lowered)]
        for load in sorted(fit, key=lambda load: (load.viewers > 0, -load.price, load.key)):
            yield Decision(load, remedy)

    def _raise(self, now: float, loads: Sequence[RungLoad]) -> Decision | None:
        """One that was lowered, where the same again is idle."""
        for load in loads:
            bar = self._bars.get(load.key)
            has_time = self._idle is not None and self._idle >= MARGIN * (load.cores or UNKNOWN_COST)
            if load.is_lowered and has_time and not self._lagging and (bar is None or now >= bar.until):
                return Decision(load, Remedy.RAISE)
        return None

    def _remember(self, decision: Decision, now: float) -> None:
        self._decided_at = now
        if decision.remedy is Remedy.RAISE:
            return
        bar = self._bars.get(decision.load.key)
        times = bar.times + 1 if bar is not None and now < bar.until + SOON else 0
        self._bars[decision.load.key] = _Bar(now + min(BAR_MAX, BAR_FIRST * 2**times), times)

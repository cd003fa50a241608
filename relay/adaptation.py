"""Which rung one viewer should be on: down fast, up carefully. Pure: it is shown the path, and says what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Adaptation", "Cause", "Choice", "Decision", "Look"]

FALL_BACKLOG_MS = 400
"""Media that waits to be sent. A player that is close to the live edge has about as much to show before it stalls."""
URGENT_BACKLOG_MS = 800
HIGH_LOSS = 0.10
"""draft-ietf-rmcat-gcc-02, 6: from here on a sender must send less. Below it repairs cover what is lost."""
SHORT = 0.9
"""An estimate below this share of what is being sent says that the path cannot carry it."""
PERSIST = 0.25
"""Seconds that trouble must last: one late keyframe is none."""
PERSIST_ALONE = 0.8
"""The same where nothing but an estimate speaks of it: on a busy device it drops for nothing, and grows again with the
next report, half a second later."""
SETTLE = 1.5
"""Seconds after a fall in which what waited may drain before it counts as trouble again."""
FALL_MARGIN = 0.85
"""Share of what the path carries that a rung may need, so that the backlog drains too."""
CLIMB_MARGIN = 1.15
"""How much more than a rung needs a path must have been seen to carry before it is climbed to."""
CALM = 2.0
"""Seconds without trouble before a climb that is known to fit."""
TRIAL_CALM = 5.0
"""The same before one that is only tried."""
TRIAL_PAUSE = 8.0
"""Seconds between two climbs that are only tried: a path that is a little too narrow takes as long to show it."""
TRIAL_WINDOW = 60.0
"""Seconds after a climb in which a fall says that the climb was wrong: a path that is a few per cent too narrow takes
half of it to fill a queue."""
FIRST_WAIT, LAST_WAIT = 5.0, 120.0
"""Seconds between a fall and the next try: they double with every try that fails, and begin anew after a good one."""
PROBE_TIME = 15.0
"""Seconds that a probe may take at most."""
PROBE_STALL = 2.0
"""Seconds within which what is proven must grow by a twentieth, else the probe has found the limit."""
PROBE_GROWTH = 1.05
PROBE_DROP = 0.9
"""An estimate that falls below this share of its best says that the probe is too much."""
PROBE_STEP = 1.4
"""How far above what is known a probe goes at a time: receivers grow their estimate up to 1.5 times what arrives."""


class Cause(StrEnum):
    """Why a viewer changes its rung."""

    BACKLOG = "backlog"
    LOSS = "loss"
    ESTIMATE = "estimate"
    FITS = "fits"
    TRIAL = "trial"
    SHED = "shed"
    """The rung is not made any more."""
    ASKED = "asked"
    """It is the rung that was asked for, and the viewer began on another one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A rendition that the viewer can take, and the bits a second that it needs; None while that is unknown."""

    name: str
    bits: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """The path of a viewer at monotonic time `now`. Rates are bits a second of everything together.

    `choices` come best first. `sent` is what is being sent, without a probe. `limit` is what the path carries where
    that is known, `proven` what it would carry at least. `backlog_ms` is media that waits to be sent, `loss` a share.
    `fastest` is the most that it has been seen to carry lately, for however short a time: no climb beyond it is tried.
    """

    now: float
    choices: Sequence[Choice]
    current: str
    sent: int | None = None
    limit: int | None = None
    proven: int | None = None
    backlog_ms: int = 0
    loss: float = 0.0
    can_probe: bool = False
    fastest: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The rung to be on. `cause` is None where it is the present one; `probe` is the rate to fill up to, 0 for none."""

    rung: str
    cause: Cause | None = None
    probe: int = 0


class Adaptation:
    """One viewer's. `decide` at least twice a second, and after every change of rung that was not its own `moved`."""

    __slots__ = (
        "_bad_since",
        "_climbed_at",
        "_good_since",
        "_probe_grew_at",
        "_probe_proven",
        "_probe_since",
        "_settled_at",
        "_try_at",
        "_wait",
    )

    def __init__(self, now: float) -> None:
        self._bad_since: float | None = None
        self._good_since: float | None = now
        self._climbed_at: float | None = None
        self._probe_since: float | None = None
        self._probe_grew_at = now
        self._probe_proven = 0
        self._settled_at = now + SETTLE
        self._try_at = now
        self._wait = FIRST_WAIT

    def __repr__(self) -> str:
        return f"<Adaptation good_since={self._good_since} try_at={self._try_at:.1f} wait={self._wait:g}>"

    @property
    def is_probing(self) -> bool:
        return self._probe_since is not None

    @property
    def is_alarmed(self) -> bool:
        """Is there trouble, that may be over at the next look?"""
        return self._bad_since is not None

    def moved(self, now: float) -> None:
        """It is on another rung from now on, for whatever reason: what waits belongs to the one before."""
        self._settled_at = now + SETTLE
        self._bad_since = None
        self._good_since = now

    def rest(self, now: float) -> None:
        """All is well, and there is nothing better: the same as `decide` then, for less."""
        self._note_success(now)
        self._bad_since = None
        self._good_since = now if self._good_since is None else self._good_since

    def decide(self, look: Look) -> Decision:
        """What is wanted now. Nothing is remembered as done: `moved` says so."""
        at = next((n for n, choice in enumerate(look.choices) if choice.name == look.current), None)
        if at is None:
            return Decision(look.current)
        self._note_success(look.now)
        cause = _trouble(look)
        if cause is None:
            self._bad_since = None
            self._good_since = look.now if self._good_since is None else self._good_since
            return self._climb(look, at)
        self._good_since = None
        if self._probe_since is not None:
            self._fail(look.now)  # the probe did it, so without it all may be well
            return Decision(look.current)
        return self._fall(look, at, cause)

    def _fall(self, look: Look, at: int, cause: Cause) -> Decision:
        self._bad_since = look.now if self._bad_since is None else self._bad_since
        is_urgent = look.backlog_ms >= URGENT_BACKLOG_MS or (_is_short(look) and look.loss >= HIGH_LOSS)
        persist = PERSIST_ALONE if cause is Cause.ESTIMATE else PERSIST
        if look.now < self._settled_at or (look.now - self._bad_since < persist and not is_urgent):
            return Decision(look.current)  # too early to tell
        below = look.choices[at + 1 :]
        if not below:
            return Decision(look.current)
        if self._climbed_at is not None:
            self._fail(look.now)
        self._try_at = max(self._try_at, look.now + self._wait)
        if look.limit is None:
            return Decision(below[0].name, cause)
        budget = look.limit * FALL_MARGIN
        fitting = (choice for choice in below if choice.bits is not None and choice.bits <= budget)
        return Decision(next(fitting, below[-1]).name, cause)

    def _climb(self, look: Look, at: int) -> Decision:
        above = look.choices[:at]
        assert self._good_since is not None
        calm = look.now - self._good_since
        if not above or look.now < self._try_at or calm < CALM:
            self._probe_since = None if not above else self._probe_since
            return Decision(look.current)
        proven = look.proven or 0
        fitting = (choice for choice in above if choice.bits is not None and choice.bits * CLIMB_MARGIN <= proven)
        best = next(fitting, None)
        if best is not None:
            return self._go_up(best, look.now, Cause.FITS)
        if look.can_probe and above[-1].bits is not None:
            return self._probe(look, above[-1].bits)
        needed = above[-1].bits
        is_hopeless = look.fastest is not None and needed is not None and look.fastest < needed
        if calm >= TRIAL_CALM and not is_hopeless:
            return self._go_up(above[-1], look.now, Cause.TRIAL)
        return Decision(look.current)

    def _go_up(self, choice: Choice, now: float, cause: Cause) -> Decision:
        self._probe_since = None
        self._climbed_at = now
        if cause is Cause.TRIAL:
            self._try_at = now + TRIAL_PAUSE
        return Decision(choice.name, cause)

    def _probe(self, look: Look, needed: int) -> Decision:
        """Fill the path up in steps, so that the estimate can grow to what the next rung needs."""
        proven = look.proven or 0
        if self._probe_since is None:
            self._probe_since = self._probe_grew_at = look.now
            self._probe_proven = proven
        elif proven > self._probe_proven * PROBE_GROWTH:
            self._probe_grew_at, self._probe_proven = look.now, proven
        elif proven < self._probe_proven * PROBE_DROP or self._probe_is_over(look.now, self._probe_since):
            self._fail(look.now)
            return Decision(look.current)
        known = max(proven, look.sent or 0)
        return Decision(look.current, probe=int(min(needed * CLIMB_MARGIN * CLIMB_MARGIN, known * PROBE_STEP)))

    def _probe_is_over(self, now: float, since: float) -> bool:
        return now - self._probe_grew_at > PROBE_STALL or now - since > PROBE_TIME

    def _fail(self, now: float) -> None:
        """A climb, or a probe for one, was too much: the next try comes later."""
        self._probe_since = self._climbed_at = None
        self._try_at = now + self._wait
        self._wait = min(2 * self._wait, LAST_WAIT)

    def _note_success(self, now: float) -> None:
        if self._climbed_at is not None and now - self._climbed_at > TRIAL_WINDOW:
            self._climbed_at = None
            self._wait = FIRST_WAIT


def _trouble(look: Look) -> Cause | None:
    if look.backlog_ms >= FALL_BACKLOG_MS:
        return Cause.BACKLOG
    if look.loss >= HIGH_LOSS:
        return Cause.ESTIMATE if _is_short(look) else Cause.LOSS
    return Cause.ESTIMATE if _is_short(look) else None


def _is_short(look: Look) -> bool:
    return look.limit is not None and look.sent is not None and look.limit < look.sent * SHORT

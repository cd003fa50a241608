"""What a sync run found: how far the displayed frame is from the event's `t`, and from the instant it was meant for."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures import Spread
from bench.sync_host import Captures
from bench.sync_probe import Fits

__all__ = ["Drawn", "EventFigures", "Firing", "Judge", "Judged", "Posted", "figures", "instants", "placement"]

EARLY_MS = 1.0
"""FLV counts whole milliseconds: less than one says nothing."""
RETURN_MS = 1000.0
"""After a page has come back from the background, its video catches up."""
ENOUGH = 0.99
"""Of the events that were there before their frame."""
OUTAGE_S = 0.15
"""An instant so long after a capture with no other one in between was in front of no camera."""
TICKS_PER_MS = 90


@dataclass(frozen=True, slots=True)
class Posted:
    """One event as it was sent, at Unix second `sent`. `how` is "now", "wall" or "t"; `wall` is the Unix second that
    was meant, None where a place was given instead; `t_ms` is where the server put it.
    """

    id: str
    how: str
    sent: float
    wall: float | None
    t_ms: float


@dataclass(frozen=True, slots=True)
class Firing:
    """One event as a page showed it. `code` is what was burned into the frame on the screen: host and pts.

    `fired_ms` and `arrived_ms` are Unix milliseconds; `t_ms` and `frame_ms` are media time: of the event, and of the
    frame that the page says it displayed. `by` is the page's reason to fire. `is_background` says that nobody could see
    it, or that the page had just come back and its picture was still the old one.
    """

    id: str
    t_ms: float | None
    code: tuple[int, int] | None
    fired_ms: float
    arrived_ms: float | None
    frame_ms: float | None
    by: str
    is_background: bool

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Firing:
        """From the recorder's JSON."""
        code, frame_t = raw["code"], raw["frameT"]
        return cls(
            id=raw["id"],
            t_ms=None if raw["t"] is None else raw["t"] / TICKS_PER_MS,
            code=None if code is None else (code[0], code[1]),
            fired_ms=raw["firedMs"],
            arrived_ms=raw["arrivedMs"],
            frame_ms=None if frame_t is None else frame_t / TICKS_PER_MS,
            by=raw["by"],
            is_background=raw["hidden"] or (raw["by"] == "timer" and _has_just_returned(raw)),
        )


@dataclass(frozen=True, slots=True)
class Drawn:
    """One frame that a page displayed: its media time, its burned code where it was read, and Unix milliseconds of its
    presentation and of its expected appearance on the screen. `count` is the browser's own count of frames.
    """

    t_ms: float
    code: tuple[int, int] | None
    presented_ms: float
    display_ms: float
    count: int

    @classmethod
    def of(cls, raw: Sequence[Any]) -> Drawn:
        """From the recorder's JSON."""
        t, number, pts, presented, display, count = raw
        return cls(t / TICKS_PER_MS, None if number is None else (number, pts), presented, display, count)


@dataclass(frozen=True, slots=True)
class Judged:
    """One event on one page. `verdict` is "on time", "late" or "early" for an event that was there before its frame.

    Else it is "came late": the player was past its `t` before it came. "background": nobody could see the page.
    "instant": it fired by wall clock. "unreadable": no bar code was on the screen. "missing": it never fired.

    `jumped` says that the frame it is late by was the first to be displayed at or past `t`: the picture itself left out
    what was between. `apart_ms` is the displayed frame minus `t`, `truth_ms` the displayed frame minus the instant that
    was meant, `ahead_ms` how long the event had been there, `said_ms` what the page says instead of `apart_ms`.
    """

    event: Posted
    verdict: str
    apart_ms: float | None = None
    truth_ms: float | None = None
    ahead_ms: float | None = None
    said_ms: float | None = None
    jumped: bool = False


class Judge:
    """Compares one page's firings with the ground truth. `allowed_ms` is one frame and one display refresh."""

    def __init__(self, fits: Fits, captures: Captures, drawn: Sequence[Drawn], *, allowed_ms: float) -> None:
        self._fits = fits
        self._captures = captures
        self._drawn = drawn
        self._presented = [frame.presented_ms for frame in drawn]
        self.allowed_ms = allowed_ms

    def judge(self, event: Posted, firing: Firing | None) -> Judged:
        if firing is None:
            return Judged(event, "missing")
        if firing.by == "wall":
            return Judged(event, "instant")
        if firing.is_background:
            return Judged(event, "background")
        shown = None if firing.code is None else self._fits.t_ms(*firing.code)
        if shown is None or firing.t_ms is None:
            return Judged(event, "unreadable")
        apart = shown - firing.t_ms
        meant = true_place(event, self._fits, self._captures)
        verdict = self._verdict(firing, apart)
        return Judged(
            event,
            verdict,
            apart,
            truth_ms=None if meant is None else shown - meant,
            ahead_ms=None if firing.arrived_ms is None else firing.fired_ms - firing.arrived_ms,
            said_ms=None if firing.frame_ms is None else firing.frame_ms - firing.t_ms,
            jumped=verdict == "late" and self._is_first_past(firing, shown),
        )

    def _verdict(self, firing: Firing, apart: float) -> str:
        if apart < -EARLY_MS:
            return "early"
        if self._came_late(firing):
            return "came late"
        return "on time" if apart <= self.allowed_ms else "late"

    def _is_first_past(self, firing: Firing, shown: float) -> bool:
        """Whether no frame between `t` and the one on the screen was displayed before.

        A page that stood still may be told of a frame when the next one is on the screen already. What fired with that
        frame was late without any other, and the frame had not been displayed before.
        """
        assert firing.t_ms is not None
        between = {frame.t_ms for frame in self._drawn if firing.t_ms <= frame.t_ms < shown - EARLY_MS}
        own = firing.frame_ms
        if firing.by == "frame" and own is not None and own - firing.t_ms > self.allowed_ms:
            between.discard(own)
        return not between

    def _came_late(self, firing: Firing) -> bool:
        """Whether the page was past `t` when the event came, by its own pictures: not by what it says of itself."""
        if firing.t_ms is None or not self._drawn:
            return False
        if self._drawn[0].t_ms > firing.t_ms:
            return True  # the viewer came after it
        if firing.arrived_ms is None:
            return False
        before = bisect_right(self._presented, firing.arrived_ms)
        return before > 0 and self._drawn[before - 1].t_ms >= firing.t_ms


def true_place(event: Posted, fits: Fits, captures: Captures) -> float | None:
    """Where the instant that was meant is on the timeline, by the code that was then in front of the camera; None in an
    outage.
    """
    if event.wall is None or (newest := captures.at(event.wall)) is None or event.wall - newest.wall > OUTAGE_S:
        return None
    punctual = captures.punctual(event.wall)
    at = None if punctual is None else fits.t_ms(punctual.number, punctual.code_ms)
    return None if at is None or punctual is None else at + 1000 * (event.wall - punctual.wall)


def placement(posted: Sequence[Posted], fits: Fits, captures: Captures) -> dict[str, list[float]]:
    """By how it was posted: where the server put each event, minus where its instant was. Milliseconds."""
    found: dict[str, list[float]] = {}
    for event in posted:
        meant = true_place(event, fits, captures)
        if meant is not None:
            found.setdefault(event.how, []).append(event.t_ms - meant)
    return found


def instants(pages: Sequence[Mapping[str, Firing]]) -> list[float]:
    """Of the events that every page fired by wall clock: from the first page to the last one. Milliseconds."""
    common = set.intersection(*(set(page) for page in pages)) if pages else set()
    fired = [[page[id_] for page in pages] for id_ in common]
    return [
        max(f.fired_ms for f in firings) - min(f.fired_ms for f in firings)
        for firings in fired
        if all(firing.by == "wall" for firing in firings)
    ]


@dataclass(frozen=True, slots=True)
class EventFigures:
    """Of one page: counts by verdict, `jumped` of the late ones whose frame was never displayed, and milliseconds.

    `displayed` is frame minus `t`, read back from the picture, of the events that were there before their frame; `said`
    is what the page says of the same, `ahead` how long they had been there, `truth` frame minus the instant that was
    meant; `came_late` is frame minus `t` of the others.
    """

    counts: dict[str, int]
    jumped: int
    twice: int
    by: dict[str, int]
    allowed_ms: float
    displayed: Spread
    earliest_ms: float | None
    said: Spread
    ahead: Spread
    least_ahead_ms: float | None
    truth: Spread
    came_late: Spread

    @property
    def share(self) -> float | None:
        """Of the events that could be on time, those that were; None where there was none."""
        judged = sum(self.counts.get(verdict, 0) for verdict in TIMELY)
        return self.counts.get("on time", 0) / judged if judged else None

    @property
    def is_good(self) -> bool:
        wrong = self.twice + sum(self.counts.get(verdict, 0) for verdict in ("early", "missing", "unreadable"))
        return not wrong and (self.share is None or self.share >= ENOUGH)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"share": self.share, "is_good": self.is_good}


TIMELY = ("on time", "late", "early")


def figures(judged: Sequence[Judged], firings: Sequence[Firing], allowed_ms: float) -> EventFigures:
    timely = [one for one in judged if one.verdict in TIMELY]
    apart = _values(one.apart_ms for one in timely)
    ahead = _values(one.ahead_ms for one in timely)
    return EventFigures(
        counts=dict(Counter(one.verdict for one in judged)),
        jumped=sum(one.jumped for one in judged),
        twice=len(firings) - len({firing.id for firing in firings}),
        by=dict(Counter(firing.by for firing in firings)),
        allowed_ms=allowed_ms,
        displayed=Spread.of(apart),
        earliest_ms=min(apart, default=None),
        said=Spread.of(_values(one.said_ms for one in timely)),
        ahead=Spread.of(ahead),
        least_ahead_ms=min(ahead, default=None),
        truth=Spread.of(_values(one.truth_ms for one in timely)),
        came_late=Spread.of(_values(one.apart_ms for one in judged if one.verdict == "came late")),
    )


def _has_just_returned(raw: Mapping[str, Any]) -> bool:
    return raw["visibleForMs"] is not None and raw["visibleForMs"] < RETURN_MS


def _values(found: Any) -> list[float]:
    return [value for value in found if value is not None]

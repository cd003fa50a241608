"""What one kind of media did lately: a bounded window of arrivals, and what can be computed from it."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

from media.ticks import TICKS_PER_MS, TICKS_PER_SECOND
from media.timeline import BACKWARD_LIMIT

__all__ = [
    "LAG_MEMORY",
    "MIN_SPAN",
    "WINDOW",
    "Arrival",
    "KeyframeRhythm",
    "KindWindow",
    "Lag",
    "Rhythm",
    "decode_delay",
    "lags",
    "media_bitrate",
    "pauses",
    "percentile",
    "reorder_depth",
    "rhythm",
]

WINDOW = 10.0
"""Seconds that rates are measured over: five groups of pictures of a good stream, and soon forgiven."""
MAX_ARRIVALS = 2400
"""Units kept per kind: the window at 240 pictures a second. More often than that, the window is shorter."""
MIN_SPAN = 1.0
"""Seconds of media that a rate needs: less measures only how the first units were queued."""
LAG_MEMORY = 60.0
"""Seconds over which the smallest lag counts. Long enough to see an upload that is 1 % too slow fall behind by half
a second, short enough that a clock which drifts by 500 ppm makes 30 ms of it."""
JUMP_STEP = 500 * TICKS_PER_MS
"""A forward step has to be this long to be looked at: less is a lost picture or two."""
JUMP_TOLERANCE = 0.5
"""Seconds by which media must be ahead of all media of the last minute, for its clock to have jumped. A hole after a
pause of the network is as long, but does not get ahead."""
STEP_TOLERANCE = 225
"""Ticks (2.5 ms) by which steps may differ: RTMP rounds each timestamp to a millisecond."""
STEP_SHARE = 0.2
"""The same as a share of the step, for encoders whose timer wobbles."""
MAX_REORDER = 16
"""Pictures that can be out of order: the largest decoded picture buffer (H.264, A.3.1)."""
AUTOMATIC_FRAMES = 250
"""x264's own keyframe interval, which OBS and FFmpeg use when none is set."""
MAX_KEYFRAMES = 12
"""Keyframes remembered: 24 s of a good stream, two minutes of a bad one."""


class Arrival(NamedTuple):
    """One unit: when it arrived (s), its timestamps (ticks) and payload bytes."""

    arrived: float
    dts: int
    pts: int
    size: int


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Steps between pictures. Rates are per second; `low` and `high` are the 5th and 95th percentile."""

    rate: float
    low: float
    high: float
    steps: int
    missing: int
    irregular: int

    @property
    def regularity(self) -> float:
        return 1 - (self.irregular + min(self.missing, self.steps - self.irregular)) / self.steps


@dataclass(frozen=True, slots=True)
class Lag:
    """In seconds: behind the best of the last minute, growth per second, and ahead of everything before."""

    behind: float
    growth: float
    ahead: float


class KindWindow:
    """`observe` each unit of one kind; the rest only reads. A jump of the clock begins a new segment."""

    __slots__ = (
        "_floors",
        "_in_segment",
        "arrivals",
        "backward_steps",
        "first_arrived",
        "first_dts",
        "jumps",
        "last_arrived",
        "last_dts",
        "recent_jumps",
    )

    def __init__(self) -> None:
        self.arrivals: deque[Arrival] = deque(maxlen=MAX_ARRIVALS)
        self.jumps = 0
        self.recent_jumps: deque[tuple[float, int]] = deque(maxlen=100)
        self.backward_steps = 0
        self.first_arrived: float | None = None
        self.first_dts = self.last_dts = 0
        self.last_arrived = 0.0
        self._in_segment = 0
        self._floors: deque[tuple[int, float]] = deque()

    def observe(self, arrival: Arrival) -> bool:
        """Note a unit that arrived no earlier than the one before it. True when its clock has jumped."""
        arrived, dts = arrival.arrived, arrival.dts
        lag = arrived - dts / TICKS_PER_SECOND
        jumped = False
        if self.first_arrived is None:
            self.first_arrived, self.first_dts = arrived, dts
        elif not 0 <= (step := dts - self.last_dts) <= JUMP_STEP:
            jumped = self._note_step(step, lag, arrived)
        self.last_dts, self.last_arrived = dts, arrived
        self._note_lag(int(arrived), lag)
        self._in_segment += 1
        arrivals = self.arrivals
        arrivals.append(arrival)
        while arrivals[0].arrived < arrived - WINDOW:
            arrivals.popleft()
        return jumped

    def recent(self, now: float) -> list[Arrival]:
        """What arrived within the window, whatever its clock did."""
        return [a for a in self.arrivals if a.arrived >= now - WINDOW]

    def segment(self, now: float) -> list[Arrival]:
        """What arrived within the window since the clock last jumped."""
        skipped = max(0, len(self.arrivals) - self._in_segment)
        return [a for a in islice(self.arrivals, skipped, None) if a.arrived >= now - WINDOW]

    def lag(self, now: float) -> Lag:
        """By the smallest lag of each second, which no jitter can fake."""
        floors = [(second, lag) for second, lag in self._floors if second >= now - LAG_MEMORY]
        if len(floors) < 5:
            return Lag(0.0, 0.0, 0.0)
        at = floors[-1][0]
        latest = min(lag for _, lag in floors[-3:])
        before = min((lag for second, lag in floors if second <= at - 5), default=latest)
        return Lag(latest - min(lag for _, lag in floors), _growth(floors), max(0.0, before - latest))

    def _note_step(self, step: int, lag: float, arrived: float) -> bool:
        ahead = step > 0 and lag < min(floor for _, floor in self._floors) - JUMP_TOLERANCE
        if not ahead and step >= -BACKWARD_LIMIT:
            self.backward_steps += step < 0
            return False
        self.jumps += 1
        self.recent_jumps.append((arrived, step))
        self._in_segment = 0
        self._floors.clear()
        return True

    def _note_lag(self, second: int, lag: float) -> None:
        floors = self._floors
        if not floors or floors[-1][0] != second:
            floors.append((second, lag))
            while floors[0][0] < second - LAG_MEMORY:
                floors.popleft()
        elif lag < floors[-1][1]:
            floors[-1] = (second, lag)


class KeyframeRhythm:
    """Where the keyframes are: (dts, number of the picture) of the last few."""

    __slots__ = ("_keyframes", "_last_dts", "_pictures")

    def __init__(self) -> None:
        self._keyframes: deque[tuple[int, int]] = deque(maxlen=MAX_KEYFRAMES)
        self._pictures = 0
        self._last_dts = 0

    def observe(self, dts: int, *, keyframe: bool, jumped: bool) -> None:
        if jumped:
            self._keyframes.clear()
        self._pictures += 1
        self._last_dts = dts
        if keyframe:
            self._keyframes.append((dts, self._pictures))

    @property
    def intervals(self) -> list[float]:
        """Seconds between keyframes, oldest first."""
        return [(b[0] - a[0]) / TICKS_PER_SECOND for a, b in pairwise(self._keyframes)]

    @property
    def running(self) -> float:
        """Seconds since the last keyframe."""
        return (self._last_dts - self._keyframes[-1][0]) / TICKS_PER_SECOND if self._keyframes else 0.0

    @property
    def is_automatic(self) -> bool:
        """Did the encoder choose? Then groups end after its own number of pictures, unless a scene ends before."""
        return any(abs(b[1] - a[1] - AUTOMATIC_FRAMES) <= 1 for a, b in pairwise(self._keyframes))


def rhythm(arrivals: Sequence[Arrival]) -> Rhythm | None:
    """How regular the steps are. None for less than MIN_SPAN of media."""
    steps = [step for a, b in pairwise(arrivals) if (step := b.dts - a.dts) > 0]
    if sum(steps) < MIN_SPAN * TICKS_PER_SECOND:
        return None
    median = statistics.median_low(steps)
    tolerance = max(STEP_TOLERANCE, STEP_SHARE * median)
    alike = [step for step in steps if abs(step - median) <= tolerance]
    frame = sum(alike) / len(alike)  # unlike the median, without the rounding to milliseconds
    missing = irregular = 0
    for step in steps:
        if abs(step - median) > tolerance:
            count = round(step / frame)
            if count >= 2 and abs(step - count * frame) <= tolerance:
                missing += count - 1
            else:
                irregular += 1
    rate = TICKS_PER_SECOND * len(steps) / sum(steps)
    low, high = (TICKS_PER_SECOND / percentile(steps, share) for share in (0.95, 0.05))
    return Rhythm(rate, low, high, len(steps), missing, irregular)


def media_bitrate(arrivals: Sequence[Arrival]) -> float | None:
    """bit/s as the encoder makes them, by its own clock. None for less than MIN_SPAN of media."""
    span = arrivals[-1].dts - arrivals[0].dts if arrivals else 0
    if span < MIN_SPAN * TICKS_PER_SECOND:
        return None
    return 8 * sum(a.size for a in arrivals[:-1]) * TICKS_PER_SECOND / span


def reorder_depth(arrivals: Sequence[Arrival]) -> int:
    """How many pictures at most come before one that is shown before them. Where dts step back, it counts anew."""
    depth = first = latest = 0
    for index, arrival in enumerate(arrivals):
        if index == 0 or arrival.dts <= arrivals[index - 1].dts:
            first, latest = index, arrival.pts
        elif arrival.pts < latest:
            before = arrivals[max(first, index - MAX_REORDER) : index]
            depth = max(depth, sum(other.pts > arrival.pts for other in before))
        latest = max(latest, arrival.pts)
    return depth


def decode_delay(arrivals: Sequence[Arrival]) -> int:
    """Ticks from a picture's turn in decoding to its turn on the screen: the n-th pts less the n-th dts."""
    if not arrivals:
        return 0
    return statistics.median_low(pts - a.dts for pts, a in zip(sorted(a.pts for a in arrivals), arrivals, strict=True))


def lags(arrivals: Sequence[Arrival]) -> list[float]:
    """Arrival minus timestamp, in seconds: its absolute value means nothing."""
    return [a.arrived - a.dts / TICKS_PER_SECOND for a in arrivals]


def pauses(arrivals: Sequence[Arrival]) -> list[float]:
    """Seconds between arrivals beyond what the media itself takes."""
    return [b.arrived - a.arrived - max(0, b.dts - a.dts) / TICKS_PER_SECOND for a, b in pairwise(arrivals)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values are; `values` must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _growth(floors: Sequence[tuple[int, float]]) -> float:
    """Seconds of lag gained each second, over the window."""
    recent = [floor for floor in floors if floor[0] >= floors[-1][0] - WINDOW]
    first, last = min(recent[:3], key=lambda f: f[1]), min(recent[-3:], key=lambda f: f[1])
    return (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else 0.0

"""The pictures that one viewer got, and what they say: holes in RTP time, broken GOPs, freezes, latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import NamedTuple

__all__ = ["Picture", "PictureFigures", "judge"]

TICKS_PER_S = 90_000  # RFC 6184, 8.2.1: H.264's RTP clock
LONGEST_FREEZE_FACTOR = 3
FREEZE_MARGIN_S = 0.150  # W3C webrtc-stats, freezeCount: over max(3 intervals, an interval and 150 ms)
DEFAULT_INTERVAL_S = 1 / 30


class Picture(NamedTuple):
    """One complete picture. Times are seconds of the local clock, `rtp_time` is unwrapped ticks of 90 kHz.

    `shown` says that nothing it depends on was lost: there was a keyframe, and no picture since has been missed.
    """

    at: float
    rtp_time: int
    keyframe: bool
    shown: bool
    sent_ns: int | None


@dataclass(slots=True)
class PictureFigures:
    """Of one viewer, or the sum over several. `holes` are steps of RTP time over one and a half usual intervals,
    `backward` steps that do not lead forward; a GOP is damaged when one of its pictures is not shown or is missing.

    `timestamp_error` is, per stamped picture, how far RTP time and the time of sending have come apart since the
    start, in seconds around their median.
    """

    pictures: int = 0
    shown: int = 0
    gops: int = 0
    damaged_gops: int = 0
    holes: int = 0
    backward: int = 0
    freezes: int = 0
    frozen: float = 0.0
    latency: list[float] = field(default_factory=list)
    timestamp_error: list[float] = field(default_factory=list)

    def add(self, other: PictureFigures) -> None:
        for name in ("pictures", "shown", "gops", "damaged_gops", "holes", "backward", "freezes", "frozen"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency += other.latency
        self.timestamp_error += other.timestamp_error


def judge(pictures: Sequence[Picture], begun: float, ended: float) -> PictureFigures:
    """What a viewer saw from `begun` to `ended`; the waits before the first and after the last picture count."""
    interval = _interval(pictures)
    steps = [after.rtp_time - before.rtp_time for before, after in pairwise(pictures)]
    gaps = [after.rtp_time - before.rtp_time > 1.5 * interval for before, after in pairwise(pictures)]
    freezes = _freezes([picture.at for picture in pictures if picture.shown], begun, ended, interval / TICKS_PER_S)
    gops, damaged = _gops(pictures, gaps)
    return PictureFigures(
        pictures=len(pictures),
        shown=sum(picture.shown for picture in pictures),
        gops=gops,
        damaged_gops=damaged,
        holes=sum(gaps),
        backward=sum(step <= 0 for step in steps),
        freezes=len(freezes),
        frozen=sum(freezes),
        latency=[picture.at - picture.sent_ns / 1e9 for picture in pictures if picture.sent_ns is not None],
        timestamp_error=_timestamp_error(pictures),
    )


def _interval(pictures: Sequence[Picture]) -> float:
    """The usual step of RTP time, in ticks."""
    steps = [after.rtp_time - before.rtp_time for before, after in pairwise(pictures)]
    forward = [step for step in steps if step > 0]
    return median(forward) if forward else DEFAULT_INTERVAL_S * TICKS_PER_S


def _freezes(shown: Sequence[float], begun: float, ended: float, interval: float) -> list[float]:
    """How long each took, the usual interval included."""
    most = max(LONGEST_FREEZE_FACTOR * interval, interval + FREEZE_MARGIN_S)
    return [gap for before, after in pairwise([begun, *shown, ended]) if (gap := after - before) > most]


def _gops(pictures: Sequence[Picture], gaps: Sequence[bool]) -> tuple[int, int]:
    """Those that begin among `pictures`, and how many of them are damaged; the last one may be cut short."""
    gops: list[bool] = []  # damaged
    for picture, gap in zip(pictures, [False, *gaps], strict=False):  # no pictures have no gaps
        if gap and gops:
            gops[-1] = True  # what is missing came before this picture, be it a keyframe
        if picture.keyframe:
            gops.append(False)
        if gops and not picture.shown:
            gops[-1] = True
    return len(gops), sum(gops)


def _timestamp_error(pictures: Sequence[Picture]) -> list[float]:
    offsets = [
        picture.rtp_time / TICKS_PER_S - picture.sent_ns / 1e9 for picture in pictures if picture.sent_ns is not None
    ]
    middle = median(offsets) if offsets else 0.0
    return [abs(offset - middle) for offset in offsets]

"""Where an RTP timestamp lies on a clock that sound and picture share: by sender reports, and by Streamer-Timeline."""

from __future__ import annotations

from collections.abc import Sequence

from bench.timeline_origin import TimelineOrigin

__all__ = ["ReportClock", "TimelineClock"]

NTP_UNIT = 1 << 32  # RFC 3550, 4: seconds since 1900 in 32.32 fixed point
_HALF, _WRAP = 1 << 31, 1 << 32


def _signed(difference: float) -> float:
    """The shortest way round."""
    return (difference + _HALF) % _WRAP - _HALF


class ReportClock:
    """By sender reports (RFC 3550, 6.4.1), each `(ntp, rtp_time)`: the line of least squares through all of them, as
    browsers draw it, or the nominal rate through a single one. ValueError without any.
    """

    def __init__(self, reports: Sequence[tuple[int, int]], rate: int) -> None:
        if not reports:
            raise ValueError("no sender report, so RTP time has no place on a clock")
        self._ntp, self._rtp = reports[-1]
        ticks = [_signed(rtp - self._rtp) for _, rtp in reports]
        seconds = [(ntp - self._ntp) / NTP_UNIT for ntp, _ in reports]
        self._per_tick, self._zero = _line(ticks, seconds, 1 / rate)

    def ms(self, rtp_time: float) -> float:
        """Milliseconds since 1900, at most half a wrap from the last report."""
        seconds = self._zero + self._per_tick * _signed(rtp_time - self._rtp)
        return 1000 * (self._ntp / NTP_UNIT + seconds)


class TimelineClock:
    """By `Streamer-Timeline`, whose `rtp` counts pictures: sound counts from the same origin at a rate of its own."""

    def __init__(self, origin: TimelineOrigin, rate: int) -> None:
        self._t_ms = origin.t / origin.ticks_per_ms
        self._rtp = origin.zero + round(origin.t * rate / (1000 * origin.ticks_per_ms))
        self._ticks_per_ms = rate / 1000

    def ms(self, rtp_time: float) -> float:
        """Milliseconds of media time."""
        return self._t_ms + _signed(rtp_time - self._rtp) / self._ticks_per_ms


def _line(xs: Sequence[float], ys: Sequence[float], usual: float) -> tuple[float, float]:
    """Slope and zero of the line of least squares; the usual slope where all `xs` are one."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else usual
    return slope, mean_y - slope * mean_x

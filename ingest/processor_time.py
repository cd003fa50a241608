"""How many of the processors that this process may use had nothing to do lately."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["IdleMeter"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_STAT = Path("/proc/stat")


class IdleMeter:
    """`read` now and then: idle cores since the last time. None the first time, and where nobody tells."""

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._before: tuple[float, float] | None = None

    @property
    def cores(self) -> int:
        """Processors that this process may use."""
        return len(os.sched_getaffinity(0))

    def read(self, now: float) -> float | None:
        """`now` is seconds of a monotonic clock."""
        idle = self._idle_seconds()
        before, self._before = self._before, (now, idle) if idle is not None else None
        if before is None or idle is None or now <= before[0]:
            return None
        return max(0.0, min(float(self.cores), (idle - before[1]) / (now - before[0])))

    def forget(self) -> None:
        """The next reading begins anew."""
        self._before = None

    def _idle_seconds(self) -> float | None:
        """proc(5): after the name of the processor: user, nice, system, idle, iowait."""
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        try:
            rows = [line.split() for line in self._stat.read_text().splitlines()]
        except OSError:
            return None
        values = [int(row[4]) + int(row[5]) for row in rows if row and row[0] in usable]
        return sum(values) / _TICKS_PER_SECOND if values else None

"""The two clocks a node reads: one for timers, one for the wall."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where time comes from, so that tests can bring their own."""

    def now(self) -> float:
        """Monotonic seconds: drives timers, means nothing outside this process."""

    def wall(self) -> float:
        """Seconds since the Unix epoch."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

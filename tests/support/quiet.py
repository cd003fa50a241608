"""Is this machine free enough for a test that measures seconds, and which of them were not the machine's?"""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["is_quiet", "own_time"]


def is_quiet() -> bool:
    """With more than this waiting for each processor, nobody can promise anybody a second."""
    return os.getloadavg()[0] < 2 * (os.cpu_count() or 1)


def own_time() -> float:
    """Seconds on a clock that stands still while this thread is ready to run and the machine gives it no processor.

    A thread that sleeps, blocks or computes for too long sees all of that on it.
    """
    # Linux, Documentation/scheduler/sched-stats.rst: time on a processor, time waiting for one, in nanoseconds
    waited = Path("/proc/thread-self/schedstat").read_text().split()[1]
    return time.monotonic() - int(waited) / 1e9

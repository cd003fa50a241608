"""Is this machine free enough for a test that measures seconds?"""

from __future__ import annotations

import os

__all__ = ["is_quiet"]


def is_quiet() -> bool:
    """With more than this waiting for each processor, nobody can promise anybody a second."""
    return os.getloadavg()[0] < 2 * (os.cpu_count() or 1)

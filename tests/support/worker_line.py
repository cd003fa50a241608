"""A stream's worker as its makers see it, without a process: `ingest.worker_line.WorkerLine` in one place."""

from __future__ import annotations

import itertools

__all__ = ["InlineLine"]


class InlineLine:
    """There from the start, and always admitted. A test adds `send`."""

    is_there = True

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def has_room(self) -> bool:
        return True

    def admit(self) -> bool:
        return True

    def begin(self) -> None:
        pass

    def rest(self) -> None:
        pass

    def next_number(self) -> int:
        return next(self._numbers)

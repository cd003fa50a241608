"""A stream's worker as its makers see it, without a process: `ingest.worker_line.WorkerLine` in one place."""

from __future__ import annotations

import itertools

from ingest.transcode_messages import Message

__all__ = ["InlineLine"]


class InlineLine:
    """There from the start, and always admitted. What is sent goes to `take`, which the test says."""

    is_there = True

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def take(self, message: Message) -> None:
        raise NotImplementedError

    def has_room(self) -> bool:
        return True

    def admit(self) -> bool:
        return True

    def begin(self) -> None:
        pass

    def rest(self) -> None:
        pass

    def send(self, message: Message) -> None:
        if self.is_there:
            self.take(message)

    def next_number(self) -> int:
        return next(self._numbers)

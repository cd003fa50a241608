"""The way from those who make something of a stream to the worker that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ingest.transcode_messages import Message

__all__ = ["Linger", "WorkerLine"]


class WorkerLine(Protocol):
    """A stream's worker as its makers see it: there or not, and when it comes they are told to `resume`."""

    @property
    def is_there(self) -> bool: ...

    def has_room(self) -> bool:
        """Could there be a worker for this stream?"""

    def admit(self) -> bool:
        """May there be one? Then it counts from now on."""

    def begin(self) -> None:
        """There is something to make: start one unless it is there."""

    def rest(self) -> None:
        """There may be nothing to make any more."""

    def send(self, message: Message) -> None:
        """To the worker that is there; nothing happens otherwise."""

    def next_number(self) -> int:
        """A number that was not given before: of a unit or a track."""


class Linger:
    """Calls `let_go` when what nobody wants has been made for `seconds`."""

    def __init__(self, seconds: float, let_go: Callable[[], None]) -> None:
        self._seconds = seconds
        self._let_go = let_go
        self._timer: asyncio.TimerHandle | None = None

    def want(self, is_needless: bool) -> None:
        """Is something made that nobody wants?"""
        if is_needless and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)
        elif not is_needless and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._let_go()

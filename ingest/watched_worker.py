"""A worker process that must answer for what it is given: silent for too long, it is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import Message
from ingest.worker_pool import WorkerPool
from ingest.worker_process import WorkerExit

__all__ = ["Debtor", "WatchedWorker"]

WATCH_INTERVAL = 0.1
"""Seconds between looks at a worker that owes answers."""
SILENT_LOOKS = 5
"""Looks without any word after which a worker hangs: with the restart, sound is back within a second. Counted in looks
and not in time, so that a stall of this process is not blamed on the worker. Doubled for one that hung before."""
STOPPED_LOOKS = 1
"""The same for one that was stopped by a signal: there is nothing to wait for."""
START_LOOKS = 50
"""The same for a worker that has not said anything yet: it takes 0.1 s, on a machine that swaps much more."""
MAX_DOUBLINGS = 3
MAX_STARVED_LOOKS = 20
"""Further looks for one that would answer if it got a processor: on a machine that is too busy, killing it makes the
machine busier."""


class Debtor(Protocol):
    """What the worker makes of one kind of media: `owed` answers are due, and `answers` have come in all.

    `patience` is the looks without an answer that are allowed while the worker speaks of other things.
    """

    patience: int

    @property
    def owed(self) -> int: ...

    @property
    def answers(self) -> int: ...


class Customer(Protocol):
    """Whom the worker works for."""

    @property
    def debtors(self) -> Sequence[Debtor]: ...

    def heard(self, message: Message) -> None: ...

    def lost(self, how: WorkerExit, *, seconds: float, was_ready: bool) -> None: ...


@dataclass(slots=True)
class _Debt:
    """How often in a row nothing had been answered since the last look."""

    debtor: Debtor
    answers: int = 0
    looks: int = 0

    def look(self, doublings: int) -> bool:
        """True when it has been too often."""
        answers = self.debtor.answers
        self.looks = self.looks + 1 if self.debtor.owed and answers == self.answers else 0
        self.answers = answers
        return self.looks > self.debtor.patience << doublings


class WatchedWorker:
    """Starts with the call. OSError when it cannot be started. `failures` is how many ended before it, in a row."""

    def __init__(self, customer: Customer, pool: WorkerPool, counters: TranscodeCounters, *, failures: int) -> None:
        self._customer: Customer | None = customer
        self._counters = counters
        self._doublings = min(failures, MAX_DOUBLINGS)
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._silent_looks = 0
        self._waited = 0
        self._used: float | None = None
        self._debts = [_Debt(debtor, debtor.answers) for debtor in customer.debtors]
        self._process = pool.take(self._heard, self._ended)
        self._watching = self._loop.call_later(WATCH_INTERVAL, self._look)

    def __repr__(self) -> str:
        return f"<WatchedWorker {self.pid} ready={self.is_ready}>"

    @property
    def is_ready(self) -> bool:
        return self._process.has_spoken

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Message) -> None:
        self._process.send(message)

    def stop(self) -> None:
        """Nobody needs it any more. It keeps nothing that would be worth a goodbye."""
        self._customer = None
        self._watching.cancel()
        self._process.kill()

    def _heard(self, message: Message) -> None:
        self._silent_looks = 0
        if self._customer is not None:
            self._customer.heard(message)

    def _look(self) -> None:
        if self._customer is None:
            return
        self._watching = self._loop.call_later(WATCH_INTERVAL, self._look)
        if self._hangs():
            self._watching.cancel()
            self._counters.hangs += 1
            self._process.kill()

    def _hangs(self) -> bool:
        owes = any(debt.debtor.owed for debt in self._debts)
        self._silent_looks = self._silent_looks + 1 if owes or not self.is_ready else 0
        if self._silent_looks > STOPPED_LOOKS and self._process.is_stopped:
            return True
        if not self.is_ready:
            return self._silent_looks > START_LOOKS
        stuck = [debt.look(self._doublings) for debt in self._debts]
        is_overdue = any(stuck) or self._silent_looks > SILENT_LOOKS << self._doublings
        if not is_overdue:
            self._waited, self._used = 0, None
            return False
        self._waited += 1
        return not self._is_starved()

    def _is_starved(self) -> bool:
        """Does it wait for a processor, and not we for it? A new one would wait as long."""
        wants, used = self._process.reading_thread()
        before, self._used = self._used, used
        gets_none = before is None or used - before < WATCH_INTERVAL / 2
        return wants and gets_none and self._waited < MAX_STARVED_LOOKS

    def _ended(self, how: WorkerExit) -> None:
        self._watching.cancel()
        if self._customer is not None:
            seconds = self._loop.time() - self._started_at
            self._customer.lost(how, seconds=seconds, was_ready=self.is_ready)

"""The worker processes of a node: those that work, and one that is ready to take over from any of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import Message
from ingest.worker_process import WorkerExit, WorkerProcess

__all__ = ["WorkerPool"]

logger = logging.getLogger(__name__)

SPARE_AFTER = 1.0
"""Seconds after a worker began, or a spare one ended, until the next spare one starts: it takes 0.2 s of processor time
that a stream which begins needs more."""
SPARE_AGAIN = 10.0
"""The same after a spare one that ended by itself."""


class WorkerPool:
    """`take` a process; `close`, then `wait_closed`, at the end.

    While any works a spare one waits. A worker is mostly missed on a machine that is too busy, and there a new process
    takes seconds to load its codecs; a spare one takes over at once.
    """

    def __init__(self, command: Sequence[str], counters: TranscodeCounters) -> None:
        self._command = command
        self._counters = counters
        self._working: dict[WorkerProcess, None] = {}
        self._all: dict[WorkerProcess, None] = {}
        self._spare: WorkerProcess | None = None
        self._starting: asyncio.TimerHandle | None = None
        self._is_spare_wanted = False
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<WorkerPool working={len(self._working)} all={len(self._all)}>"

    @property
    def working(self) -> int:
        """Processes that work for a stream."""
        return len(self._working)

    @property
    def spare_pid(self) -> int | None:
        """Of the one that waits."""
        return self._spare.pid if self._spare is not None else None

    @property
    def cpu_seconds(self) -> float:
        """What all of them have used since the node started."""
        return self._counters.ended_cpu_seconds + sum(process.cpu_seconds for process in self._all)

    def take(self, on_message: Callable[[Message], None], on_exit: Callable[[WorkerExit], None]) -> WorkerProcess:
        """One that works from now on. OSError when it cannot be started. See WorkerProcess for the arguments."""
        process, self._spare = self._spare, None
        if process is None or process.is_stopped:
            if process is not None:
                process.kill()
            process = self._start()
        process.on_message = on_message
        process.on_exit = lambda how: self._ended(process, how, on_exit)
        self._working[process] = None
        self._counters.starts += 1
        self._want_spare(SPARE_AFTER)
        return process

    def keep_spare(self, is_wanted: bool) -> None:
        """Is anything made that could need one?"""
        self._is_spare_wanted = is_wanted
        if is_wanted:
            self._want_spare(SPARE_AFTER)
            return
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.kill()

    def close(self) -> None:
        """Those that work are for their owners to stop."""
        self.keep_spare(False)

    async def wait_closed(self) -> None:
        """Until every process has been reaped."""
        while self._all:
            self._news.clear()
            await self._news.wait()

    def _start(self) -> WorkerProcess:
        process = WorkerProcess(self._command, on_message=lambda message: None, on_exit=lambda how: None)
        process.on_exit = lambda how: self._ended(process, how, self._spare_ended)
        self._all[process] = None
        return process

    def _ended(self, process: WorkerProcess, how: WorkerExit, tell: Callable[[WorkerExit], None]) -> None:
        self._all.pop(process, None)
        self._working.pop(process, None)
        self._counters.ended_cpu_seconds += how.cpu_seconds
        if process is self._spare:
            self._spare = None
        self._news.set()
        tell(how)

    def _spare_ended(self, how: WorkerExit) -> None:
        self._want_spare(SPARE_AGAIN)

    def _want_spare(self, seconds: float) -> None:
        if self._is_spare_wanted and self._spare is None:
            if self._starting is not None:
                self._starting.cancel()
            self._starting = asyncio.get_running_loop().call_later(seconds, self._start_spare)

    def _start_spare(self) -> None:
        self._starting = None
        try:
            self._spare = self._start()
        except OSError as exc:
            logger.warning("no spare worker can be started: %s", exc)
            self._want_spare(SPARE_AGAIN)

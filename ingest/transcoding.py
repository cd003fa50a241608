"""All the transcode workers of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ingest.transcode_limits import TranscodeCounters, TranscodeLimits
from ingest.transcoder import Transcoder
from ingest.worker_process import WORKER_COMMAND, WorkerExit, WorkerProcess
from media.stream import Stream

__all__ = ["Transcoding"]


class Transcoding:
    """All transcoders of a node. `watch` every new stream (`Hub.on_open`); `close`, then `wait_closed`, at the end."""

    def __init__(self, limits: TranscodeLimits | None = None, command: Sequence[str] = WORKER_COMMAND) -> None:
        self.limits = limits or TranscodeLimits()
        self.command = command
        self.counters = TranscodeCounters()
        self.active: dict[Transcoder, None] = {}
        self._processes: dict[WorkerProcess, None] = {}
        self._all_ended = asyncio.Event()
        self._is_closed = False

    @property
    def workers(self) -> int:
        """Processes that exist now."""
        return len(self._processes)

    @property
    def cpu_seconds(self) -> float:
        """What all workers have used since the node started."""
        return self.counters.ended_cpu_seconds + sum(process.cpu_seconds for process in self._processes)

    def watch(self, stream: Stream) -> None:
        """Make what the stream's readers want, from now on."""
        transcoder = Transcoder(stream, self)
        stream.on_demand, stream.could_make = transcoder.update, transcoder.could_make
        transcoder.update(stream)

    def close(self) -> None:
        """Stop all workers, and start none any more."""
        self._is_closed = True
        for transcoder in tuple(self.active):
            transcoder.close()

    async def wait_closed(self) -> None:
        """Until every process has been reaped."""
        while self._processes:
            self._all_ended.clear()
            await self._all_ended.wait()

    # What follows is for the transcoders.

    def has_room(self, transcoder: Transcoder) -> bool:
        """Could it run a worker?"""
        return transcoder in self.active or not (self._is_closed or len(self.active) >= self.limits.max_workers)

    def admit(self, transcoder: Transcoder) -> bool:
        """May it run a worker? Then it counts from now on."""
        if not self.has_room(transcoder):
            self.counters.refused += 1
            return False
        self.active[transcoder] = None
        return True

    def discard(self, transcoder: Transcoder) -> None:
        """It runs none any more."""
        self.active.pop(transcoder, None)

    def started(self, process: WorkerProcess) -> None:
        self._processes[process] = None
        self.counters.starts += 1

    def ended(self, process: WorkerProcess, how: WorkerExit) -> None:
        self._processes.pop(process, None)
        self.counters.ended_cpu_seconds += how.cpu_seconds
        if not self._processes:
            self._all_ended.set()

"""All the transcode workers of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from ingest.health_ladder import ladder_findings
from ingest.health_values import Finding
from ingest.overload import Overload
from ingest.processor_time import IdleMeter
from ingest.transcode_limits import TranscodeCounters, TranscodeLimits
from ingest.transcoder import Transcoder
from ingest.worker_pool import WorkerPool
from ingest.worker_process import WORKER_COMMAND
from media.rung import Rung
from media.stream import Stream, StreamState

__all__ = ["LOOK_INTERVAL", "Transcoding"]

LOOK_INTERVAL = 1.0
"""Seconds between looks at what all rungs of the machine cost and how late they are."""


def _no_rungs(room: str) -> tuple[Rung, ...]:
    return ()


def _readers(stream: Stream, rendition: str) -> int:
    return stream.demand[rendition]


class Transcoding:
    """All transcoders of a node. `watch` every new stream (`Hub.on_open`); `close`, then `wait_closed`, at the end.

    `rungs_of` is the ladder of a room. `viewers_of` may be set to who knows how many people watch a rendition; its
    readers are counted otherwise. What is too much for the machine is decided here, for all streams together.
    """

    def __init__(
        self,
        limits: TranscodeLimits | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        *,
        rungs_of: Callable[[str], tuple[Rung, ...]] = _no_rungs,
    ) -> None:
        self.limits = limits or TranscodeLimits()
        self.rungs_of = rungs_of
        self.viewers_of: Callable[[Stream, str], int] = _readers
        self.overload = Overload()
        self.counters = TranscodeCounters()
        self.pool = WorkerPool(command, self.counters)
        self.active: dict[Transcoder, None] = {}
        self._watched: dict[str, Transcoder] = {}
        self._is_closed = False
        self._idle = IdleMeter()
        self._looking: asyncio.TimerHandle | None = None

    @property
    def rungs_made(self) -> int:
        """Encoders of pictures that are wanted now, on all streams."""
        return sum(len(transcoder.picture.rungs) for transcoder in self.active)

    def of(self, stream: Stream) -> Transcoder | None:
        """The stream's, None for one that is not watched."""
        transcoder = self._watched.get(stream.key)
        return transcoder if transcoder is not None and transcoder.stream is stream else None

    def findings(self, stream: Stream) -> Iterator[Finding]:
        """What is wrong with the stream's rungs."""
        transcoder = self.of(stream)
        if transcoder is not None:
            yield from ladder_findings(transcoder.picture.state)

    @property
    def transcoders(self) -> Iterator[Transcoder]:
        """Those of all streams that have not ended."""
        return (t for t in self._watched.values() if t.stream.state is not StreamState.ENDED)

    @property
    def workers(self) -> int:
        """Processes that work now."""
        return self.pool.working

    @property
    def cpu_seconds(self) -> float:
        """What all workers have used since the node started."""
        return self.pool.cpu_seconds

    def watch(self, stream: Stream) -> None:
        """Make what the stream's readers want, from now on."""
        self._watched = {t.stream.key: t for t in self.transcoders}
        transcoder = self._watched[stream.key] = Transcoder(stream, self)
        stream.on_demand, stream.could_make = transcoder.update, transcoder.could_make
        stream.could_encode = transcoder.could_encode
        stream.on_rung_keyframe_wanted = transcoder.picture.force_keyframe
        transcoder.update(stream)

    def close(self) -> None:
        """Stop all workers, and start none any more."""
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
        for transcoder in tuple(self.active):
            transcoder.close()
        self.pool.close()

    async def wait_closed(self) -> None:
        """Until every process has been reaped."""
        await self.pool.wait_closed()

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
        self.pool.keep_spare(True)
        return True

    def discard(self, transcoder: Transcoder) -> None:
        """It runs none any more."""
        self.active.pop(transcoder, None)
        if not self.active:
            self.pool.keep_spare(False)

    def forget(self, transcoder: Transcoder) -> None:
        """Its stream is over. What was learned of a later one of the same room stays."""
        if self.of(transcoder.stream) is transcoder:
            self.overload.forget(transcoder.stream.key)

    def watch_load(self) -> None:
        """A rung is made from now on."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        """While rungs are made: is it too much?"""
        self._looking = None
        if self._is_closed or not self.rungs_made:
            self.overload.rest()
            self._idle.forget()
            return
        self.watch_load()
        now = asyncio.get_running_loop().time()
        loads = [load for transcoder in self.active for load in transcoder.picture.loads()]
        decision = self.overload.judge(now, loads, idle=self._idle.read(now), cores=self._idle.cores)
        if decision is not None:
            for transcoder in tuple(self.active):
                if transcoder.stream.key == decision.load.room:
                    transcoder.picture.remedy(decision.load.name, decision.remedy)

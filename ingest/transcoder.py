"""What one stream's viewers want and its publisher does not send, sound and rungs, from one worker process."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ingest.overload import Overload
from ingest.picture_maker import PictureMaker
from ingest.sound_maker import SoundMaker
from ingest.transcode_limits import TranscodeCounters, TranscodeLimits
from ingest.transcode_messages import Done, MadeUnit, Message, Note, Ready
from ingest.watched_worker import Debtor, WatchedWorker
from ingest.worker_pool import WorkerPool
from ingest.worker_process import WorkerExit
from media.rung import Rendition, Rung
from media.stream import Stream, StreamState
from media.ticks import to_ms
from media.track import Track

__all__ = ["Transcoder"]

logger = logging.getLogger(__name__)

BACK_OFF_FIRST, BACK_OFF_MAX = 0.1, 10.0
"""Seconds before the second restart in a row and before any later one; the first restart is at once."""
MISSED_AFTER = 1.5
"""Seconds without a worker that works, after one was lost, until viewers of its rungs are sent elsewhere."""
HEALTHY_AFTER = 10.0
"""Seconds after which a worker that ends is the first one to do so again."""


class Owner(Protocol):
    """Who knows all transcoders of the node: `Transcoding`."""

    pool: WorkerPool
    limits: TranscodeLimits
    counters: TranscodeCounters
    overload: Overload
    rungs_of: Callable[[str], tuple[Rung, ...]]
    viewers_of: Callable[[Stream, str], int]

    @property
    def rungs_made(self) -> int: ...

    def watch_load(self) -> None: ...

    def has_room(self, transcoder: Transcoder) -> bool: ...

    def admit(self, transcoder: Transcoder) -> bool: ...

    def discard(self, transcoder: Transcoder) -> None: ...

    def forget(self, transcoder: Transcoder) -> None: ...


class Transcoder:
    """One stream's: it has a worker while `sound` or `picture` has something to make, and replaces one that ends."""

    def __init__(self, stream: Stream, owner: Owner) -> None:
        self.stream = stream
        self._owner = owner
        self._numbers = itertools.count(1)
        self._worker: WatchedWorker | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._missing: asyncio.TimerHandle | None = None
        self._failures = 0
        self.sound = SoundMaker(stream, self, owner.counters, linger=owner.limits.linger)
        self.picture = PictureMaker(stream, self, owner)

    def __repr__(self) -> str:
        return f"<Transcoder of {self.stream.key}: {self.sound}, {self.picture}, {self._worker}>"

    @property
    def pid(self) -> int | None:
        """The worker's."""
        return self._worker.pid if self._worker else None

    @property
    def waiting_ms(self) -> int:
        """How much sound the worker has not answered for."""
        return to_ms(self.sound.waiting)

    def update(self, stream: Stream) -> None:
        """Stream.on_demand."""
        if stream.state is StreamState.ENDED:
            self.close()
            self._owner.forget(self)
            return
        self.sound.update()
        self.picture.update()

    def could_make(self, codec: str) -> Track | None:
        """Stream.could_make."""
        return self.sound.could_make(codec)

    def could_encode(self) -> tuple[Rendition, ...]:
        """Stream.could_encode."""
        return self.picture.could_encode()

    def close(self) -> None:
        """Stop reading and making."""
        self.sound.close()
        self.picture.close()

    # WorkerLine

    @property
    def is_there(self) -> bool:
        return self._worker is not None

    def has_room(self) -> bool:
        return self._owner.has_room(self)

    def admit(self) -> bool:
        return self._owner.admit(self)

    def begin(self) -> None:
        if self._worker is None and self._retry is None:
            self._start()

    def rest(self) -> None:
        if self.sound.is_busy or self.picture.is_busy:
            return
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._found()
        self._failures = 0
        self._owner.discard(self)

    def send(self, message: Message) -> None:
        if self._worker is not None:
            self._worker.send(message)

    def next_number(self) -> int:
        return next(self._numbers)

    # The worker

    @property
    def debtors(self) -> tuple[Debtor, ...]:
        return self.sound, self.picture

    def heard(self, message: Message) -> None:
        """From the worker that is at work."""
        match message:
            case Note():
                logger.log(message.level, "worker: %s", message.text, extra={"room": self.stream.key})
            case MadeUnit() if self.sound.makes(message.output):
                self.sound.heard(message)
            case Done() if not self.picture.owes(message.seq):
                if self.sound.owes(message.seq):
                    self.sound.heard(message)
            case Ready():
                self._found()
            case _:
                self.picture.heard(message)

    def lost(self, how: WorkerExit, *, seconds: float, was_ready: bool) -> None:
        """The worker that was at work has ended by itself, or had to be ended."""
        self._worker = None
        self._owner.counters.restarts += 1
        if seconds >= HEALTHY_AFTER:
            self._failures = 0
        logger.warning(
            "the worker ended after %.1f s with %s, %d ms of sound wait",
            *(seconds, how, self.waiting_ms),
            extra={"room": self.stream.key},
        )
        if was_ready:
            self.sound.blame()
        self.picture.blame(was_ready=was_ready)
        if self.sound.is_busy or self.picture.is_busy:
            self._try_later()

    def _start(self) -> None:
        self._retry = None
        if self.stream.state is StreamState.ENDED:
            return
        try:
            self._worker = WatchedWorker(self, self._owner.pool, self._owner.counters, failures=self._failures)
        except OSError as exc:
            logger.error("no worker can be started: %s", exc, extra={"room": self.stream.key})
            # soon: a reader may be in the middle of attaching
            asyncio.get_running_loop().call_soon(partial(self.picture.blame, was_ready=False))
            self._try_later()
            return
        if self._worker.is_ready:
            self._found()
        self.sound.resume()
        self.picture.resume()

    def _try_later(self) -> None:
        delay = 0.0 if self._failures == 0 else min(BACK_OFF_MAX, BACK_OFF_FIRST * 2 ** (self._failures - 1))
        self._failures += 1
        loop = asyncio.get_running_loop()
        self._retry = loop.call_later(delay, self._start)
        self._missing = self._missing or loop.call_later(MISSED_AFTER, self._miss)

    def _miss(self) -> None:
        """It is said again while sound alone waits for one."""
        self._missing = asyncio.get_running_loop().call_later(MISSED_AFTER, self._miss)
        self.picture.miss_worker()

    def _found(self) -> None:
        """There is one that works, or none is needed."""
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None

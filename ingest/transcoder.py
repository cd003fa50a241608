"""The sound of a stream in the codecs that viewers want and the publisher does not send, from one worker process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ingest.audio_target import TARGETS, AudioTarget, channels_of, track_of
from ingest.source_queue import Pending, SourceQueue
from ingest.transcode_limits import TranscodeCounters, TranscodeLimits
from ingest.transcode_messages import (
    Done,
    MadeUnit,
    Message,
    Note,
    Ready,
    SourceTrack,
    SourceUnit,
    StartOutput,
    StopOutput,
)
from ingest.worker_process import WorkerExit, WorkerProcess
from media.event import Event
from media.reasons import Reason
from media.stream import Stream, StreamState
from media.ticks import Ticks, to_ms
from media.track import SOURCE, Track
from media.unit import AccessUnit
from wire.codecs.aac import AacConfig
from wire.codecs.opus import OpusConfig

__all__ = ["Transcoder"]

logger = logging.getLogger(__name__)

MAX_UNIT = 1024 * 1024
"""Bytes of one unit of sound: a second of eight channels of PCM is less."""
MAX_HELD = 0.04
"""Seconds that a unit waits for another one to share the worker's wake-up: enough for two that follow each other."""
WATCH_INTERVAL = 0.1
"""Seconds between looks at a worker that owes answers."""
HANG_LOOKS = 5
"""Looks without an answer after which a worker hangs: with the restart, sound is back within a second. Counted in looks
and not in time, so that a stall of this process is not blamed on the worker. Doubled for one that hung before."""
START_LOOKS = 50
"""The same for a worker that has not said anything yet: it takes 0.1 s, on a machine that swaps much more."""
MAX_DOUBLINGS = 3
BACK_OFF_FIRST, BACK_OFF_MAX = 0.1, 10.0
"""Seconds before the second restart in a row and before any later one; the first restart is at once."""
HEALTHY_AFTER = 10.0
"""Seconds after which a worker that ends is the first one to do so again."""


class Owner(Protocol):
    """Who knows all transcoders of the node: `Transcoding`."""

    command: Sequence[str]
    limits: TranscodeLimits
    counters: TranscodeCounters

    def has_room(self, transcoder: Transcoder) -> bool: ...

    def admit(self, transcoder: Transcoder) -> bool: ...

    def discard(self, transcoder: Transcoder) -> None: ...

    def started(self, process: WorkerProcess) -> None: ...

    def ended(self, process: WorkerProcess, how: WorkerExit) -> None: ...


@dataclass(slots=True)
class _Output:
    """One codec that is being made, and the dts at which its next unit is due. `tracks` has one for each run."""

    target: AudioTarget
    channels: int
    tracks: list[Track]
    due: int | None

    @property
    def track(self) -> Track:
        return self.tracks[-1]

    def start(self) -> StartOutput:
        return StartOutput(self.target.codec, len(self.tracks) - 1, self.channels, self.due)


class Transcoder:
    """One stream's. Attached to it, with a worker, while somebody wants what the publisher does not send.

    Units wait here until the worker says that it is through with them. A new worker is given all that the old one left,
    with a little before it, and counts its own units in step with those that were made: nobody sees the seam.
    """

    def __init__(self, stream: Stream, owner: Owner) -> None:
        self._stream = stream
        self._owner = owner
        self._counters = owner.counters
        self._outputs: dict[str, _Output] = {}
        self._tracks: dict[tuple[str, int], Track] = {}
        self._due: dict[str, int] = {}
        self._source: Track | None = None
        self._is_attached = False
        self._linger: asyncio.TimerHandle | None = None
        self._queue = SourceQueue(owner.counters.drops)
        self._worker: _Worker | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._holding: asyncio.TimerHandle | None = None
        self._failures = 0

    def __repr__(self) -> str:
        return f"<Transcoder of {self._stream.key} makes {','.join(self._outputs) or 'nothing'} with {self._worker}>"

    @property
    def pid(self) -> int | None:
        """The worker's."""
        return self._worker.process.pid if self._worker else None

    @property
    def waiting_ms(self) -> int:
        """How much sound the worker has not answered for."""
        return to_ms(self._queue.span)

    def update(self, stream: Stream) -> None:
        """Stream.on_demand: readers came or went, or the publisher's sound has another codec."""
        wanted = {codec for codec in stream.unmet_audio if codec in TARGETS}
        source = stream.source_audio
        if source is not None and source.codec in self._outputs:
            self._drop_output(source.codec)
        for codec in wanted - set(self._outputs):
            self._add_output(TARGETS[codec])
        if wanted == set(self._outputs):
            self._stop_lingering()
        elif self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(self._owner.limits.linger, self._let_go)

    def could_make(self, codec: str) -> Track | None:
        """Stream.could_make: the track that a reader of this codec would get, None when it cannot be made now."""
        source, target = self._stream.source_audio, TARGETS.get(codec)
        if source is None or target is None or not self._owner.has_room(self):
            return None
        return self._track(target, channels_of(source))

    def close(self) -> None:
        """Stop reading and making."""
        self._stop_lingering()
        for codec in tuple(self._outputs):
            self._drop_output(codec)

    # Reader

    def push(self, unit: AccessUnit) -> None:
        output = self._outputs.get(unit.track.codec)
        if output is not None:
            # kept for joiners from a publisher who sent this codec: what is made continues it
            output.due = unit.dts + output.target.frame_ticks
            return
        if unit.size > MAX_UNIT:
            self._counters.drops["too large"] += 1
            return
        if unit.track is not self._source:
            self._adopt(unit.track)
        self._counters.units_in += 1
        self._queue.put(unit)
        self._offer()

    def on_event(self, event: Event) -> None:
        """Events are not sound."""

    def end(self, reason: Reason) -> None:
        """The stream has let go of this reader; when only its sound has ended, more may come."""
        self._is_attached = False
        self.close()

    # Demand

    def _add_output(self, target: AudioTarget) -> None:
        source = self._stream.source_audio
        if source is None or self._stream.state is StreamState.ENDED or not self._owner.admit(self):
            return
        channels = channels_of(source)
        track = self._track(target, channels)
        output = self._outputs[target.codec] = _Output(target, channels, [track], self._due.get(target.codec))
        self._stream.promise(track)
        if self._worker is not None:
            self._worker.process.send(output.start())
        if not self._is_attached:
            self._is_attached = True
            logger.info("sound is made in %s", target.codec, extra={"room": self._stream.key})
            # what the newest group of pictures has kept comes with this call
            self._queue.admit_all()
            self._stream.attach(self, video=None, audio=SOURCE)
            self._queue.bound()
            self._start()

    def _track(self, target: AudioTarget, channels: int) -> Track:
        """The same for as long as the stream lasts, so that readers see no change in a new worker."""
        return self._tracks.setdefault((target.codec, channels), track_of(target, channels))

    def _drop_output(self, codec: str) -> None:
        output = self._outputs.pop(codec)
        self._stream.withdraw(output.track)
        if self._outputs:
            if self._worker is not None:
                self._worker.process.send(StopOutput(codec))
            return
        logger.info("no more sound is made", extra={"room": self._stream.key})
        self._stop()

    def _let_go(self) -> None:
        self._linger = None
        for codec in set(self._outputs) - self._stream.unmet_audio:
            self._drop_output(codec)

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _adopt(self, track: Track) -> None:
        """The publisher's sound has another configuration: a new decoder, and new tracks when the channels change."""
        self._source = track
        for output in self._outputs.values():
            channels = channels_of(track)
            if output.channels != channels:
                output.channels = channels
                output.tracks.append(self._track(output.target, channels))
                self._stream.promise(output.track)
                if self._worker is not None:
                    self._worker.process.send(output.start())

    # The worker

    def _start(self) -> None:
        self._retry = None
        try:
            self._worker = _Worker(self, self._owner)
        except OSError as exc:
            logger.error("no worker can be started: %s", exc, extra={"room": self._stream.key})
            self._try_later()
            return
        for output in self._outputs.values():
            self._worker.process.send(output.start())
        self._queue.rewind()
        self._pump()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        self._failures = 0
        self._queue.clear()
        self._source = None
        self._owner.discard(self)
        if self._is_attached:
            self._is_attached = False
            self._stream.detach(self)

    def _offer(self) -> None:
        """Give the worker what is worth waking it for, now or a little later."""
        if self._queue.is_due:
            self._pump()
        elif self._queue.waiting and self._holding is None and self._worker is not None:
            self._holding = asyncio.get_running_loop().call_later(MAX_HELD, self._pump)

    def _pump(self) -> None:
        """Give the worker as much as it may have on its way."""
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        worker = self._worker
        if worker is None:
            return
        while (unit := self._queue.next()) is not None:
            worker.send(unit)

    def _try_later(self) -> None:
        delay = 0.0 if self._failures == 0 else min(BACK_OFF_MAX, BACK_OFF_FIRST * 2 ** (self._failures - 1))
        self._failures += 1
        self._retry = asyncio.get_running_loop().call_later(delay, self._start)

    # What the worker says

    @property
    def patience(self) -> int:
        """Looks without an answer that are allowed."""
        return HANG_LOOKS << min(self._failures, MAX_DOUBLINGS)

    @property
    def owed(self) -> int:
        """Answers that the worker owes."""
        return self._queue.on_the_way

    def heard(self, message: Message) -> None:
        """From the worker that is at work."""
        match message:
            case MadeUnit():
                self._publish(message)
            case Done():
                if message.problem:
                    self._counters.drops["undecodable"] += 1
                    logger.debug("unit %d: %s", message.seq, message.problem, extra={"room": self._stream.key})
                self._queue.done(message.seq)
                self._offer()
            case Note():
                logger.log(message.level, "worker: %s", message.text, extra={"room": self._stream.key})

    def lost(self, how: WorkerExit, *, seconds: float, was_ready: bool) -> None:
        """The worker that was at work has ended by itself, or had to be ended."""
        self._worker = None
        self._counters.restarts += 1
        if seconds >= HEALTHY_AFTER:
            self._failures = 0
        if was_ready:
            self._queue.blame()
        logger.warning(
            "the worker ended after %.1f s with %s, %d ms of sound wait",
            *(seconds, how, self.waiting_ms),
            extra={"room": self._stream.key},
        )
        self._try_later()

    def _publish(self, made: MadeUnit) -> None:
        output = self._outputs.get(made.output)
        reason = _misfit(output, made)
        if output is None or reason:
            self._counters.drops[reason] += 1
            return
        output.due = self._due[made.output] = made.dts + output.target.frame_ticks
        self._counters.units_out += 1
        # what is still coming of an earlier run has that run's configuration
        track = output.tracks[made.run]
        self._stream.deliver(AccessUnit(track, Ticks(made.dts), Ticks(made.pts), made.keyframe, made.parts))


class _Worker:
    """One process, watched: it must answer for what it is given."""

    def __init__(self, transcoder: Transcoder, owner: Owner) -> None:
        self._transcoder: Transcoder | None = transcoder
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._is_ready = False
        self._silent_looks = 0
        self._track: Track | None = None
        self._track_number = 0
        self.process = WorkerProcess(owner.command, on_message=self._heard, on_exit=self._ended)
        owner.started(self.process)
        self._watching = self._loop.call_later(WATCH_INTERVAL, self._look)

    def __repr__(self) -> str:
        return f"<_Worker {self.process.pid} ready={self._is_ready}>"

    def send(self, pending: Pending) -> None:
        """A unit, after its track where that is new."""
        unit = pending.unit
        if unit.track is not self._track:
            self._track = unit.track
            self._track_number += 1
            self.process.send(_source_track(self._track_number, unit.track))
        message = SourceUnit(pending.seq, self._track_number, unit.dts, unit.pts, unit.keyframe, unit.parts)
        self.process.send(message)

    def stop(self) -> None:
        """Nobody needs it any more. It keeps nothing that would be worth a goodbye."""
        self._transcoder = None
        self._watching.cancel()
        self.process.kill()

    def _heard(self, message: Message) -> None:
        self._silent_looks = 0
        self._is_ready = self._is_ready or isinstance(message, Ready)
        if self._transcoder is not None:
            self._transcoder.heard(message)

    def _look(self) -> None:
        transcoder = self._transcoder
        if transcoder is None:
            return
        self._watching = self._loop.call_later(WATCH_INTERVAL, self._look)
        self._silent_looks = self._silent_looks + 1 if transcoder.owed or not self._is_ready else 0
        if self._silent_looks > (transcoder.patience if self._is_ready else START_LOOKS):
            self._watching.cancel()
            self._owner.counters.hangs += 1
            self.process.kill()

    def _ended(self, how: WorkerExit) -> None:
        self._watching.cancel()
        self._owner.ended(self.process, how)
        if self._transcoder is not None:
            seconds = self._loop.time() - self._started_at
            self._transcoder.lost(how, seconds=seconds, was_ready=self._is_ready)


def _misfit(output: _Output | None, made: MadeUnit) -> str:
    """Why this unit cannot be published, else ''."""
    if output is None or not 0 <= made.run < len(output.tracks):
        return "unwanted"
    if made.dts < 0:
        return "before the start"
    # A new worker warms up with sound that was made before; half a unit is far from any rounding.
    if output.due is not None and made.dts < output.due - output.target.frame_ticks // 2:
        return "overlap"
    return ""


def _source_track(number: int, track: Track) -> SourceTrack:
    config = track.config
    rate, channels = getattr(config, "sample_rate", None), getattr(config, "channels", None)
    return SourceTrack(number, track.codec, _record(config), rate or 0, channels or 0)


def _record(config: object) -> bytes:
    """What a decoder is set up with. Opus' pre-skip is for files: cut here, all later sound would move."""
    if isinstance(config, AacConfig):
        return config.asc
    return replace(config, pre_skip=0).to_head() if isinstance(config, OpusConfig) else b""

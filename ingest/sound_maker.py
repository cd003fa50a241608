"""The sound of a stream in the codecs that viewers want and the publisher does not send."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from ingest.audio_target import TARGETS, AudioTarget, channels_of, track_of
from ingest.source_queue import Pending, SourceQueue
from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import Done, MadeUnit, Message, SourceTrack, SourceUnit, StartOutput, StopOutput
from ingest.worker_line import Linger, WorkerLine
from media.event import Event
from media.reasons import Reason
from media.stream import Stream, StreamState
from media.ticks import Ticks
from media.track import SOURCE, Track
from media.unit import AccessUnit
from wire.codecs.aac import AacConfig
from wire.codecs.opus import OpusConfig

__all__ = ["SoundMaker"]

logger = logging.getLogger(__name__)

MAX_UNIT = 1024 * 1024
"""Bytes of one unit of sound: a second of eight channels of PCM is less."""
MAX_HELD = 0.04
"""Seconds that a unit waits for another one to share the worker's wake-up: enough for two that follow each other."""
PATIENCE = 5
"""Looks without an answer, while the worker speaks of pictures, after which its sound hangs."""


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


class SoundMaker:
    """One stream's. Reads its sound while somebody wants what the publisher does not send.

    Units wait here until the worker says that it is through with them. A new worker is given all that the old one left,
    with a little before it, and counts its own units in step with those that were made: nobody sees the seam.
    """

    patience = PATIENCE

    def __init__(self, stream: Stream, line: WorkerLine, counters: TranscodeCounters, *, linger: float) -> None:
        self._stream = stream
        self._line = line
        self._counters = counters
        self._outputs: dict[str, _Output] = {}
        self._tracks: dict[tuple[str, int], Track] = {}
        self._due: dict[str, int] = {}
        self._source: Track | None = None
        self._sent: Track | None = None
        self._sent_number = 0
        self._is_attached = False
        self._linger = Linger(linger, self._let_go)
        self._queue = SourceQueue(counters.drops, line.next_number)
        self._holding: asyncio.TimerHandle | None = None
        self.answers = 0

    def __repr__(self) -> str:
        return f"<SoundMaker of {self._stream.key} makes {','.join(self._outputs) or 'nothing'}>"

    @property
    def is_busy(self) -> bool:
        return bool(self._outputs)

    @property
    def owed(self) -> int:
        """Answers that the worker owes."""
        return self._queue.on_the_way

    @property
    def waiting(self) -> int:
        """Ticks of sound that the worker has not answered for."""
        return self._queue.span

    def update(self) -> None:
        """Readers came or went, or the publisher's sound has another codec."""
        wanted = {codec for codec in self._stream.unmet_audio if codec in TARGETS}
        source = self._stream.source_audio
        if source is not None and source.codec in self._outputs:
            self._drop_output(source.codec)
        for codec in wanted - set(self._outputs):
            self._add_output(TARGETS[codec])
        self._linger.want(wanted != set(self._outputs))

    def could_make(self, codec: str) -> Track | None:
        """The track that a reader of this codec would get, None when it cannot be made now."""
        source, target = self._stream.source_audio, TARGETS.get(codec)
        if source is None or target is None or not self._line.has_room():
            return None
        return self._track(target, channels_of(source))

    def close(self) -> None:
        """Stop reading and making."""
        self._linger.want(False)
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
        if source is None or self._stream.state is StreamState.ENDED or not self._line.admit():
            return
        channels = channels_of(source)
        track = self._track(target, channels)
        output = self._outputs[target.codec] = _Output(target, channels, [track], self._due.get(target.codec))
        self._stream.promise(track)
        self._line.send(output.start())
        if not self._is_attached:
            self._is_attached = True
            logger.info("sound is made in %s", target.codec, extra={"room": self._stream.key})
            # what the newest group of pictures has kept comes with this call
            self._queue.admit_all()
            self._stream.attach(self, video=None, audio=SOURCE)
            self._queue.bound()
            self._line.begin()

    def _track(self, target: AudioTarget, channels: int) -> Track:
        """The same for as long as the stream lasts, so that readers see no change in a new worker."""
        return self._tracks.setdefault((target.codec, channels), track_of(target, channels))

    def _drop_output(self, codec: str) -> None:
        output = self._outputs.pop(codec)
        self._stream.withdraw(output.track)
        if self._outputs:
            self._line.send(StopOutput(codec))
            return
        logger.info("no more sound is made", extra={"room": self._stream.key})
        self._line.send(StopOutput(codec))
        self._stop()

    def _let_go(self) -> None:
        for codec in set(self._outputs) - self._stream.unmet_audio:
            self._drop_output(codec)

    def _stop(self) -> None:
        self._stop_holding()
        self._queue.clear()
        self._source = self._sent = None
        if self._is_attached:
            self._is_attached = False
            self._stream.detach(self)
        self._line.rest()

    def _adopt(self, track: Track) -> None:
        """The publisher's sound has another configuration: a new decoder, and new tracks when the channels change."""
        self._source = track
        for output in self._outputs.values():
            channels = channels_of(track)
            if output.channels != channels:
                output.channels = channels
                output.tracks.append(self._track(output.target, channels))
                self._stream.promise(output.track)
                self._line.send(output.start())

    # The worker

    def resume(self) -> None:
        """A new worker is there."""
        self._sent = None
        for output in self._outputs.values():
            self._line.send(output.start())
        self._queue.rewind()
        self._pump()

    def blame(self) -> None:
        """A worker that had begun to work has died."""
        self._queue.blame()

    def _offer(self) -> None:
        """Give the worker what is worth waking it for, now or a little later."""
        if self._queue.is_due:
            self._pump()
        elif self._queue.waiting and self._holding is None and self._line.is_there:
            self._holding = asyncio.get_running_loop().call_later(MAX_HELD, self._pump)

    def _pump(self) -> None:
        """Give the worker as much as it may have on its way."""
        self._stop_holding()
        if self._line.is_there:
            while (pending := self._queue.next()) is not None:
                self._send(pending)

    def _stop_holding(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    def _send(self, pending: Pending) -> None:
        """A unit, after its track where that is new."""
        unit = pending.unit
        if unit.track is not self._sent:
            self._sent, self._sent_number = unit.track, self._line.next_number()
            self._line.send(_source_track(self._sent_number, unit.track))
        message = SourceUnit(pending.seq, self._sent_number, unit.dts, unit.pts, unit.keyframe, unit.parts)
        self._line.send(message)

    # What the worker says

    def makes(self, output: str) -> bool:
        """Is this one of its outputs?"""
        return output in TARGETS

    def owes(self, seq: int) -> bool:
        """Has the worker this unit?"""
        return self._queue.has_sent(seq)

    def heard(self, message: Message) -> None:
        """About sound, from the worker that is at work."""
        match message:
            case MadeUnit():
                self._publish(message)
            case Done():
                self.answers += 1
                if message.problem:
                    self._counters.drops["undecodable"] += 1
                    logger.debug("unit %d: %s", message.seq, message.problem, extra={"room": self._stream.key})
                self._queue.done(message.seq)
                self._offer()

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

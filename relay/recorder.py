"""Recordings: the source of a stream, as FLV on the stream's own timeline."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from media import flv_muxer
from media.event import Event
from media.reasons import Reason
from media.stream import Stream, StreamState
from media.ticks import to_ms
from media.track import Track
from media.unit import AccessUnit
from relay.recording_file import RecorderCounters, RecordingFile, RecordingWriter, WriterLimits, create
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config

__all__ = ["Recorder", "RecorderLimits", "Recording"]

logger = logging.getLogger(__name__)

# Stricter than it would have to be: what names a file has no room for a separator, a parent or an option.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RecorderLimits:
    """`queue_bytes` may wait for the disk per recording: two of the largest groups that a stream keeps for joiners.

    `close_timeout` is how many seconds the end of the node waits for the disk.
    """

    queue_bytes: int = 64 * 1024 * 1024
    close_timeout: float = 5.0
    writer: WriterLimits = field(default_factory=WriterLimits)


@dataclass(slots=True)
class _Part:
    """What the file being written promised in its prelude."""

    video: Track | None
    audio: Track | None
    first_dts: int
    wrap: int
    last_ms: int

    def carries(self, unit: AccessUnit) -> bool:
        promised = self.video if unit.is_video else self.audio
        fits = promised is unit.track or _is_alike(unit.track, promised)
        return fits and flv_muxer.wrap_of(unit.dts) == self.wrap

    def is_sync_point(self, unit: AccessUnit) -> bool:
        return self.video is None or (unit.is_video and unit.keyframe)

    def adopt(self, track: Track) -> bool:
        """Use `track` from now on. True when its configuration is new, so that it has to be written."""
        promised = self.video if track.is_video else self.audio
        if promised is track:
            return False
        if track.is_video:
            self.video = track
        else:
            self.audio = track
        return promised is None or promised.config != track.config


class Recording:
    """A reader of one stream, for as long as the broadcast lasts. Made by `Recorder.record`.

    An outage makes no new file, since the timeline goes on. A change of codec, picture size or kinds, and the wrap of
    FLV time, begin a new part: with the newest group of pictures as far as it fits, so that each part plays by itself,
    and the pictures of that group may be in both parts.
    """

    def __init__(self, recorder: Recorder, stream: Stream, file: RecordingFile) -> None:
        self.stream = stream
        self.file = file
        self.skips = 0
        self._recorder = recorder
        self._part: _Part | None = None
        self._replayed: list[AccessUnit] | None = None
        self._early: list[AccessUnit] = []
        self._early_bytes = 0
        self._waits_for_sync = False
        self._is_skipping = False
        self._closed: Future[None] | None = None
        self._attach(self._begin_newest if stream.is_ready else self._early.extend)

    def __repr__(self) -> str:
        return f"<Recording {self.stream.key} {self.stream.epoch} {self.file!r} active={self.is_active}>"

    @property
    def is_active(self) -> bool:
        return self._closed is None and self.file.failure is None

    def push(self, unit: AccessUnit) -> None:
        """Reader: the next unit."""
        if self._replayed is not None:
            self._replayed.append(unit)
        elif self.file.failure is not None:
            self.stop()
        elif self._part is not None and unit.dts < self._part.first_dts:
            self._recorder.counters.drops["before keyframe"] += 1
        elif self._part is not None and self._part.carries(unit):
            self._record(self._part, unit)
        elif self._waits_for_sync:
            self._begin_newest([unit])
        elif self._part is not None:
            self._attach(self._begin_newest)
        else:
            self._wait_for_tracks(unit)

    def on_event(self, event: Event) -> None:
        """Reader: a commerce event, in the file where it became known. Its own time is in its body."""
        if self._part is None:
            self._recorder.counters.drops["event without media"] += 1
        elif self.file.queued > 2 * self._recorder.limits.queue_bytes:
            self._recorder.counters.drops["event, slow disk"] += 1
        elif self.file.failure is None:
            self.file.put(flv_muxer.event_tag(event, self._part.last_ms))

    def end(self, reason: Reason) -> None:
        """Reader: the broadcast is over, or its kinds of media have changed and it goes on."""
        if self.stream.state is StreamState.ENDED:
            self.stop()
        elif self._closed is None:
            if self._early:
                self._begin_early()
            self._attach(self._begin_newest)

    def stop(self) -> Future[None]:
        """Read no more. The future is done when the file is closed."""
        if self._closed is None:
            if self._early and self.stream.is_ready:
                self._begin_early()  # it ends with the unit that made the tracks known
            self._closed = self.file.mark(closes=True)
            self.stream.detach(self)
            self._recorder.forget(self, self._closed)
            logger.info("recording of broadcast %s ends", self.stream.epoch, extra={"room": self.stream.key})
        return self._closed

    async def flush(self) -> None:
        """Everything recorded until now is in the file when this returns."""
        written = self._closed or self.file.mark(closes=False)
        self._recorder.hurry()
        await asyncio.wrap_future(written)

    async def close(self) -> bool:
        """Stop, and wait for the file to be closed. False when the disk did not answer in time."""
        return await self._recorder.wait([self.stop()])

    def _attach(self, use: Callable[[list[AccessUnit]], None]) -> None:
        """(Re)attach, and use the newest group of pictures."""
        self.stream.detach(self)
        self._replayed = []
        try:
            self.stream.attach(self)
        finally:
            units, self._replayed = self._replayed, None
        use(units)

    def _wait_for_tracks(self, unit: AccessUnit) -> None:
        """The prelude names all tracks, which takes up to a second to know: until then, keep everything."""
        if self._early and self.stream.is_ready:
            self._begin_early()
            self.push(unit)
            return
        self._early.append(unit)
        self._early_bytes += unit.size
        if self._early_bytes > self._recorder.limits.queue_bytes:
            self._leave_out_early(len(self._early))
            self._early, self._early_bytes = [], 0

    def _begin_early(self) -> None:
        """The first part has the tracks of that time: the next unit may bring others already."""
        units, self._early = self._early, []
        video, audio = (next((u.track for u in reversed(units) if u.is_video is kind), None) for kind in (True, False))
        self._leave_out_early(sum(not _is_alike(u.track, video if u.is_video else audio) for u in units))
        self._begin(units, video, audio)

    def _leave_out_early(self, count: int) -> None:
        if count:
            self._recorder.counters.drops["before the tracks are known"] += count

    def _begin_newest(self, units: list[AccessUnit]) -> None:
        self._begin(units, self.stream.source_video, self.stream.source_audio)

    def _begin(self, units: list[AccessUnit], video: Track | None, audio: Track | None) -> None:
        """A new part from the first sync point in `units` on; where there is none, the next one will do."""
        self._part = None
        part = _Part(video, audio, 0, 0, 0)
        part.wrap = flv_muxer.wrap_of(units[-1].dts) if units else 0
        fitting = [unit for unit in units if part.carries(unit)]
        start = next((index for index, unit in enumerate(fitting) if part.is_sync_point(unit)), None)
        self._waits_for_sync = start is None or not self._has_room(half=True)
        if start is None or self._waits_for_sync:
            self._recorder.counters.drops["before keyframe"] += len(units[-1:])
            return
        self._part, self._is_skipping = part, False
        part.first_dts = fitting[start].dts
        part.last_ms = to_ms(part.first_dts)
        self.file.begin_part(self._prelude(part))
        for unit in fitting[start:]:
            if unit.dts >= part.first_dts:
                self._record(part, unit)

    def _prelude(self, part: _Part) -> bytes:
        rate = self.stream.frame_rate
        return flv_muxer.prelude(part.video, part.audio, epoch=self.stream.epoch, base_ms=part.last_ms, frame_rate=rate)

    def _record(self, part: _Part, unit: AccessUnit) -> None:
        if not self._may_write(part, unit):
            self._recorder.counters.drops["slow disk"] += 1
            return
        part.last_ms = max(part.last_ms, to_ms(unit.dts))
        if part.adopt(unit.track):
            self.file.put(flv_muxer.config_tag(unit.track, part.last_ms))
        self.file.put(flv_muxer.unit_tag(unit))

    def _may_write(self, part: _Part, unit: AccessUnit) -> bool:
        """When the disk is too slow, the rest of the group is left out and then whole groups, until there is room."""
        if self._is_skipping:
            self._is_skipping = not (part.is_sync_point(unit) and self._has_room(half=True))
        elif not self._has_room():
            self._is_skipping = True
            self.skips += 1
            self._recorder.counters.skips += 1
            self._recorder.hurry()
            logger.warning(
                "recording of broadcast %s skips, %d bytes wait for the disk",
                *(self.stream.epoch, self.file.queued),
                extra={"room": self.stream.key},
            )
        return not self._is_skipping

    def _has_room(self, *, half: bool = False) -> bool:
        limit = self._recorder.limits.queue_bytes
        return self.file.queued <= (limit // 2 if half else limit)


class Recorder:
    """Records streams to `directory/ROOM/EPOCH.flv`. All its methods belong to the event loop and never touch the disk.

    `open_new` makes a file and returns its descriptor.
    """

    def __init__(
        self, directory: Path, limits: RecorderLimits | None = None, *, open_new: Callable[[Path], int] = create
    ) -> None:
        self.counters = RecorderCounters()
        self.limits = limits or RecorderLimits()
        self._directory = directory
        self._open_new = open_new
        self._writer = RecordingWriter(self.limits.writer.interval)
        self._recordings: dict[str, Recording] = {}
        self._closing: set[Future[None]] = set()
        self._is_closed = False

    @property
    def recordings(self) -> list[Recording]:
        """Those that are being written."""
        return list(self._recordings.values())

    def record(self, stream: Stream) -> Recording:
        """Record from the newest group of pictures on. The same stream twice is the same recording.

        ValueError when its names cannot name a file, RuntimeError after `close`.
        """
        if self._is_closed:
            raise RuntimeError("the recorder is closed")
        recording = self._recordings.get(stream.key)
        if recording is not None and recording.is_active and recording.stream is stream:
            return recording
        folder = self._directory / _checked(stream.key, "room")
        file = RecordingFile(folder, _checked(stream.epoch, "epoch"), self.counters, self.limits.writer, self._open_new)
        if recording is not None:
            recording.stop()
        self._writer.add(file)
        recording = self._recordings[stream.key] = Recording(self, stream, file)
        logger.info("recording broadcast %s to %s", stream.epoch, folder, extra={"room": stream.key})
        return recording

    async def close(self) -> bool:
        """End every recording and wait for the disk, but not for ever. False when it did not answer in time."""
        self._is_closed = True
        for recording in self.recordings:
            recording.stop()
        return await self.wait(list(self._closing))

    # What follows is for recordings.

    def forget(self, recording: Recording, closed: Future[None]) -> None:
        """It has stopped, and its file is being closed."""
        if self._recordings.get(recording.stream.key) is recording:
            del self._recordings[recording.stream.key]
        self._closing = {future for future in self._closing if not future.done()} | {closed}

    def hurry(self) -> None:
        """Have the writer look at its queues now."""
        self._writer.wake()

    async def wait(self, futures: list[Future[None]]) -> bool:
        """Until all are done, or the disk takes longer than `close_timeout`."""
        if not futures:
            return True
        self._writer.wake()
        _, pending = await asyncio.wait([asyncio.wrap_future(f) for f in futures], timeout=self.limits.close_timeout)
        if pending:
            logger.error(
                "%d recordings were not closed within %g s, the disk hangs", len(pending), self.limits.close_timeout
            )
        return not pending


def _checked(name: str, what: str) -> str:
    """Rooms and epochs become file names: neither may lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a {what} named {name[:200]!r} cannot name a file")
    return name


def _is_alike(one: Track, other: Track | None) -> bool:
    """Can both be in one file? Parameter sets may change within it, the picture's format may not."""
    if other is None or one.codec is not other.codec:
        return False
    return one.config == other.config or (_format(one) is not None and _format(one) == _format(other))


def _format(track: Track) -> tuple[str, int, int, int, int] | None:
    config = track.config
    if not isinstance(config, (H264Config, H265Config)):
        return None
    return config.codec_string, config.width, config.height, config.chroma_format_idc, config.bit_depth

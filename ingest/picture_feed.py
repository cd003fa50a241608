"""The source picture on its way to the worker: from what is kept for joiners to the newest, and on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ingest.picture_queue import PictureQueue
from ingest.rung_faults import RungFaults, is_same_picture
from ingest.source_queue import Pending
from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import MAX_PARTS, LiveFrom, SourceTrack, SourceUnit
from ingest.worker_line import WorkerLine
from media.event import Event
from media.reasons import Reason
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND, to_ms
from media.track import SOURCE, Track
from media.unit import AccessUnit
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config

__all__ = ["PictureFeed"]

MAX_UNIT = 15 * 1024 * 1024
"""Bytes of one picture: with its envelope it still fits into a message."""
CAUGHT_UP = 100 * 90
"""Ticks behind the newest picture at which a decoder that began in the past has arrived."""
MAX_FILL = 2 * TICKS_PER_SECOND
"""Ticks of pictures that were missed with a worker and are made up for, since players stall at a hole in the times: it
is found out and replaced in about one second. After more than that only the newest counts."""
FILL_WINDOW = 250 * 90
"""Ticks of pictures that are under way meanwhile: encoders that get more than they can take leave pictures out."""
FILL_SECONDS = 2.0
"""After so long the machine is too busy to make up for anything."""


class PictureFeed:
    """A Reader of one stream's source. It reads from `join` to `leave`, or to `on_end`.

    A decoder begins with the group of pictures that is kept for joiners: what is past is only decoded, and the first
    picture that is encoded is the newest one, or the first one that was missed with an old worker. `slowest` tells how
    far the slowest rung has come, in ticks of pts, None where none has made anything.
    """

    def __init__(
        self,
        stream: Stream,
        line: WorkerLine,
        counters: TranscodeCounters,
        faults: RungFaults,
        *,
        slowest: Callable[[], int | None],
        on_end: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._line = line
        self._counters = counters
        self._faults = faults
        self._slowest = slowest
        self._on_end = on_end
        self._now = asyncio.get_running_loop().time
        self._queue = PictureQueue(counters.drops, line.next_number)
        self._sent_number = 0
        self._is_joining = False
        self._live_from: int | None = None
        self._fill_from: int | None = None
        self._fill_until = 0.0
        self.is_attached = False
        self.is_catching_up = False
        self.sent: Track | None = None
        self.group: int | None = None

    def __repr__(self) -> str:
        return f"<PictureFeed of {self._stream.key} {self._queue}>"

    @property
    def owed(self) -> int:
        """Answers that the worker owes."""
        return self._queue.on_the_way

    @property
    def behind_ms(self) -> int:
        """How much waits for the decoder, though it should have caught up."""
        return 0 if self.is_catching_up else to_ms(self._queue.behind)

    @property
    def is_filling(self) -> bool:
        """Are missed pictures made up for?"""
        return self._fill_from is not None

    def join(self, fill_from: int | None = None) -> None:
        """Read the source, beginning with what is kept for joiners. Pictures from `fill_from` on were missed."""
        if self.is_attached:
            self._stream.detach(self)
        self._queue.clear()
        self.sent = self._live_from = None
        self.is_catching_up, self._fill_from = True, fill_from
        self._fill_until = self._now() + FILL_SECONDS
        self.is_attached = self._is_joining = True
        self._queue.admit_all()
        self._stream.attach(self, video=SOURCE, audio=None)
        self._queue.bound()
        self._is_joining = False
        if self._queue.needs_keyframe:
            self._fill_from = None
        self.pump()

    def leave(self) -> None:
        """Read no more."""
        self._queue.clear()
        self.sent = None
        if self.is_attached:
            self.is_attached = False
            self._stream.detach(self)

    def pump(self) -> None:
        """Give the worker as much as it may have on its way."""
        if not self._line.is_there:
            return
        self._give_up_far()
        while self._may_send() and (pending := self._queue.next()) is not None:
            self._send(pending)
        if self._queue.needs_keyframe:
            self._stream.request_keyframe(SOURCE)

    def owes(self, seq: int) -> bool:
        """Has the worker this unit?"""
        return self._queue.has_sent(seq)

    def answered(self, seq: int) -> None:
        """The worker is through with this unit."""
        self._queue.done(seq)
        self.pump()

    # Reader

    def push(self, unit: AccessUnit) -> None:
        if not self._line.is_there:
            return  # a new worker begins with what is kept for joiners
        self._counters.pictures_in += 1
        if not self._is_usable(unit):
            return
        self._queue.put(unit)
        if not self._is_joining:
            self.pump()

    def on_event(self, event: Event) -> None:
        """Events are not pictures."""

    def end(self, reason: Reason) -> None:
        """The stream has let go of this reader; when only its picture has ended, more may come."""
        self.is_attached = False
        self._on_end()

    def _is_usable(self, unit: AccessUnit) -> bool:
        if unit.size > MAX_UNIT or len(unit.parts) > MAX_PARTS or not unit.parts:
            self._counters.drops["too large" if unit.parts else "empty"] += 1
            return False
        if self._faults.is_poisonous(unit):
            self._counters.drops["poison"] += 1
            self._fill_from = None
            return False
        return True

    @property
    def _reached(self) -> int | None:
        """The pts up to which missed pictures have been made up for, None where none are."""
        return None if self._fill_from is None else max(self._slowest() or 0, self._fill_from)

    def _give_up_far(self) -> None:
        """A rung that is made again after minutes has missed nothing, and a slow decoder may never arrive."""
        reached = self._reached
        if reached is not None and self._queue.newest_pts - reached > MAX_FILL:
            self._fill_from = None

    def _may_send(self) -> bool:
        """While missed pictures are made up for, the slowest rung says how fast."""
        unit, reached = self._queue.upcoming, self._reached
        if unit is None or reached is None:
            return True
        return unit.pts <= reached + FILL_WINDOW or self._now() > self._fill_until

    def _send(self, pending: Pending) -> None:
        """A unit, after its track where that is new, and after where to begin in earnest."""
        unit = pending.unit
        if self.sent is None or not is_same_picture(unit.track, self.sent):
            self._sent_number = self._line.next_number()
            self._line.send(SourceTrack(self._sent_number, unit.track.codec, _record(unit.track), 0, 0))
        self.sent = unit.track
        if unit.keyframe:
            self.group = unit.dts
        if self.is_catching_up:
            self._set_live()
        message = SourceUnit(pending.seq, self._sent_number, unit.dts, unit.pts, unit.keyframe, unit.parts)
        self._line.send(message)

    def _set_live(self) -> None:
        """While a decoder is still in the past, what is newest moves on."""
        live = self._queue.newest_pts if self._fill_from is None else self._fill_from
        if live != self._live_from:
            self._live_from = live
            self._line.send(LiveFrom(live))
        self.is_catching_up = self._queue.behind > CAUGHT_UP
        if not self.is_catching_up:
            self._fill_from = None


def _record(track: Track) -> bytes:
    config = track.config
    if isinstance(config, H265Config):
        return config.to_hvcc()
    return config.to_avcc() if isinstance(config, H264Config) else b""

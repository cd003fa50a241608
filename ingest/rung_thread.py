"""One rung: a queue of scaled pictures, and the thread that encodes them."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import av

from ingest.codec_threads import CodecThreads
from ingest.transcode_messages import MadeTrack, MadeUnit, RungFailed, RungLags, RungReport, StartRung
from ingest.video_encoder import Encoded, EncoderFailed, VideoEncoder
from ingest.video_shape import Colour
from media.ticks import TICKS_PER_MS, to_ms

__all__ = ["MAX_PROBLEM", "Picture", "RungThread"]

MAX_QUEUED = 32
"""Pictures that wait for an encoder, whatever their times: at 240 a second a time alone would be a lot of memory."""
MAX_UNBOUNDED = 4
"""The same where the graph waits instead of leaving pictures out: enough to keep every thread busy."""
MAX_FAILURES = 3
"""Errors without a picture between them, after which an encoder is given up."""
MAX_PROBLEM = 500
"""Characters of a problem that are told."""
RATE_TOLERANCE = 1.25
"""Times the frame rate that an encoder was begun with, or that part of it, which it bears: it has counted on so many
pictures a second, so twice as many are twice the bits."""
LAG_INTERVAL = 1.0
"""Seconds between two words about a lag."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A raw picture of the rung's size. `released_at` is when the unit came that made it ready, monotonic seconds."""

    frame: av.VideoFrame
    pts: int
    dts: int
    keyframe: bool
    colour: Colour
    frame_rate: float
    released_at: float


class RungThread:
    """Encodes what is `put`, in order, until `stop`. Nothing is emitted after `stop` has returned.

    With a `max_lag_ms` pictures are left out when so much of them waits, but no keyframe; without one, `put` waits.
    """

    def __init__(
        self,
        rung: StartRung,
        emit: Callable[[MadeUnit | MadeTrack | RungFailed | RungLags], None],
        *,
        max_lag_ms: int | None,
        on_broken: Callable[[], None],
    ) -> None:
        self.rung = rung
        self._emit = emit
        self._max_lag_ms = max_lag_ms
        self._on_broken = on_broken
        self._queue: deque[Picture] = deque()
        self._news = threading.Condition()
        self._emitting = threading.Lock()
        self._is_stopped = False
        self._is_finishing = False
        self._busy_with: Picture | None = None
        self._newest = 0
        self._dropped = 0
        self._told_dropped, self._told_at = 0, 0.0
        self._frames = 0
        self._failures = 0
        self._is_waiting_for_keyframe = True
        self._encoder: VideoEncoder | None = None
        self._record = b""
        self._inside: dict[int, Picture] = {}
        self._threads = CodecThreads()
        # a codec that hangs must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name=f"rung {rung.output}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<RungThread {self.rung.output} run={self.rung.run} depth={self.depth_ms} ms>"

    @property
    def depth_ms(self) -> int:
        """From the picture that is being encoded, or is next, to the newest one."""
        first = self._busy_with or next(iter(tuple(self._queue)), None)
        return 0 if first is None else to_ms(max(0, self._newest - first.pts))

    @property
    def has_failed(self) -> bool:
        """It has given up, and said so."""
        return self._is_stopped

    def report(self) -> RungReport:
        cpu = round(self._threads.cpu_seconds * 1000)
        return RungReport(self.rung.output, self.rung.run, self.depth_ms, self._frames, self._dropped, cpu)

    def put(self, picture: Picture) -> None:
        """To be encoded. Waits only without a `max_lag_ms`."""
        with self._news:
            if self._max_lag_ms is None:
                self._news.wait_for(lambda: len(self._queue) < MAX_UNBOUNDED or self._is_stopped)
            elif self._is_late(self._max_lag_ms):
                self._make_room(picture)
                if not picture.keyframe:
                    return
            self._newest = picture.pts
            self._queue.append(picture)
            self._news.notify_all()

    def stop(self) -> None:
        """Emit nothing any more. What is being encoded ends by itself."""
        with self._emitting:
            self._is_stopped = True
        with self._news:
            self._queue.clear()
            self._news.notify_all()

    def finish(self) -> None:
        """Encode what is there, then end."""
        with self._news:
            self._is_finishing = True
            self._news.notify_all()

    def join(self, seconds: float | None = None) -> bool:
        """True when it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _is_late(self, max_lag_ms: int) -> bool:
        first = self._busy_with or (self._queue[0] if self._queue else None)
        if first is None or not self._queue:
            return False  # at 1 picture a second the one that is being encoded is no lag
        return len(self._queue) >= MAX_QUEUED or self._newest - first.pts > max_lag_ms * TICKS_PER_MS

    def _make_room(self, picture: Picture) -> None:
        """Raw pictures can be left out anywhere; for a keyframe those before it go, and keyframes last."""
        if picture.keyframe:
            kept = deque([waiting for waiting in self._queue if waiting.keyframe], maxlen=MAX_QUEUED - 1)
            self._dropped += len(self._queue) - len(kept)
            self._queue = deque(kept)
        else:
            self._dropped += 1
        now = time.monotonic()
        if now - self._told_at >= LAG_INTERVAL:
            news, self._told_dropped, self._told_at = self._dropped - self._told_dropped, self._dropped, now
            # by the thread that calls `stop`, so this cannot come after it
            self._emit(RungLags(self.rung.output, self.rung.run, self.depth_ms, news))

    def _run(self) -> None:
        self._threads.adopt()
        try:
            while (picture := self._next()) is not None:
                self._make(picture)
            if self._encoder is not None and not self._is_stopped:
                self._send(self._encoder.encode(None))
        except EncoderFailed as exc:
            self._give_up(str(exc))
        except Exception:  # noqa: BLE001  a bug of ours costs this rung, never the others
            self._give_up(traceback.format_exc()[-MAX_PROBLEM:])
        finally:
            self._close_encoder()
            self._threads.settle()

    def _give_up(self, problem: str) -> None:
        try:
            self._say(RungFailed(self.rung.output, self.rung.run, problem))
        finally:
            self.stop()  # nobody may wait for this queue to become shorter

    def _next(self) -> Picture | None:
        with self._news:
            self._busy_with = None
            self._news.wait_for(lambda: self._queue or self._is_stopped or self._is_finishing)
            if self._is_stopped or not self._queue:
                return None
            self._busy_with = picture = self._queue.popleft()
            self._news.notify_all()
            return picture

    def _make(self, picture: Picture) -> None:
        """EncoderFailed when it is of no more use."""
        if self._is_waiting_for_keyframe and not picture.keyframe:
            self._dropped += 1
            return
        encoder = self._encoder_for(picture)
        self._inside[picture.pts] = picture
        try:
            made = encoder.encode(picture.frame)
        except EncoderFailed:
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                raise
            self._close_encoder()
            self._on_broken()
            return
        self._is_waiting_for_keyframe = False
        self._failures = 0 if made else self._failures
        self._send(made)

    def _encoder_for(self, picture: Picture) -> VideoEncoder:
        size = (picture.frame.width, picture.frame.height)
        rate = min(picture.frame_rate, self.rung.frame_rate or picture.frame_rate)
        encoder = self._encoder
        if encoder is not None and (encoder.size, encoder.colour) == (size, picture.colour):
            is_in_time = rate <= encoder.frame_rate * RATE_TOLERANCE and encoder.frame_rate <= rate * RATE_TOLERANCE
            if is_in_time or not picture.keyframe:
                return encoder
        if encoder is not None:
            self._send(encoder.encode(None))
            self._close_encoder()
        self._encoder = VideoEncoder(self.rung, size, picture.colour, frame_rate=rate, threads=self._threads)
        return self._encoder

    def _close_encoder(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
        self._encoder = None
        self._inside.clear()
        self._is_waiting_for_keyframe = True

    def _send(self, made: list[Encoded]) -> None:
        for unit in made:
            picture = self._inside.pop(unit.pts, None)
            if picture is None:
                continue
            if self._encoder is not None and self._encoder.record != self._record:
                self._record = self._encoder.record
                self._say(MadeTrack(self.rung.output, self.rung.run, self.rung.codec, self._record))
            self._frames += 1
            keyframe = unit.keyframe and picture.keyframe
            spent = round((time.monotonic() - picture.released_at) * 1e6)
            output, run = self.rung.output, self.rung.run
            self._say(MadeUnit(output, run, picture.dts, picture.pts, keyframe, unit.parts, spent))

    def _say(self, message: MadeUnit | MadeTrack | RungFailed | RungLags) -> None:
        with self._emitting:
            if not self._is_stopped:
                self._emit(message)

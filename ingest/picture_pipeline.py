"""From units to the queues of the rungs: what the graph does, on whatever thread calls it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av

from ingest.codec_threads import CodecThreads
from ingest.decode_turns import DecodeTurns
from ingest.picture_cadence import KeyframeClock, PictureCadence, RateMeter
from ingest.picture_cascade import PictureCascade
from ingest.rung_thread import MAX_PROBLEM, Picture, RungThread
from ingest.transcode_messages import (
    Done,
    KeyframeWanted,
    LiveFrom,
    MadeTrack,
    MadeUnit,
    RungFailed,
    RungLags,
    RungReport,
    SourceRefused,
    SourceReport,
    SourceTrack,
    SourceUnit,
    StartRung,
    StopRung,
)
from ingest.video_decoder import Decoded, Refused, Undecodable, VideoDecoder
from ingest.video_encoder import mark
from ingest.video_shape import Shape
from media.ticks import TICKS_PER_SECOND, to_ms

__all__ = ["Emitted", "GraphLimits", "PicturePipeline"]

Emitted = Done | MadeTrack | MadeUnit | KeyframeWanted | SourceRefused | RungFailed | RungLags

MIN_DTS_STEP = 90
"""Ticks from one dts to the next: a millisecond, the least that FLV can tell apart."""
KEYFRAME_REQUEST_INTERVAL = TICKS_PER_SECOND // 2
"""Media time between two requests for a keyframe of the source."""


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """`max_lag_ms` of pictures may wait for an encoder, then some are left out; None waits for it instead (files)."""

    max_lag_ms: int | None = 400
    max_pixels: int = 4096 * 2304


@dataclass(slots=True)
class _Rung:
    """One that is being encoded, and which pictures it takes."""

    thread: RungThread
    cadence: PictureCadence

    @property
    def asked(self) -> StartRung:
        return self.thread.rung


class PicturePipeline:
    """`handle` messages in order, on one thread; `force_keyframe`, `report` and `abandon` may come from any."""

    def __init__(self, emit: Callable[[Emitted], None], limits: GraphLimits) -> None:
        self._emit = emit
        self._limits = limits
        self._threads = CodecThreads()
        self._decoder: VideoDecoder | None = None
        self._track: int | None = None
        self._refusal = "no source track"
        self._is_damaged = False
        self._asked_at: int | None = None
        self._turns = DecodeTurns()
        self._rate = RateMeter()
        self._used_rate: float | None = None
        self._keyframes = KeyframeClock()
        self._live_from: int | None = None
        self._rungs: dict[str, _Rung] = {}
        self._ending: list[RungThread] = []
        self._shape: Shape | None = None
        self._cascade: PictureCascade | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._begun_dts: int | None = None
        self._frames = self._undecodable = self._hidden = 0
        self._is_abandoned = False

    def begin(self) -> None:
        """The calling thread is the pipeline's from now on, and its CPU counts."""
        self._threads.adopt()

    def handle(self, entry: SourceTrack | SourceUnit | StartRung | StopRung | LiveFrom, at: float) -> None:
        """What came at `at`, monotonic seconds."""
        if self._is_abandoned:
            return
        match entry:
            case SourceUnit():
                self._begun_dts = entry.dts
                problem = self._guarded(lambda: self._take(entry, at))
                self._emit(Done(entry.seq, problem))
            case SourceTrack():
                self._guarded(lambda: self._adopt(entry, at))
            case StartRung():
                self._start(entry)
            case StopRung():
                self._stop(entry.output)
            case LiveFrom():
                self._live_from = entry.pts

    def force_keyframe(self) -> None:
        """The next picture, in all rungs."""
        self._keyframes.force()

    def report(self, newest_dts: int | None) -> tuple[SourceReport, list[RungReport]]:
        """`newest_dts` is of the last unit that was fed. The one that is being decoded does not wait."""
        begun = self._begun_dts
        waiting = 0 if newest_dts is None or begun is None else max(0, newest_dts - begun)
        decoder = self._decoder
        hidden = self._hidden + (decoder.hidden if decoder is not None else 0)
        cpu = round(self._threads.cpu_seconds * 1000)
        source = SourceReport(to_ms(waiting), self._frames, self._undecodable, hidden, cpu)
        return source, [rung.thread.report() for rung in tuple(self._rungs.values())]

    def abandon(self) -> None:
        """Look at nothing any more, and emit nothing of rungs."""
        self._is_abandoned = True
        for rung in tuple(self._rungs.values()):
            rung.thread.stop()

    def end(self, *, is_clean: bool) -> None:
        """Let go of everything; when clean, encode what is left before."""
        if is_clean:
            self._guarded(lambda: self._flush(time.monotonic()))
        for rung in self._rungs.values():
            if is_clean:
                rung.thread.finish()
            else:
                rung.thread.stop()
        for thread in [*self._ending, *(rung.thread for rung in self._rungs.values())]:
            thread.join()
        self._close_decoder()
        self._threads.settle()

    def _guarded(self, work: Callable[[], str]) -> str:
        """The problem of it, else ''. Codecs work on a stranger's bytes: what they do wrong ends here."""
        try:
            return work()
        except Undecodable as exc:
            return f"undecodable: {exc}"[:MAX_PROBLEM]
        except Refused as exc:
            self._refuse(str(exc))
            return self._refusal
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            return f"not scaled: {exc}"[:MAX_PROBLEM]
        except Exception:  # noqa: BLE001  a bug of ours costs this unit, never the broadcast
            return traceback.format_exc()[-MAX_PROBLEM:]

    # The source

    def _adopt(self, track: SourceTrack, at: float) -> str:
        self._guarded(lambda: self._flush(at))
        self._close_decoder()
        self._turns.clear()
        self._track = track.track
        self._refusal = ""
        self._decoder = VideoDecoder(track, max_pixels=self._limits.max_pixels, threads=self._threads)
        self._rate.declared = self._decoder.declared_frame_rate
        return ""

    def _flush(self, at: float) -> str:
        if self._decoder is not None:
            for decoded in self._decoder.flush():
                self._show(decoded, at)
        return ""

    def _close_decoder(self) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            self._hidden += decoder.hidden
            decoder.close()

    def _refuse(self, problem: str) -> None:
        self._refusal = problem[:MAX_PROBLEM]
        self._close_decoder()
        self._emit(SourceRefused(self._refusal))

    def _take(self, unit: SourceUnit, at: float) -> str:
        self._turns.note(unit.dts, unit.pts)
        self._rate.note(unit.dts)
        decoder = self._decoder
        if decoder is None:
            return self._refusal
        if unit.track != self._track:
            return f"unit of track {unit.track}, which is not the last one"
        if not decoder.has_begun and not unit.keyframe:
            self._want_keyframe(unit, "the source does not begin with a keyframe")
            return "before the first keyframe"
        self._is_damaged = self._is_damaged and not unit.keyframe
        is_shown = self._live_from is None or unit.pts >= self._live_from
        try:
            decoded = decoder.decode(unit, is_shown=is_shown)
        except Undecodable:
            self._count_damage(unit)
            raise
        if decoder.complaint:
            self._count_damage(unit)
        elif self._is_damaged:
            self._want_keyframe(unit, "the source is damaged")
        for picture in decoded:
            self._show(picture, at)
        return f"damaged: {decoder.complaint}" if decoder.complaint else ""

    def _count_damage(self, unit: SourceUnit) -> None:
        self._undecodable += 1
        self._is_damaged = True
        self._want_keyframe(unit, "the source is damaged")

    def _want_keyframe(self, unit: SourceUnit, problem: str) -> None:
        since = None if self._asked_at is None else unit.dts - self._asked_at
        if since is None or not 0 <= since < KEYFRAME_REQUEST_INTERVAL:
            self._asked_at = unit.dts
            self._emit(KeyframeWanted(problem))

    # The rungs

    def _start(self, rung: StartRung) -> None:
        self._stop(rung.output)
        thread = RungThread(rung, self._emit, max_lag_ms=self._limits.max_lag_ms, on_broken=self._keyframes.force)
        self._rungs[rung.output] = _Rung(thread, PictureCadence(rung.frame_rate))
        self._cascade = None
        self._keyframes.force()  # its first picture is one, and so it is for all
        if self._is_abandoned:
            thread.stop()

    def _stop(self, output: str) -> None:
        rung = self._rungs.pop(output, None)
        if rung is None:
            return
        rung.thread.stop()
        self._cascade = None
        self._ending = [thread for thread in [*self._ending, rung.thread] if not thread.join(0)]

    def _show(self, decoded: Decoded, at: float) -> None:
        self._frames += 1
        if self._live_from is not None and decoded.pts < self._live_from:
            return
        pts = decoded.pts
        if not self._rungs or (self._last_pts is not None and pts < self._last_pts + MIN_DTS_STEP):
            return  # nearer than dts can be told apart
        shape = Shape.of(decoded.frame, self._aspect)
        if shape != self._shape:
            self._shape, self._cascade = shape, None
            self._keyframes.force()
        keyframe = self._keyframes.decide(
            pts,
            is_source_keyframe=decoded.keyframe,
            interval=min(rung.asked.keyframe_interval for rung in self._rungs.values()),
        )
        if self._used_rate is None or (keyframe and self._rate.is_settled):
            self._used_rate = self._rate.rate
        dts = self._dts_of(pts)
        self._last_pts, self._last_dts = pts, dts
        self._distribute(decoded.frame, shape, Times(pts, dts, keyframe, at), self._used_rate)

    def _dts_of(self, pts: int) -> int:
        turn = self._turns.turn(pts)
        if self._last_dts is None:
            return pts if turn is None else turn
        least = self._last_dts + MIN_DTS_STEP
        return least if turn is None else max(turn, least)

    @property
    def _aspect(self) -> Fraction | None:
        return self._decoder.aspect if self._decoder is not None else None

    def _distribute(self, frame: av.VideoFrame, shape: Shape, times: Times, frame_rate: float) -> None:
        takers = {
            output: rung.thread
            for output, rung in self._rungs.items()
            if not rung.thread.has_failed and rung.cadence.takes(times.pts, keyframe=times.keyframe)
        }
        if self._cascade is None:
            self._cascade = PictureCascade(shape, [rung.asked for rung in self._rungs.values()])
        mark(frame, keyframe=times.keyframe)
        scaled = self._cascade.scale(frame, list(takers))
        for output, thread in takers.items():
            thread.put(
                Picture(
                    scaled[output],
                    pts=times.pts,
                    dts=times.dts,
                    keyframe=times.keyframe,
                    colour=shape.colour,
                    frame_rate=frame_rate,
                    released_at=times.released_at,
                )
            )


@dataclass(frozen=True, slots=True)
class Times:
    """A picture's place, and when the unit came that released it (monotonic seconds)."""

    pts: int
    dts: int
    keyframe: bool
    released_at: float

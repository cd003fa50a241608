"""Pictures decoded once, scaled in a cascade, and encoded by one thread per rung: the codecs of the worker."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ingest.picture_pipeline import Emitted, GraphLimits, PicturePipeline
from ingest.transcode_messages import LiveFrom, RungReport, SourceReport, SourceTrack, SourceUnit, StartRung, StopRung

__all__ = ["Emitted", "GraphLimits", "VideoGraph"]

MAX_FED = 16
"""Units that wait to be decoded where the graph waits instead of leaving pictures out."""
CLOSE_SECONDS = 5.0
"""How long `close` waits for a codec to come back."""


@dataclass(frozen=True, slots=True)
class _End:
    """The last entry. Clean: what is left is encoded; else it is let go."""

    is_clean: bool


_Entry = tuple[float, SourceTrack | SourceUnit | StartRung | StopRung | LiveFrom | _End]
"""With the monotonic time at which it came."""


class VideoGraph:
    """One source, any number of rungs. `emit` is called from any of its threads; it must not wait, nor raise.

    No method waits, whatever the codecs do (except `close` and `finish`, and all of them without a `max_lag_ms`): what
    is asked for happens in this order on the graph's own threads. Each unit is answered with one `Done`, when its
    pictures have been handed to the encoders. How many units may be under way without an answer is for the caller to
    bound.

    A rung's `MadeTrack` comes before its first unit and whenever its configuration changes, which is at a keyframe. All
    rungs have their keyframes at the same pts, always.
    """

    def __init__(self, emit: Callable[[Emitted], None], limits: GraphLimits | None = None) -> None:
        self._emit = emit
        self._limits = limits or GraphLimits()
        is_bounded = self._limits.max_lag_ms is not None
        self._inbox: queue.Queue[_Entry] = queue.Queue(0 if is_bounded else MAX_FED)
        self._pipeline = PicturePipeline(emit, self._limits)
        self._newest_dts: int | None = None
        # a codec that hangs must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def source(self, track: SourceTrack) -> None:
        """The source's codec and configuration, from the next unit on. Rungs stay, encoders restart if they must."""
        self._put(track)

    def start(self, rung: StartRung) -> None:
        """Encode from the next picture on. A rung of that name that is there already begins anew."""
        self._put(rung)

    def stop(self, output: str) -> None:
        """Encode it no more."""
        self._put(StopRung(output))

    def feed(self, unit: SourceUnit) -> None:
        """One unit, in decoding order, beginning with a keyframe."""
        self._newest_dts = unit.dts
        self._put(unit)

    def force_keyframe(self) -> None:
        """Make the next picture a keyframe, in all rungs."""
        self._pipeline.force_keyframe()

    def live_from(self, pts: int) -> None:
        """Pictures before `pts` are only decoded."""
        self._put(LiveFrom(pts))

    def report(self) -> tuple[SourceReport, list[RungReport]]:
        """What all has come to until now. Any thread may ask."""
        return self._pipeline.report(self._newest_dts)

    def close(self) -> None:
        """End all threads. What is on its way is let go; `finish` would keep it."""
        self._pipeline.abandon()
        self._end(_End(is_clean=False), CLOSE_SECONDS)

    def finish(self) -> None:
        """The source has ended: encode what is left, then close. Waits for it."""
        self._end(_End(is_clean=True), None)

    def _put(self, entry: SourceTrack | SourceUnit | StartRung | StopRung | LiveFrom) -> None:
        self._inbox.put((time.monotonic(), entry))

    def _end(self, end: _End, seconds: float | None) -> None:
        if self._thread.is_alive():
            self._inbox.put((time.monotonic(), end))
            self._thread.join(seconds)

    def _run(self) -> None:
        pipeline = self._pipeline
        pipeline.begin()
        while True:
            at, entry = self._inbox.get()
            if isinstance(entry, _End):
                pipeline.end(is_clean=entry.is_clean)
                return
            pipeline.handle(entry, at)

"""The real worker with a graph that encodes nothing: each rung gets the source's pictures as they came.

Its pills: CRASH and HANG as in the fragile worker; FAIL makes a rung fail, REFUSE the source, LAG a lag, each named by
the picture's only part.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from ingest.transcode_messages import (
    Done,
    MadeTrack,
    MadeUnit,
    Message,
    RungFailed,
    RungReport,
    SourceRefused,
    SourceReport,
    SourceTrack,
    SourceUnit,
    StartRung,
)
from ingest.transcode_worker import Lanes, main
from ingest.video_graph import VideoGraph
from media.track import Codec
from tests.support.fragile_worker import CRASH, HANG
from tests.support.units import hevc_track, video_track

FAIL, REFUSE, LAG = b"fail me", b"refuse me", b"lag with me"
RECORDS = {Codec.H264: video_track().config.to_avcc(), Codec.H265: hevc_track().config.to_hvcc()}
COST_MS = 100
"""Of processor time for each rung and report: a tenth of a core."""


class PlainGraph(VideoGraph):
    """On the thread that reads. The rung's parts say which runs of which worker they are from."""

    def __init__(self, emit: Callable[[Message], None]) -> None:
        self._emit = emit
        self._rungs: dict[str, StartRung] = {}
        self._begun: set[str] = set()
        self._frames = self._reports = 0
        self._live_from = 0
        self._is_forced = False
        self._lags = False
        self._is_refused = False

    def source(self, track: SourceTrack) -> None:
        self._is_refused = False

    def start(self, rung: StartRung) -> None:
        self._rungs[rung.output] = rung
        self._begun.discard(rung.output)

    def stop(self, output: str) -> None:
        self._rungs.pop(output, None)

    def force_keyframe(self) -> None:
        self._is_forced = True

    def live_from(self, pts: int) -> None:
        self._live_from = pts

    def feed(self, unit: SourceUnit) -> None:
        self._take_pill(unit.parts[0])
        self._frames += 1
        self._emit(Done(unit.seq, ""))
        if unit.pts >= self._live_from and not self._is_refused:
            is_fresh = any(name not in self._begun for name in self._rungs)
            keyframe = unit.keyframe or self._is_forced or is_fresh
            self._is_forced = False
            for rung in tuple(self._rungs.values()):
                self._make(rung, unit, keyframe)

    def report(self) -> tuple[SourceReport, list[RungReport]]:
        self._reports += 1
        lag = 300 if self._lags else 0
        rungs = [
            RungReport(name, rung.run, lag, self._frames, 0, COST_MS * self._reports)
            for name, rung in self._rungs.items()
        ]
        return SourceReport(0, self._frames, 0, 0, 0), rungs

    def close(self) -> None:
        pass

    def _take_pill(self, part: bytes) -> None:
        if part == CRASH:
            os.kill(os.getpid(), signal.SIGSEGV)
        if part == HANG:
            time.sleep(60)
        if part == FAIL:
            name, rung = next(iter(self._rungs.items()))
            del self._rungs[name]
            self._emit(RungFailed(name, rung.run, "it was told to"))
        if part == REFUSE:
            self._is_refused = True
            self._emit(SourceRefused("it was told to"))
        self._lags = self._lags or part == LAG

    def _make(self, rung: StartRung, unit: SourceUnit, keyframe: bool) -> None:
        if rung.output not in self._begun:
            self._begun.add(rung.output)
            self._emit(MadeTrack(rung.output, rung.run, rung.codec, RECORDS[Codec(rung.codec)]))
        said = f"{rung.output} run {rung.run} at {rung.frame_rate}".encode()
        self._emit(MadeUnit(rung.output, rung.run, unit.pts, unit.pts, keyframe, (said,), 1000))


class PlainLanes(Lanes):
    def __init__(self, send: Callable[[Message], None], say: Callable[[Message], None]) -> None:
        super().__init__(send, say, PlainGraph)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], PlainLanes))

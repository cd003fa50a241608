"""The ladder of a file, by the same graph that a worker runs: to look at, and to measure.

    python -m ingest.transcode_file IN OUT_DIR --rungs 720p=h264:720:2500k:superfast,480p=h265:480:800k:ultrafast

IN is FLV, MP4 or anything else that FFmpeg reads, with H.264 or H.265 in it.

Writes OUT_DIR/NAME.mp4 for each rung, and what it came to as JSON. As fast as it can, or with --paced as if it were
live, which is what a latency can be measured by.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from ingest.encoder_options import SOFTWARE, encoder_options, encoder_threads
from ingest.transcode_messages import (
    Done,
    KeyframeWanted,
    MadeTrack,
    MadeUnit,
    RungFailed,
    RungLags,
    SourceRefused,
    SourceTrack,
    SourceUnit,
    StartRung,
)
from ingest.video_decoder import TICK_TIME
from ingest.video_graph import Emitted, GraphLimits, VideoGraph
from media.ticks import TICKS_PER_SECOND
from media.track import Codec
from wire.codecs import h264, h265
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.nal import join_annexb, split_length_prefixed
from wire.errors import WireError

__all__ = ["main", "parse_rungs", "read_units", "transcode_file"]

_RUNG = re.compile(r"([\w-]+)=(h264|h265):(\d+):(\d+(?:\.\d+)?)([kM]?)(?::(\w+))?(?::(\w+))?", re.ASCII)
USUAL_STEP = TICKS_PER_SECOND // 30
"""How long the first picture lasts, before there is a second one."""
_SCALE = {"": 1, "k": 1_000, "M": 1_000_000}


class FileProblem(Exception):
    """The file cannot be transcoded; the sentence says why."""


@dataclass(slots=True)
class RungOutcome:
    """What became of one rung. Times are ticks, `spent_us` as MadeUnit has it."""

    codec: str
    encoder: str
    bitrate: int
    options: dict[str, str] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    bytes: int = 0
    pts: list[int] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    spent_us: list[int] = field(default_factory=list)
    problem: str = ""
    dropped: int = 0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What became of all. `cpu_s` is of this process, from the first unit to the end, with reading and writing."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    decode_cpu_s: float = 0.0
    units: int = 0
    frames: int = 0
    undecodable: int = 0
    hidden: int = 0
    reorder_ms: float = 0.0
    rungs: dict[str, RungOutcome] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything but each unit's pts."""
        rungs = {
            name: {key: getattr(rung, key) for key in RungOutcome.__dataclass_fields__ if key != "pts"}
            | {"frames": len(rung.pts)}
            for name, rung in self.rungs.items()
        }
        return {key: getattr(self, key) for key in Outcome.__dataclass_fields__ if key != "rungs"} | {"rungs": rungs}


def parse_rungs(text: str) -> list[StartRung]:
    """`NAME=CODEC:HEIGHT:BITRATE[:PRESET[:PROFILE]]`, separated by commas. ValueError."""
    rungs = []
    for run, part in enumerate(text.split(",")):
        match = _RUNG.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not NAME=CODEC:HEIGHT:BITRATE[:PRESET[:PROFILE]]")
        name, codec, height, number, scale, preset, profile = match.groups()
        rungs.append(
            StartRung(
                name,
                run,
                codec,
                int(height),
                round(float(number) * _SCALE[scale]),
                None,
                preset or "veryfast",
                profile or ("baseline" if codec == "h264" else "main"),
                2.0,
                SOFTWARE[Codec(codec)],
            )
        )
    return rungs


def read_units(path: Path) -> Iterator[SourceTrack | SourceUnit]:
    """The file's first picture track as a worker is told of it. FileProblem."""
    try:
        with av.open(path) as container:
            yield from _units_of(container.streams.video[0])
    except (av.FFmpegError, WireError, IndexError) as exc:
        raise FileProblem(f"{path} cannot be read: {exc}") from exc


def _units_of(stream: VideoStream) -> Iterator[SourceTrack | SourceUnit]:
    name, record = stream.codec_context.codec.canonical_name, stream.codec_context.extradata or b""
    config: H264Config | H265Config
    if name == "h264":
        codec, (config, size) = Codec.H264, H264Config.from_avcc(record)
        record, strip, is_keyframe = config.to_avcc(), h264.strip, h264.is_keyframe
    elif name == "hevc":
        codec, (config, size) = Codec.H265, H265Config.from_hvcc(record)
        record, strip, is_keyframe = config.to_hvcc(), h265.strip, h265.is_keyframe
    else:
        raise FileProblem(f"pictures in {name} are not read here")
    yield SourceTrack(1, codec, record, 0, 0)
    assert stream.time_base is not None
    scale = stream.time_base * TICKS_PER_SECOND
    seq = 0
    for packet in stream.container.demux(stream):  # type: ignore[attr-defined]
        if packet.dts is None or packet.pts is None:
            continue  # the one that says that there are no more
        try:
            parts = strip(split_length_prefixed(bytes(packet), size))
        except WireError:
            parts = ()  # cut off: answered for as a unit that cannot be decoded
        seq += 1
        dts, pts = round(packet.dts * scale), round(packet.pts * scale)
        yield SourceUnit(seq, 1, dts, pts, is_keyframe(parts), parts)


class _Sink:
    """Everything that a graph emits. Rungs emit on their own threads, each writes its own file."""

    def __init__(self, folder: Path | None, rungs: list[StartRung]) -> None:
        self.rungs = {rung.output: RungOutcome(rung.codec, rung.encoder, rung.bitrate) for rung in rungs}
        self._asked = {rung.output: rung for rung in rungs}
        self.problems: list[str] = []
        self._folder = folder
        self._files: dict[str, tuple[OutputContainer, Stream]] = {}
        self._pending: dict[str, tuple[bytes, ...]] = {}
        self._lock = threading.Lock()

    def emit(self, message: Emitted) -> None:
        match message:
            case MadeTrack():
                self._begin(message)
            case MadeUnit():
                self._write(message)
            case RungFailed():
                self.rungs[message.output].problem = message.problem
            case Done(problem=problem) if problem:
                self.problems.append(f"unit {message.seq}: {problem}")
            case SourceRefused() | KeyframeWanted():
                self.problems.append(message.problem)
            case RungLags() | Done():
                pass

    def close(self) -> None:
        for container, _ in self._files.values():
            container.close()

    def _begin(self, track: MadeTrack) -> None:
        config: H264Config | H265Config
        if track.codec == Codec.H264:
            config, _ = H264Config.from_avcc(track.record)
            sets = config.sps + config.pps
        else:
            config, _ = H265Config.from_hvcc(track.record)
            sets = config.vps + config.sps + config.pps
        outcome = self.rungs[track.output]
        outcome.width, outcome.height = config.width, config.height
        threads = encoder_threads(config.width, config.height, float(config.frame_rate or 30))
        outcome.options = encoder_options(self._asked[track.output], threads)
        if self._folder is None:
            return
        self._pending[track.output] = sets  # they go before the next keyframe, where any reader finds them
        if track.output in self._files:
            return
        with self._lock:
            container = av.open(self._folder / f"{track.output}.mp4", "w")
            name = "h264" if track.codec == Codec.H264 else "hevc"
            stream = container.add_mux_stream(name, width=config.width, height=config.height, time_base=TICK_TIME)
            self._files[track.output] = container, stream

    def _write(self, unit: MadeUnit) -> None:
        outcome = self.rungs[unit.output]
        step = unit.pts - outcome.pts[-1] if outcome.pts else USUAL_STEP
        outcome.pts.append(unit.pts)
        outcome.bytes += sum(map(len, unit.parts))
        outcome.spent_us.append(unit.spent_us)
        if unit.keyframe:
            outcome.keyframes.append(unit.pts)
        if self._folder is None:
            return
        container, stream = self._files[unit.output]
        packet = av.Packet(join_annexb((*self._pending.pop(unit.output, ()), *unit.parts)))
        packet.stream, packet.time_base = stream, TICK_TIME
        packet.dts, packet.pts, packet.is_keyframe = unit.dts, unit.pts, unit.keyframe
        packet.duration = step  # MP4 would else end before its last picture
        container.mux(packet)


def transcode_file(
    path: Path, rungs: list[StartRung], folder: Path | None, *, is_paced: bool = False, seconds: float | None = None
) -> tuple[Outcome, list[str]]:
    """What it came to, and the problems of single units. Without a folder nothing is written. FileProblem."""
    sink = _Sink(folder, rungs)
    outcome = Outcome(rungs=sink.rungs)
    times: list[tuple[int, int]] = []
    limits = GraphLimits() if is_paced else GraphLimits(max_lag_ms=None)
    graph = VideoGraph(sink.emit, limits)
    began, cpu = time.monotonic(), time.process_time()
    try:
        for rung in rungs:
            graph.start(rung)
        _feed(graph, path, times, is_paced=is_paced, seconds=seconds)
        graph.finish()
    finally:
        graph.close()
        sink.close()
    outcome.wall_s, outcome.cpu_s = time.monotonic() - began, time.process_time() - cpu
    outcome.units, outcome.reorder_ms = len(times), _reorder_ms(times)
    source, reports = graph.report()
    outcome.frames, outcome.undecodable, outcome.hidden = source.frames, source.undecodable, source.hidden
    outcome.decode_cpu_s = source.cpu_ms / 1000
    for report in reports:
        sink.rungs[report.output].dropped, sink.rungs[report.output].cpu_s = report.dropped, report.cpu_ms / 1000
    return outcome, sink.problems


def _feed(
    graph: VideoGraph, path: Path, times: list[tuple[int, int]], *, is_paced: bool, seconds: float | None
) -> None:
    began, first = time.monotonic(), None
    for entry in read_units(path):
        if isinstance(entry, SourceTrack):
            graph.source(entry)
            continue
        first = entry.dts if first is None else first
        at = (entry.dts - first) / TICKS_PER_SECOND
        if seconds is not None and at >= seconds:
            return
        if is_paced:
            time.sleep(max(0.0, began + at - time.monotonic()))
        times.append((entry.dts, entry.pts))
        graph.feed(entry)


def _reorder_ms(times: list[tuple[int, int]]) -> float:
    """How long a picture usually waits for its turn to be shown, from dts and pts in decoding order."""
    shown = sorted(pts for _, pts in times)
    waits = [pts - dts for pts, (dts, _) in zip(shown, times, strict=True)]
    return statistics.median_low(waits) * 1000 / TICKS_PER_SECOND if waits else 0.0


def main(arguments: list[str]) -> int:
    """0 when every rung was made, 1 with a sentence when not, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m ingest.transcode_file", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("path", metavar="IN", type=Path)
    parser.add_argument("folder", metavar="OUT_DIR", type=Path)
    parser.add_argument("--rungs", type=parse_rungs, required=True, metavar="NAME=CODEC:HEIGHT:BITRATE[:PRESET],...")
    parser.add_argument("--paced", action="store_true", help="as if it came live")
    parser.add_argument("--seconds", type=float, help="no more of the file than this")
    args = parser.parse_args(arguments)
    av.logging.set_level(None)
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        outcome, problems = transcode_file(
            args.path, args.rungs, args.folder, is_paced=args.paced, seconds=args.seconds
        )
    except FileProblem as exc:
        sys.stderr.write(f"transcode_file: {exc}\n")
        return 1
    for problem in problems[:20]:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(json.dumps(outcome.to_json()) + "\n")
    return 1 if any(rung.problem for rung in outcome.rungs.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Sources for the graph: films with bar codes from FFmpeg's own encoders, as a worker is told of them."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import av

from bench import barcode
from ingest.transcode_file import read_units
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
from ingest.video_graph import Emitted, GraphLimits, VideoGraph
from media.track import Codec
from tests.support.encoders import ffmpeg
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.nal import join_length_prefixed

__all__ = ["Film", "Sink", "encode", "lossless", "rung", "shown"]


@dataclass(frozen=True, slots=True)
class Film:
    """A source: its track, its units in decoding order."""

    track: SourceTrack
    units: tuple[SourceUnit, ...]

    @property
    def pts(self) -> list[int]:
        return sorted(unit.pts for unit in self.units)

    def moved(self, ticks: int, seq: int = 0, track: int = 1) -> Film:
        """The same, later, as another track."""
        units = [
            unit._replace(seq=seq + unit.seq, track=track, dts=unit.dts + ticks, pts=unit.pts + ticks)
            for unit in self.units
        ]
        return Film(self.track._replace(track=track), tuple(units))


@dataclass
class Sink:
    """What a graph emitted, by kind."""

    units: dict[str, list[MadeUnit]] = field(default_factory=dict)
    tracks: dict[str, list[MadeTrack]] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[RungFailed] = field(default_factory=list)
    lags: list[RungLags] = field(default_factory=list)
    order: dict[str, list[MadeTrack | MadeUnit]] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)

    def emit(self, message: Emitted) -> None:
        with self.news:
            match message:
                case MadeUnit():
                    self.units.setdefault(message.output, []).append(message)
                    self.order.setdefault(message.output, []).append(message)
                case MadeTrack():
                    self.tracks.setdefault(message.output, []).append(message)
                    self.order.setdefault(message.output, []).append(message)
                case Done():
                    self.done.append(message)
                case KeyframeWanted():
                    self.wanted.append(message.problem)
                case SourceRefused():
                    self.refused.append(message.problem)
                case RungFailed():
                    self.failed.append(message)
                case RungLags():
                    self.lags.append(message)
            self.news.notify_all()

    def wait_done(self, count: int, seconds: float = 60.0) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.done) >= count, seconds), f"{len(self.done)} of {count} answered"

    def wait_units(self, output: str, count: int, seconds: float = 60.0) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.units.get(output, [])) >= count, seconds)

    @property
    def problems(self) -> list[str]:
        return [done.problem for done in self.done if done.problem]

    def pts(self, output: str) -> list[int]:
        return [unit.pts for unit in self.units.get(output, [])]

    def keyframes(self, output: str) -> list[int]:
        return [unit.pts for unit in self.units.get(output, []) if unit.keyframe]


def rung(name: str, height: int, **changes: object) -> StartRung:
    """A small and fast one."""
    plain = StartRung(name, 0, "h264", height, 400_000, None, "ultrafast", "baseline", 2.0, "libx264")
    if changes.get("codec") == "h265":
        plain = plain._replace(profile="main", encoder="libx265")
    return plain._replace(**changes)  # type: ignore[arg-type]


@cache
def encode(source: Path, arguments: str, folder: Path) -> Film:
    """`source` by FFmpeg's command, in MP4, so that units are whole and their times exact."""
    path = folder / f"{abs(hash((source, arguments)))}.mp4"
    command = [ffmpeg(), "-v", "error", "-nostdin", "-i", str(source), *arguments.split(), "-fps_mode", "passthrough"]
    subprocess.run([*command, "-video_track_timescale", "90000", str(path)], check=True)
    first, *units = read_units(path)
    assert isinstance(first, SourceTrack)
    return Film(first, tuple(unit for unit in units if isinstance(unit, SourceUnit)))


def lossless(film: Film, rungs: list[StartRung], sink: Sink | None = None) -> Sink:
    """The whole film through a graph that waits for its encoders."""
    sink = sink or Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    try:
        graph.source(film.track)
        for entry in rungs:
            graph.start(entry)
        for unit in film.units:
            graph.feed(unit)
        graph.finish()
    finally:
        graph.close()
    return sink


@dataclass(frozen=True, slots=True)
class Shown:
    """One decoded picture: its pts, and the time in its bar code."""

    pts: int
    code_ms: int | None
    frame: av.VideoFrame


def shown(sink: Sink, output: str) -> list[Shown]:
    """What a viewer of this rung sees, by a decoder that takes no damage."""
    pictures: list[Shown] = []
    context: av.VideoCodecContext | None = None
    for entry in sink.order[output]:
        if isinstance(entry, MadeTrack):
            pictures += _pictures(context.decode(None)) if context else []
            context = _decoder(entry)
            continue
        assert context is not None, "a unit before its track"
        packet = av.Packet(join_length_prefixed(entry.parts))
        packet.pts, packet.dts = entry.pts, entry.dts
        pictures += _pictures(context.decode(packet))
    return pictures + (_pictures(context.decode(None)) if context else [])


def config_of(track: MadeTrack) -> H264Config | H265Config:
    if track.codec == Codec.H264:
        return H264Config.from_avcc(track.record)[0]
    return H265Config.from_hvcc(track.record)[0]


def _decoder(track: MadeTrack) -> av.VideoCodecContext:
    context = av.CodecContext.create("h264" if track.codec == Codec.H264 else "hevc", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = track.record
    context.options = {"err_detect": "explode"}
    return context


def _pictures(frames: list[av.VideoFrame]) -> list[Shown]:
    made = []
    for frame in frames:
        code = barcode.read(frame.to_ndarray()[: frame.height])
        made.append(Shown(frame.pts or 0, code[1] if code else None, frame))
    return made

"""`streamer bench flv`: N viewers of one FLV URL, what they saw, what the server paid, and the floor beside it."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.children import Child
from bench.clip import ClipOptions
from bench.figures import Spread
from bench.floor import FloorPlan, FloorReport, Schedule, run_floor
from bench.flv_client import Target
from bench.process_figures import Memory, cpu_seconds, memory
from bench.publisher import run_publisher
from bench.viewers import REQUEST_TIMEOUT_S, START, STOP, ViewerPlan, ViewerReport, run_viewers

__all__ = ["FlvBenchOptions", "FlvResult", "run_flv_bench"]

START_UP_S = 60.0  # for a process to import, to encode a clip, to connect
ANSWER_S = 30.0
FLOOR_S = 10.0  # at most; a bare loop has no slow effects to wait for
RAW_RAMP = 2000.0  # connections a second to the floor, which is not asked about joining


@dataclass(frozen=True, slots=True)
class FlvBenchOptions:
    """One run. `stalled` is percent of the viewers; `merge_ms` is the floor's window, 0 for a write per picture.

    `settle` is how many seconds to wait after publishing began, for a whole GOP to be there, and again after the last
    viewer joined, for the bursts that joiners get to be over.
    """

    url: str
    viewers: int
    seconds: float
    pid: int | None = None
    publish: str | None = None
    bitrate: int = 2_500_000
    audio: bool = True
    ramp: float = 200.0
    stalled: float = 0.0
    websocket: bool = False
    merge_ms: int = 0
    processes: int = 1
    settle: float = 5.0
    floor: bool = True


@dataclass(frozen=True, slots=True)
class FlvResult:
    """Everything that a run measured. Times are milliseconds, sizes bytes, processor shares percent of one core."""

    conditions: dict[str, Any]
    seconds: float
    viewers_watching: int
    viewers_lost: dict[str, int]
    stalled: int
    stalled_closed: int
    server_cpu: float | None
    server_cpu_per_viewer: float | None
    server_memory_before: Memory | None
    server_memory: Memory | None
    server_rss_per_viewer: float | None
    server_pss_per_viewer: float | None
    first_byte_ms: Spread
    first_keyframe_ms: Spread
    largest_gap_ms: Spread
    latency_ms: Spread
    bytes: int
    bits_per_second_per_viewer: float
    reads_per_second_per_viewer: float
    pieces_per_second_per_viewer: float | None
    load_cpu: list[float]
    floor: FloorFigures | None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FloorFigures:
    """The bare loop under the same load; `ratio` is server over floor."""

    seconds: float
    cpu: float
    cpu_per_viewer: float
    writes_per_second_per_viewer: float
    short_writes: int
    ratio: float | None


def run_flv_bench(options: FlvBenchOptions) -> FlvResult:
    """Blocks for about the ramp, `seconds` and the floor. ValueError for options that cannot be, ChildError when a
    process of the run fails, ProcessLookupError or PermissionError for a server that cannot be looked at.
    """
    target = Target.parse(options.url, websocket=options.websocket)
    with ExitStack() as stack:
        if options.publish:
            clip = ClipOptions(bitrate=options.bitrate, audio=options.audio)
            publisher = stack.enter_context(Child("publisher", run_publisher, options.publish, clip))
            publisher.hear(START_UP_S)
            time.sleep(options.settle)
        measured = _measure_server(options, target)
    merged = _merge(measured.reports)
    floor = _measure_floor(options, merged, len(merged.largest_gap)) if options.floor else None
    return _result(options, measured, merged, floor)


@dataclass(frozen=True, slots=True)
class _Measured:
    reports: list[ViewerReport]
    seconds: float
    cpu: float | None  # seconds
    before: Memory | None
    after: Memory | None


def _measure_server(options: FlvBenchOptions, target: Target) -> _Measured:
    before = memory(options.pid) if options.pid else None
    with ExitStack() as stack:
        viewers = _start_viewers(stack, options, target, options.viewers, request=True)
        patience = START_UP_S + options.viewers / options.ramp + REQUEST_TIMEOUT_S
        for child in viewers:
            child.hear(patience)
        time.sleep(options.settle)
        for child in viewers:
            child.tell(START)
        cpu, begun = _cpu(options.pid), time.monotonic()
        time.sleep(options.seconds)
        cpu, seconds = _cpu(options.pid) - cpu, time.monotonic() - begun
        after = memory(options.pid) if options.pid else None
        reports = _collect(viewers)
    return _Measured(reports, seconds, cpu if options.pid else None, before, after)


def _cpu(pid: int | None) -> float:
    return cpu_seconds(pid) if pid else 0.0


def _start_viewers(
    stack: ExitStack, options: FlvBenchOptions, target: Target, total: int, *, request: bool
) -> list[Child]:
    """The viewers in near-equal shares, one process each."""
    processes = min(options.processes, total)
    bounds = [total * k // processes for k in range(processes + 1)]
    ramp = options.ramp if request else RAW_RAMP
    children = []
    for k in range(processes):
        first, count = bounds[k], bounds[k + 1] - bounds[k]
        stalled = options.stalled if request else 0.0
        plan = ViewerPlan(target, request, first, count, total, ramp / processes, stalled)
        children.append(stack.enter_context(Child(f"viewers {k + 1}", run_viewers, plan)))
    return children


def _collect(viewers: list[Child]) -> list[ViewerReport]:
    for child in viewers:
        child.tell(STOP)
    return [child.hear(ANSWER_S) for child in viewers]


def _merge(reports: list[ViewerReport]) -> ViewerReport:
    """The processes' reports as one; `seconds` and `cpu_seconds` are left to the caller."""
    merged = ViewerReport(lost=sum((report.lost for report in reports), Counter()))
    for report in reports:
        for name in ("first_byte", "first_keyframe", "largest_gap", "latency"):
            getattr(merged, name).extend(getattr(report, name))
        for name in ("watching", "bytes", "reads", "pieces", "parsed", "stalled", "stalled_closed"):
            setattr(merged, name, getattr(merged, name) + getattr(report, name))
        merged.pictures = merged.pictures or report.pictures
    return merged


def _measure_floor(options: FlvBenchOptions, merged: ViewerReport, viewers: int) -> FloorReport | None:
    """None when no viewer recorded two pictures."""
    if viewers == 0 or len(merged.pictures) < 2:
        return None
    schedule = Schedule.of(merged.pictures, options.merge_ms)
    with ExitStack() as stack:
        floor = stack.enter_context(Child("floor", run_floor, FloorPlan(schedule, viewers)))
        target = Target(websocket=False, host="127.0.0.1", port=floor.hear(START_UP_S), path="")
        readers = _start_viewers(stack, options, target, viewers, request=False)
        for child in (*readers, floor):
            child.hear(START_UP_S)
        for child in (*readers, floor):
            child.tell(START)
        time.sleep(min(options.seconds, FLOOR_S))
        floor.tell(STOP)
        report: FloorReport = floor.hear(ANSWER_S)
        _collect(readers)
    return report


def _result(
    options: FlvBenchOptions, measured: _Measured, merged: ViewerReport, floor: FloorReport | None
) -> FlvResult:
    watching, seconds = max(1, merged.watching), measured.seconds
    cpu = None if measured.cpu is None else 100 * measured.cpu / seconds
    per_viewer = None if cpu is None else cpu / watching
    load = [100 * report.cpu_seconds / report.seconds for report in measured.reports]
    return FlvResult(
        conditions=_conditions(options),
        seconds=seconds,
        viewers_watching=merged.watching,
        viewers_lost=dict(merged.lost),
        stalled=merged.stalled,
        stalled_closed=merged.stalled_closed,
        server_cpu=cpu,
        server_cpu_per_viewer=per_viewer,
        server_memory_before=measured.before,
        server_memory=measured.after,
        server_rss_per_viewer=_growth(measured, "rss", options.viewers),
        server_pss_per_viewer=_growth(measured, "pss", options.viewers),
        first_byte_ms=Spread.of(merged.first_byte, 1000),
        first_keyframe_ms=Spread.of(merged.first_keyframe, 1000),
        largest_gap_ms=Spread.of(merged.largest_gap, 1000),
        latency_ms=Spread.of(merged.latency, 1000),
        bytes=merged.bytes,
        bits_per_second_per_viewer=8 * merged.bytes / seconds / watching,
        reads_per_second_per_viewer=merged.reads / seconds / watching,
        pieces_per_second_per_viewer=merged.pieces / seconds / merged.parsed if merged.parsed else None,
        load_cpu=load,
        floor=_floor_figures(floor, len(merged.largest_gap), per_viewer),
        notes=_notes(options, merged, load, floor),
    )


def _growth(measured: _Measured, name: str, viewers: int) -> float | None:
    if measured.before is None or measured.after is None:
        return None
    growth: int = getattr(measured.after, name) - getattr(measured.before, name)
    return growth / viewers


def _floor_figures(floor: FloorReport | None, viewers: int, server_per_viewer: float | None) -> FloorFigures | None:
    if floor is None:
        return None
    cpu = 100 * floor.cpu_seconds / floor.seconds
    per_viewer = cpu / viewers
    ratio = server_per_viewer / per_viewer if server_per_viewer is not None and per_viewer else None
    return FloorFigures(floor.seconds, cpu, per_viewer, floor.writes / floor.seconds / viewers, floor.short, ratio)


def _conditions(options: FlvBenchOptions) -> dict[str, Any]:
    return {
        "url": options.url.partition("?")[0],
        "transport": "websocket" if Target.parse(options.url, websocket=options.websocket).websocket else "http",
        "viewers": options.viewers,
        "ramp_per_second": options.ramp,
        "stalled_percent": options.stalled,
        "processes": options.processes,
        "floor_merge_ms": options.merge_ms,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def _notes(options: FlvBenchOptions, merged: ViewerReport, load: list[float], floor: FloorReport | None) -> list[str]:
    """What a reader of the figures must know before believing them."""
    notes = []
    if any(share > 90 for share in load):
        notes.append("a viewer process used over 90 % of a core: the load was the limit, use more --processes")
    if not merged.latency:
        notes.append("no latency: the stream carries no stamps; publish with --publish or `streamer bench publish`")
    if options.floor and floor is None:
        notes.append("no floor: no viewer recorded two pictures")
    if floor is not None and floor.short:
        notes.append(f"{floor.short} of the floor's {floor.writes} writes were short: its readers did not keep up")
    if merged.lost:
        notes.append(f"{sum(merged.lost.values())} viewers were lost, figures are of those that watched to the end")
    return notes

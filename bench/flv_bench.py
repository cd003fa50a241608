"""`streamer bench flv`: N viewers of one FLV URL, what they saw, what the server paid, and the floor beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.children import Child
from bench.figures import Spread
from bench.floor import FloorPlan, FloorReport, Schedule, run_floor
from bench.flv_client import Target
from bench.load_run import (
    START_UP_S,
    LoadFigures,
    LoadOptions,
    Measured,
    load_figures,
    load_notes,
    machine,
    measure,
    play_floor,
    publishing,
    shares,
)
from bench.viewers import ViewerPlan, ViewerReport, run_viewers

__all__ = ["FlvBenchOptions", "FlvResult", "run_flv_bench"]

RAW_RAMP = 2000.0  # connections a second to the floor, which is not asked about joining


@dataclass(frozen=True, slots=True, kw_only=True)
class FlvBenchOptions(LoadOptions):
    """One run. `stalled` is percent of the viewers; `merge_ms` is the floor's window, 0 for a write per picture."""

    stalled: float = 0.0
    websocket: bool = False
    merge_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlvResult(LoadFigures):
    """Everything that a run measured. Times are milliseconds, sizes bytes, processor shares percent of one core."""

    stalled: int
    stalled_closed: int
    first_byte_ms: Spread
    first_keyframe_ms: Spread
    largest_gap_ms: Spread
    latency_ms: Spread
    bytes: int
    bits_per_second_per_viewer: float
    reads_per_second_per_viewer: float
    pieces_per_second_per_viewer: float | None
    floor: FloorFigures | None


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
    with publishing(options):
        measured = measure(options, lambda stack: _start_viewers(stack, options, target))
    merged = _merge(measured.reports)
    floor = _measure_floor(options, merged, len(merged.largest_gap)) if options.floor else None
    return _result(options, measured, merged, floor)


def _start_viewers(stack: ExitStack, options: FlvBenchOptions, target: Target) -> list[Child]:
    """The viewers in near-equal shares, one process each."""
    ramp, stalled = options.ramp / min(options.processes, options.viewers), options.stalled
    return _start(
        stack,
        options,
        options.viewers,
        lambda first, count: ViewerPlan(target, True, first, count, options.viewers, ramp, stalled),
    )


def _start_readers(stack: ExitStack, options: FlvBenchOptions, target: Target, total: int) -> list[Child]:
    """The floor's, who ask for nothing."""
    return _start(stack, options, total, lambda first, count: ViewerPlan(target, False, first, count, total, RAW_RAMP))


def _start(
    stack: ExitStack, options: FlvBenchOptions, total: int, plan: Callable[[int, int], ViewerPlan]
) -> list[Child]:
    return [
        stack.enter_context(Child(f"viewers {number}", run_viewers, plan(first, count)))
        for number, (first, count) in enumerate(shares(total, options.processes), 1)
    ]


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
        readers = _start_readers(stack, options, target, viewers)
        report: FloorReport
        report, _ = play_floor(options, floor, readers)
    return report


def _result(
    options: FlvBenchOptions, measured: Measured[ViewerReport], merged: ViewerReport, floor: FloorReport | None
) -> FlvResult:
    watching, seconds = max(1, merged.watching), measured.seconds
    figures = load_figures(measured, options.viewers, merged.watching, merged.lost)
    return FlvResult(
        **figures,
        conditions=_conditions(options),
        stalled=merged.stalled,
        stalled_closed=merged.stalled_closed,
        first_byte_ms=Spread.of(merged.first_byte, 1000),
        first_keyframe_ms=Spread.of(merged.first_keyframe, 1000),
        largest_gap_ms=Spread.of(merged.largest_gap, 1000),
        latency_ms=Spread.of(merged.latency, 1000),
        bytes=merged.bytes,
        bits_per_second_per_viewer=8 * merged.bytes / seconds / watching,
        reads_per_second_per_viewer=merged.reads / seconds / watching,
        pieces_per_second_per_viewer=merged.pieces / seconds / merged.parsed if merged.parsed else None,
        floor=_floor_figures(floor, len(merged.largest_gap), figures["server_cpu_per_viewer"]),
        notes=list(_notes(options, measured, merged, floor)),
    )


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
        **machine(),
    }


def _notes(
    options: FlvBenchOptions, measured: Measured[ViewerReport], merged: ViewerReport, floor: FloorReport | None
) -> Iterator[str]:
    """What a reader of the figures must know before believing them."""
    yield from load_notes(options, measured, merged.lost.total())
    if not merged.latency:
        yield "no latency: the stream carries no stamps; publish with --publish or `streamer bench publish`"
    if options.floor and floor is None:
        yield "no floor: no viewer recorded two pictures"
    if floor is not None and floor.short:
        yield f"{floor.short} of the floor's {floor.writes} writes were short: its readers did not keep up"

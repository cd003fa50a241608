"""`streamer bench whep`: N WebRTC viewers of one WHEP URL, what they saw, what the server paid, and the floor."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from bench.children import Child
from bench.clip import ClipOptions
from bench.figures import Spread
from bench.picture_log import PictureFigures
from bench.process_figures import Memory, cpu_seconds, memory
from bench.publisher import run_publisher
from bench.viewers import REQUEST_TIMEOUT_S, START, STOP
from bench.whep_floor import DatagramSchedule, WhepFloorPlan, WhepFloorReport, run_whep_floor, run_whep_readers
from bench.whep_http import WhepUrl
from bench.whep_viewers import WhepPlan, WhepReport, run_whep_viewers

__all__ = ["WhepBenchOptions", "WhepFloorFigures", "WhepResult", "run_whep_bench"]

START_UP_S = 60.0  # for a process to import, to encode a clip, to connect
ANSWER_S = 30.0
FLOOR_S = 10.0  # at most; a bare loop has no slow effects to wait for
BUSY = 90  # percent of a core from which a viewer process is the limit

_SUMS = ("bytes", "packets", "reads", "expected", "missing", "dropped", "checked", "watching")
_CHECKED_SUMS = ("unrepaired", "repaired", "retransmissions", "damaged", "discarded")
_LISTS = ("answered", "connected", "first_packet", "first_keyframe", "largest_gap", "timeline_distance")
_COUNTERS = ("lost", "profiles", "origins", "undeleted")


@dataclass(frozen=True, slots=True)
class WhepBenchOptions:
    """One run. `ramp` is viewers that join in a second; of `decrypt_every` viewers one is checked to the end.

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
    ramp: float = 50.0
    processes: int = 1
    decrypt_every: int = 50
    settle: float = 5.0
    floor: bool = True
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WhepFloorFigures:
    """The bare loop under the same load; `ratio` is server over floor. `language` is what it is written in."""

    seconds: float
    cpu: float
    cpu_per_viewer: float
    us_per_packet: float
    packets_per_second_per_viewer: float
    sends_per_second_per_viewer: float
    short_sends: int
    dropped: int
    gso: bool
    language: str
    ratio: float | None


@dataclass(frozen=True, slots=True)
class WhepResult:
    """Everything that a run measured. Times are milliseconds, sizes bytes, processor shares percent of one core.

    `checked` are the viewers that decrypted everything; pictures, repairs, latency and `timestamp_error` are theirs.
    """

    conditions: dict[str, Any]
    seconds: float
    viewers_watching: int
    viewers_lost: dict[str, int]
    server_cpu: float | None
    server_cpu_per_viewer: float | None
    server_memory_before: Memory | None
    server_memory: Memory | None
    server_rss_per_viewer: float | None
    server_pss_per_viewer: float | None
    answer_ms: Spread
    connected_ms: Spread
    first_packet_ms: Spread
    first_keyframe_ms: Spread
    largest_gap_ms: Spread
    latency_ms: Spread
    timestamp_error_ms: Spread
    bytes: int
    bits_per_second_per_viewer: float
    packets_per_second_per_viewer: float
    reads_per_second_per_viewer: float
    packets_expected: int
    packets_missing: int
    packets_dropped_by_viewers: int
    checked: int
    pictures: int
    pictures_shown: int
    pictures_damaged: int
    gops: int
    gops_damaged: int
    holes: int
    backward_steps: int
    freezes: int
    frozen_ms: float
    packets_repaired: int
    packets_unrepaired: int
    retransmissions: int
    packets_discarded: int
    srtp_profiles: dict[str, int]
    timeline_origins: dict[str, int]
    timeline_distance_ms: Spread
    sessions_not_deleted: dict[str, int]
    load_cpu: list[float]
    floor: WhepFloorFigures | None
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_whep_bench(options: WhepBenchOptions) -> WhepResult:
    """Blocks for about the ramp, `seconds` and the floor. ValueError for options that cannot be, ChildError when a
    process of the run fails, ProcessLookupError or PermissionError for a server that cannot be looked at.
    """
    url = WhepUrl(options.url, options.token)
    with ExitStack() as stack:
        if options.publish:
            clip = ClipOptions(bitrate=options.bitrate, audio=options.audio)
            publisher = stack.enter_context(Child("publisher", run_publisher, options.publish, clip))
            publisher.hear(START_UP_S)
            time.sleep(options.settle)
        measured = _measure_server(options, url)
    merged = _merge(measured.reports)
    floor = _measure_floor(options, merged) if options.floor else None
    return _result(options, url, measured, merged, floor)


@dataclass(frozen=True, slots=True)
class _Measured:
    reports: list[WhepReport]
    seconds: float
    cpu: float | None  # seconds
    before: Memory | None
    after: Memory | None


@dataclass(frozen=True, slots=True)
class _MeasuredFloor:
    report: WhepFloorReport
    viewers: int
    dropped: int


def _measure_server(options: WhepBenchOptions, url: WhepUrl) -> _Measured:
    before = memory(options.pid) if options.pid else None
    with ExitStack() as stack:
        viewers = _start_viewers(stack, options, url)
        patience = START_UP_S + options.viewers / options.ramp + REQUEST_TIMEOUT_S
        for child in viewers:
            child.hear(patience)
        time.sleep(options.settle)
        for child in viewers:
            child.tell(START)
        cpu_before, begun = _if_alive(cpu_seconds, options.pid), time.monotonic()
        time.sleep(options.seconds)
        cpu_after, seconds = _if_alive(cpu_seconds, options.pid), time.monotonic() - begun
        after = _if_alive(memory, options.pid)
        for child in viewers:
            child.tell(STOP)
        reports = [child.hear(ANSWER_S) for child in viewers]
    cpu = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    return _Measured(reports, seconds, cpu, before, after)


Figure = TypeVar("Figure")


def _if_alive(measure: Callable[[int], Figure], pid: int | None) -> Figure | None:
    """None without a process, and for one that ended during the run: then the viewers' figures are what counts."""
    if pid is None:
        return None
    try:
        return measure(pid)
    except (ProcessLookupError, FileNotFoundError):
        return None


def _start_viewers(stack: ExitStack, options: WhepBenchOptions, url: WhepUrl) -> list[Child]:
    """The viewers in near-equal shares, one process each."""
    processes = min(options.processes, options.viewers)
    children = []
    for k, (first, count) in enumerate(_shares(options.viewers, processes), 1):
        plan = WhepPlan(url, first, count, options.ramp / processes, options.decrypt_every)
        children.append(stack.enter_context(Child(f"viewers {k}", run_whep_viewers, plan)))
    return children


def _shares(total: int, processes: int) -> list[tuple[int, int]]:
    bounds = [total * k // processes for k in range(processes + 1)]
    return [(bounds[k], bounds[k + 1] - bounds[k]) for k in range(processes)]


def _merge(reports: list[WhepReport]) -> WhepReport:
    """The processes' reports as one; `seconds` and `cpu_seconds` are left to the caller."""
    merged = WhepReport(figures=PictureFigures())
    for report in reports:
        for name in (*_SUMS, *_CHECKED_SUMS):
            setattr(merged, name, getattr(merged, name) + getattr(report, name))
        for name in _LISTS:
            getattr(merged, name).extend(getattr(report, name))
        for name in _COUNTERS:
            counter: Counter[str] = getattr(merged, name)
            counter.update(getattr(report, name))
        merged.figures.add(report.figures)
        merged.sent = merged.sent or report.sent
        merged.receive_buffer = merged.receive_buffer or report.receive_buffer
    return merged


def _measure_floor(options: WhepBenchOptions, merged: WhepReport) -> _MeasuredFloor | None:
    """None when no viewer recorded two pictures."""
    viewers = merged.watching
    if viewers == 0 or len(merged.sent) < 2:
        return None
    schedule = DatagramSchedule.of(merged.sent)
    with ExitStack() as stack:
        shares = _shares(viewers, min(options.processes, viewers))
        readers = [stack.enter_context(Child("floor's viewers", run_whep_readers, count)) for _, count in shares]
        ports = tuple(port for reader in readers for port in reader.hear(START_UP_S))
        floor = stack.enter_context(Child("floor", run_whep_floor, WhepFloorPlan(schedule, ports)))
        for child in (*readers, floor):
            child.hear(START_UP_S)
        for child in (*readers, floor):
            child.tell(START)
        time.sleep(min(options.seconds, FLOOR_S))
        floor.tell(STOP)
        report: WhepFloorReport = floor.hear(ANSWER_S)
        for reader in readers:
            reader.tell(STOP)
        dropped = sum(reader.hear(ANSWER_S) for reader in readers)
    return _MeasuredFloor(report, viewers, dropped)


def _result(
    options: WhepBenchOptions, url: WhepUrl, measured: _Measured, merged: WhepReport, floor: _MeasuredFloor | None
) -> WhepResult:
    watching, seconds, pictures = max(1, merged.watching), measured.seconds, merged.figures
    cpu = None if measured.cpu is None else 100 * measured.cpu / seconds
    per_viewer = None if cpu is None else cpu / watching
    load = [100 * report.cpu_seconds / report.seconds for report in measured.reports]
    return WhepResult(
        conditions=_conditions(options, url, merged),
        seconds=seconds,
        viewers_watching=merged.watching,
        viewers_lost=dict(merged.lost),
        server_cpu=cpu,
        server_cpu_per_viewer=per_viewer,
        server_memory_before=measured.before,
        server_memory=measured.after,
        server_rss_per_viewer=_growth(measured, "rss", options.viewers),
        server_pss_per_viewer=_growth(measured, "pss", options.viewers),
        answer_ms=Spread.of(merged.answered, 1000),
        connected_ms=Spread.of(merged.connected, 1000),
        first_packet_ms=Spread.of(merged.first_packet, 1000),
        first_keyframe_ms=Spread.of(merged.first_keyframe, 1000),
        largest_gap_ms=Spread.of(merged.largest_gap, 1000),
        latency_ms=Spread.of(pictures.latency, 1000),
        timestamp_error_ms=Spread.of(pictures.timestamp_error, 1000),
        bytes=merged.bytes,
        bits_per_second_per_viewer=8 * merged.bytes / seconds / watching,
        packets_per_second_per_viewer=merged.packets / seconds / watching,
        reads_per_second_per_viewer=merged.reads / seconds / watching,
        packets_expected=merged.expected,
        packets_missing=merged.missing,
        packets_dropped_by_viewers=merged.dropped,
        checked=merged.checked,
        pictures=pictures.pictures,
        pictures_shown=pictures.shown,
        pictures_damaged=merged.damaged,
        gops=pictures.gops,
        gops_damaged=pictures.damaged_gops,
        holes=pictures.holes,
        backward_steps=pictures.backward,
        freezes=pictures.freezes,
        frozen_ms=1000 * pictures.frozen,
        packets_repaired=merged.repaired,
        packets_unrepaired=merged.unrepaired,
        retransmissions=merged.retransmissions,
        packets_discarded=merged.discarded,
        srtp_profiles=dict(merged.profiles),
        timeline_origins=dict(merged.origins),
        timeline_distance_ms=Spread.of(merged.timeline_distance, 1000),
        sessions_not_deleted=dict(merged.undeleted),
        load_cpu=load,
        floor=_floor_figures(floor, per_viewer),
        notes=list(_notes(options, measured, merged, load, floor)),
    )


def _growth(measured: _Measured, name: str, viewers: int) -> float | None:
    if measured.before is None or measured.after is None:
        return None
    growth: int = getattr(measured.after, name) - getattr(measured.before, name)
    return growth / viewers


def _floor_figures(floor: _MeasuredFloor | None, server_per_viewer: float | None) -> WhepFloorFigures | None:
    if floor is None:
        return None
    report, each = floor.report, floor.report.seconds * floor.viewers
    cpu = 100 * report.cpu_seconds / report.seconds
    per_viewer = cpu / floor.viewers
    return WhepFloorFigures(
        seconds=report.seconds,
        cpu=cpu,
        cpu_per_viewer=per_viewer,
        us_per_packet=1e6 * report.cpu_seconds / max(1, report.packets),
        packets_per_second_per_viewer=report.packets / each,
        sends_per_second_per_viewer=report.sends / each,
        short_sends=report.short,
        dropped=floor.dropped,
        gso=report.gso,
        language="Python, cryptography's AESGCM.encrypt_into",
        ratio=server_per_viewer / per_viewer if server_per_viewer is not None and per_viewer else None,
    )


def _conditions(options: WhepBenchOptions, url: WhepUrl, merged: WhepReport) -> dict[str, Any]:
    shown = {spec.name for spec in fields(options)} - {"url", "token", "publish", "pid", "floor", "seconds"}
    return {
        "url": url.shown,
        **{name: getattr(options, name) for name in sorted(shown)},
        "receive_buffer": merged.receive_buffer,
        "receive_offload": False,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def _notes(
    options: WhepBenchOptions,
    measured: _Measured,
    merged: WhepReport,
    load: list[float],
    floor: _MeasuredFloor | None,
) -> Iterator[str]:
    """What a reader of the figures must know before believing them."""
    if any(share > BUSY for share in load):
        yield f"a viewer process used over {BUSY} % of a core: the load was the limit, use more --processes"
    if options.pid and (measured.cpu is None or measured.after is None):
        yield f"the server's process {options.pid} ended during the run: its cost is not known"
    if merged.dropped:
        yield f"the viewers' own sockets dropped {merged.dropped} datagrams: that loss is the load's, not the server's"
    if merged.checked and not merged.figures.latency:
        yield "no latency: the stream carries no stamps; publish with --publish or `streamer bench publish`"
    if not merged.checked and merged.watching:
        yield "no checked viewer watched to the end: pictures, repairs and latency are not known"
    if len(merged.origins) > 1:
        yield f"the viewers were told {len(merged.origins)} different timelines"
    if merged.undeleted:
        yield f"{sum(merged.undeleted.values())} sessions were not deleted: {', '.join(merged.undeleted)}"
    if merged.lost:
        yield f"{sum(merged.lost.values())} viewers were lost, figures are of those that watched to the end"
    if options.floor:
        yield from _floor_notes(merged, floor)


def _floor_notes(merged: WhepReport, floor: _MeasuredFloor | None) -> Iterator[str]:
    if floor is None:
        yield "no floor: no viewer recorded two pictures"
        return
    if floor.report.short:
        yield f"{floor.report.short} of the floor's {floor.report.sends} sends found no room: it is too low"
    if floor.dropped:
        yield f"the floor's viewers dropped {floor.dropped} datagrams: they did not keep up"
    if not floor.report.gso:
        yield "this kernel has no UDP GSO: the floor sent packet by packet"
    if any("GCM" not in profile for profile in merged.profiles):
        yield "the server chose another SRTP profile than AES-GCM, which the floor is made with"

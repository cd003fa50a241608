"""`streamer bench whep`: N WebRTC viewers of one WHEP URL, what they saw, what the server paid, and the floor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

from bench.children import Child
from bench.figures import Spread
from bench.load_run import (
    START_UP_S,
    Measured,
    load_figures,
    load_notes,
    machine,
    measure,
    play_floor,
    publishing,
    shares,
)
from bench.media_sample import sample_starts
from bench.node_metrics import metrics_beside
from bench.picture_log import PictureFigures
from bench.sample_reading import read_samples
from bench.whep_floor import DatagramSchedule, WhepFloorPlan, WhepFloorReport, run_whep_floor, run_whep_readers
from bench.whep_http import WhepUrl
from bench.whep_result import WhepBenchOptions, WhepFloorFigures, WhepResult
from bench.whep_verdict import failures, node_figures, sound_figures
from bench.whep_viewers import WhepPlan, WhepReport, run_whep_viewers

__all__ = ["run_whep_bench"]

_SUMS = ("bytes", "packets", "reads", "expected", "missing", "dropped", "checked", "watching")
_CHECKED_SUMS = ("unrepaired", "repaired", "retransmissions", "damaged", "discarded")
_SOUND_SUMS = (
    *("sound_expected", "sound_missing", "unheard"),
    *("sounds", "sound_gaps", "sound_steps_back", "sound_malformed"),
)
_LISTS = ("answered", "connected", "first_packet", "first_keyframe", "largest_gap", "timeline_distance", "samples")
_COUNTERS = ("lost", "profiles", "origins", "undeleted")


def run_whep_bench(options: WhepBenchOptions) -> WhepResult:
    """Blocks for about the ramp, `seconds` and the floor. ValueError for options that cannot be, ChildError when a
    process of the run fails, ProcessLookupError or PermissionError for a server that cannot be looked at.
    """
    url = WhepUrl(options.url, options.token)
    with publishing(options):
        metrics = options.metrics or metrics_beside(options.url)
        measured: Measured[WhepReport] = measure(options, lambda stack: _start_viewers(stack, options, url), metrics)
    merged = _merge(measured.reports)
    floor = _measure_floor(options, merged) if options.floor else None
    return _result(options, measured, merged, floor)


@dataclass(frozen=True, slots=True)
class _MeasuredFloor:
    report: WhepFloorReport
    viewers: int
    dropped: int


def _start_viewers(stack: ExitStack, options: WhepBenchOptions, url: WhepUrl) -> list[Child]:
    """The viewers in near-equal shares, one process each."""
    divided = shares(options.viewers, options.processes)
    ramp, samples = options.ramp / len(divided), tuple(sample_starts(options.seconds))
    plans = [WhepPlan(url, first, count, ramp, options.decrypt_every, samples) for first, count in divided]
    return [
        stack.enter_context(Child(f"viewers {number}", run_whep_viewers, plan)) for number, plan in enumerate(plans, 1)
    ]


def _merge(reports: list[WhepReport]) -> WhepReport:
    """The processes' reports as one; `seconds` and `cpu_seconds` are left to the caller."""
    merged = WhepReport(figures=PictureFigures())
    for report in reports:
        for name in (*_SUMS, *_CHECKED_SUMS, *_SOUND_SUMS):
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
        counts = [count for _, count in shares(viewers, options.processes)]
        readers = [stack.enter_context(Child("floor's viewers", run_whep_readers, count)) for count in counts]
        ports = tuple(port for reader in readers for port in reader.hear(START_UP_S))
        floor = stack.enter_context(Child("floor", run_whep_floor, WhepFloorPlan(schedule, ports)))
        report: WhepFloorReport
        report, dropped = play_floor(options, floor, readers)
    return _MeasuredFloor(report, viewers, sum(dropped))


def _result(
    options: WhepBenchOptions, measured: Measured[WhepReport], merged: WhepReport, floor: _MeasuredFloor | None
) -> WhepResult:
    watching, seconds, pictures = max(1, merged.watching), measured.seconds, merged.figures
    figures = load_figures(measured, options.viewers, merged.watching, merged.lost)
    first, last = measured.looks[0].kernel_drops, measured.looks[-1].kernel_drops
    reading = read_samples(merged.samples)
    sound = sound_figures(merged, reading)
    return WhepResult(
        **figures,
        conditions=_conditions(options, merged),
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
        reads_per_second_per_viewer=merged.reads / seconds / max(1, merged.checked),
        packets_expected=merged.expected,
        packets_missing=merged.missing,
        packets_dropped_by_viewers=merged.dropped,
        kernel_drops={place: count - first.get(place, 0) for place, count in last.items()},
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
        sound=sound,
        srtp_profiles=dict(merged.profiles),
        timeline_origins=dict(merged.origins),
        timeline_distance_ms=Spread.of(merged.timeline_distance, 1000),
        sessions_not_deleted=dict(merged.undeleted),
        node=node_figures(measured.looks),
        floor=_floor_figures(floor, figures["server_cpu_per_viewer"]),
        notes=list(_notes(options, measured, merged, floor)),
        failures=list(failures(options, sound, reading)),
    )


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


def _conditions(options: WhepBenchOptions, merged: WhepReport) -> dict[str, Any]:
    shown = {spec.name for spec in fields(options)} - {"url", "token", "publish", "pid", "floor", "seconds", "metrics"}
    return {
        "url": WhepUrl(options.url).shown,
        **{name: getattr(options, name) for name in sorted(shown)},
        "receive_buffer": merged.receive_buffer,
        "receive_offload": False,
        **machine(),
    }


def _notes(
    options: WhepBenchOptions, measured: Measured[WhepReport], merged: WhepReport, floor: _MeasuredFloor | None
) -> Iterator[str]:
    """What a reader of the figures must know before believing them."""
    yield from load_notes(options, measured, merged.lost.total())
    if merged.dropped:
        yield f"the viewers' own sockets dropped {merged.dropped} datagrams: that loss is the load's, not the server's"
    if merged.checked and not merged.figures.latency:
        yield "no latency: the stream carries no stamps; publish with --publish or `streamer bench publish`"
    if not merged.checked and merged.watching:
        yield "no checked viewer watched to the end: pictures, sound, repairs and latency are not known"
    if len(merged.origins) > 1:
        yield f"the viewers were told {len(merged.origins)} different timelines"
    if merged.undeleted:
        yield f"{sum(merged.undeleted.values())} sessions were not deleted: {', '.join(merged.undeleted)}"
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

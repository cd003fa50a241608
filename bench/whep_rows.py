"""The table of `streamer bench whep`."""

from __future__ import annotations

from bench.figures import Spread
from bench.load_run import MemoryAt
from bench.whep_result import SoundFigures, WhepResult

__all__ = ["whep_rows"]


def whep_rows(result: WhepResult) -> list[tuple[str, str]]:
    """(name, figures), in the order of reading."""
    return [
        *_run_rows(result),
        *_server_rows(result),
        *_joining_rows(result),
        *_media_rows(result),
        *_sound_rows(result.sound),
        *_node_rows(result),
        *_cost_rows(result),
    ]


def _run_rows(result: WhepResult) -> list[tuple[str, str]]:
    c = result.conditions
    lost = ", ".join(f"{count} {reason}" for reason, count in result.viewers_lost.items()) or "0"
    rate = f"{result.bits_per_second_per_viewer / 1e6:.2f} Mb/s"
    packets = f"{result.packets_per_second_per_viewer:.0f} packets a second"
    profiles = ", ".join(result.srtp_profiles) or "no SRTP"
    return [
        ("conditions", f"{c['cores']} cores, Linux {c['kernel']}, Python {c['python']}, load {c['load_average']:.1f}"),
        ("stream", f"{c['url']}, {rate} and {packets} a viewer, {profiles}"),
        ("viewers", f"{result.viewers_watching} watched {result.seconds:.1f} s to the end; lost: {lost}"),
    ]


def _server_rows(result: WhepResult) -> list[tuple[str, str]]:
    cpu = ("server CPU", "not measured")
    if result.server_cpu is not None and result.server_cpu_per_viewer is not None:
        cpu = ("server CPU", f"{result.server_cpu:.1f} % of a core, {result.server_cpu_per_viewer:.4f} % a viewer")
    if result.server_memory is None or result.server_rss_per_viewer is None:
        return [cpu]
    rss, pss = result.server_rss_per_viewer / 1024, (result.server_pss_per_viewer or 0) / 1024
    total = f"RSS {result.server_memory.rss / 2**20:.1f} MB"
    return [
        cpu,
        ("without its children", _own(result)),
        ("server memory", f"{total}; a viewer {rss:.1f} KB RSS, {pss:.1f} KB PSS"),
        ("memory over time", _over_time(result.server_memory_series)),
    ]


def _own(result: WhepResult) -> str:
    """Memory as it is: what one more viewer takes is the slope over runs with more and fewer of them."""
    cpu, memory = result.server_own_cpu_per_viewer, result.server_own_memory
    return "not measured" if cpu is None or memory is None else f"{cpu:.4f} % a viewer; PSS {memory.pss / 2**20:.1f} MB"


def _over_time(series: list[MemoryAt]) -> str:
    """RSS at the start, in the middle and at the end, and what the second half of the window added."""
    start, middle, end = series[0], series[len(series) // 2], series[-1]
    points = ", ".join(f"{point.rss / 2**20:.1f} MB at {point.at:.0f} s" for point in (start, middle, end))
    return f"RSS {points}; {(end.rss - middle.rss) / 2**20:+.1f} MB in the second half"


def _joining_rows(result: WhepResult) -> list[tuple[str, str]]:
    return [
        ("POST to 201, ms", str(result.answer_ms)),
        ("DTLS connected, ms", str(result.connected_ms)),
        ("first packet, ms", str(result.first_packet_ms)),
        ("first keyframe, ms", str(result.first_keyframe_ms)),
    ]


def _media_rows(result: WhepResult) -> list[tuple[str, str]]:
    share = 100 * result.packets_missing / max(1, result.packets_expected)
    loss = f"{result.packets_missing} of {result.packets_expected} packets, {share:.3f} %"
    repairs = f"{result.packets_repaired} came late or again, {result.packets_unrepaired} never"
    pictures = f"{result.pictures_shown} of {result.pictures} decodable, {result.pictures_damaged} incomplete"
    gops = (
        f"{result.gops} GOPs, {result.gops_damaged} damaged; {result.holes} holes, {result.backward_steps} steps back"
    )
    rows = [
        ("loss", f"{loss}; the viewers' sockets dropped {result.packets_dropped_by_viewers}"),
        ("kernel's drops", ", ".join(f"{place} {count}" for place, count in result.kernel_drops.items())),
        ("largest gap, ms", str(result.largest_gap_ms)),
        ("checked viewers", f"{result.checked}: {pictures}; {gops}"),
        ("repairs", f"{repairs}, {result.retransmissions} retransmissions, {result.packets_discarded} discarded"),
        ("freezes", f"{result.freezes}, {result.frozen_ms:.0f} ms in all"),
        ("added latency, ms", str(result.latency_ms)),
        ("timestamp error, ms", str(result.timestamp_error_ms)),
    ]
    if result.timeline_origins:
        origins = f"{len(result.timeline_origins)} for {sum(result.timeline_origins.values())} viewers"
        rows.append(("timelines", f"{origins}; first packet from it, ms: {result.timeline_distance_ms}"))
    return rows


def _sound_rows(sound: SoundFigures) -> list[tuple[str, str]]:
    if not sound.expected and not sound.viewers_without:
        return [("sound", "none was offered")]
    share = 100 * sound.missing / max(1, sound.expected)
    loss = f"{sound.missing} of {sound.expected} packets, {share:.3f} %"
    without = f"; {sound.viewers_without} viewers got none" if sound.viewers_without else ""
    undecodable = sound.undecodable + sound.malformed
    level = "not known" if sound.level_db.p50 is None else f"{sound.level_db.p50:.0f} dB of full scale"
    gaps = f"{sound.gaps} gaps, {sound.steps_back} steps back in {sound.packets} packets of checked viewers"
    return [
        ("sound loss", loss + without),
        ("sound", f"{gaps}; {sound.decoded} decoded, {undecodable} not; loudness {level}"),
        ("lip sync, ms", f"{_skew(sound.skew_ms)} by sender reports; {_skew(sound.skew_by_timeline_ms)} by timeline"),
        ("flashes", f"{len(sound.flashes)}, {sound.flashes_without_beep} without a beep"),
    ]


def _skew(skew: Spread) -> str:
    return "not known" if skew.max is None else f"p50 {skew.p50:.1f}   p95 {skew.p95:.1f}   max {skew.max:.1f}"


def _node_rows(result: WhepResult) -> list[tuple[str, str]]:
    node = result.node
    if node is None:
        return []
    lags = {"p50": node.lag_p50_ms, "p99": node.lag_p99_ms, "worst": node.lag_worst_ms}
    counts = {
        "viewers skipped": node.skips,
        "sent again": node.repairs,
        "not there to send again": node.unrepaired,
        "groups replayed": node.replays,
        "datagrams dropped": node.dropped,
        "viewers closed": node.closed,
    }
    return [
        ("event loop lag, ms", "   ".join(f"{name} {ms:.1f}" for name, ms in lags.items() if ms is not None)),
        ("the node says", ", ".join(f"{count:.0f} {name}" for name, count in counts.items())),
    ]


def _cost_rows(result: WhepResult) -> list[tuple[str, str]]:
    rows = [
        ("reads a second", f"{result.reads_per_second_per_viewer:.1f} a checked viewer"),
        ("load processes", ", ".join(f"{share:.0f} %" for share in result.load_cpu) + " of a core"),
    ]
    floor = result.floor
    if floor is None:
        return rows
    ratio = "" if floor.ratio is None else f"; server / floor {floor.ratio:.2f}"
    gso = "GSO" if floor.gso else "no GSO"
    rows += [
        ("floor CPU", f"{floor.cpu:.1f} % of a core, {floor.cpu_per_viewer:.4f} % a viewer{ratio}"),
        ("floor", f"{floor.us_per_packet:.2f} µs a packet, {gso}, receive offload off, {floor.language}"),
    ]
    return rows

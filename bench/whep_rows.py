"""The table of `streamer bench whep`."""

from __future__ import annotations

from bench.whep_bench import WhepResult

__all__ = ["whep_rows"]


def whep_rows(result: WhepResult) -> list[tuple[str, str]]:
    """(name, figures), in the order of reading."""
    return [
        *_run_rows(result),
        *_server_rows(result),
        *_joining_rows(result),
        *_media_rows(result),
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
    return [cpu, ("server memory", f"{total}; a viewer {rss:.1f} KB RSS, {pss:.1f} KB PSS")]


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


def _cost_rows(result: WhepResult) -> list[tuple[str, str]]:
    rows = [
        ("reads a second", f"{result.reads_per_second_per_viewer:.1f} a viewer"),
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

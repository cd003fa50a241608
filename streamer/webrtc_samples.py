"""What WebRTC counted, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ingest.whip_handler import WhipIngest
from relay.whep_handler import WhepRelay
from streamer.media_samples import rendition_viewers, switch_samples
from streamer.observe import Sample
from streamer.webrtc_endpoint import WebRtcEndpoint

__all__ = ["webrtc_samples"]


def webrtc_samples(endpoint: WebRtcEndpoint, whep: WhepRelay, whip: WhipIngest) -> Iterator[Sample]:
    """The socket and its peers, the viewers by WHEP, and the publishers by WHIP."""
    yield Sample("streamer_webrtc_peers", "gauge", "WebRTC peers", endpoint.peers)
    yield Sample("streamer_webrtc_half_open", "gauge", "Peers whose handshake is not over", endpoint.half_open)
    yield Sample("streamer_webrtc_tcp_connections", "gauge", "ICE-TCP connections", endpoint.tcp_connections)
    yield Sample("streamer_webrtc_datagrams_total", "counter", "Datagrams received", endpoint.datagrams)
    for reason, count in sorted(endpoint.dropped.items()):
        yield Sample("streamer_webrtc_dropped_total", "counter", "Datagrams dropped", count, {"reason": reason})
    yield from _whep_samples(whep)
    yield from _whip_samples(whip)


def _whep_samples(whep: WhepRelay) -> Iterator[Sample]:
    totals = whep.totals()
    yield Sample("streamer_whep_viewers", "gauge", "WHEP viewers, those who connect included", whep.viewer_count)
    yield Sample("streamer_whep_joins_total", "counter", "Offers that were answered", whep.joins)
    counts = {
        "packets": (totals.packets, "RTP packets sent, repairs aside"),
        "bytes": (totals.octets, "RTP payload bytes sent, repairs aside"),
        "repairs": (totals.repaired, "Packets sent again after a NACK"),
        "unrepaired": (totals.unrepaired, "Packets asked for again that are gone, or too many"),
        "keyframe_requests": (totals.keyframe_requests, "PLI and FIR"),
        "replays": (totals.replays, "Groups of pictures sent again"),
        "skips": (totals.skips, "Skips of viewers to a keyframe"),
    }
    for name, (count, help_text) in counts.items():
        yield Sample(f"streamer_whep_{name}_total", "counter", help_text, count)
    shown = Counter(session.renditions[0] for session in whep.sessions())
    for rendition, count in sorted(shown.items()):
        yield rendition_viewers("whep", rendition, count)
    yield from switch_samples("whep", whep.switches)
    for reason, count in sorted(whep.closed.items()):
        yield Sample("streamer_whep_closed_total", "counter", "WHEP viewers closed", count, {"reason": reason})
    for status, count in sorted(whep.refused.items()):
        yield Sample("streamer_whep_refused_total", "counter", "Offers refused", count, {"status": status})


def _whip_samples(whip: WhipIngest) -> Iterator[Sample]:
    totals = whip.totals()
    sessions = whip.sessions()
    yield Sample("streamer_whip_publishers", "gauge", "WHIP publishers, those who connect included", len(sessions))
    yield Sample("streamer_whip_accepted_total", "counter", "Offers that were answered", whip.accepted)
    counts = {
        "packets": (totals.packets, "RTP packets received, retransmissions included"),
        "bytes": (totals.bytes, "RTP payload bytes received"),
        "asked": (totals.asked, "Packets asked for again"),
        "repairs": (totals.repaired, "Packets that were missing and came"),
        "lost": (totals.lost, "Packets given up"),
        "keyframe_requests": (totals.keyframe_requests, "Keyframes asked for"),
        "dropped": (totals.dropped, "Pictures and sounds left out, damaged or without their references"),
    }
    for name, (count, help_text) in counts.items():
        yield Sample(f"streamer_whip_{name}_total", "counter", help_text, count)
    for reason, count in sorted(whip.closed.items()):
        yield Sample("streamer_whip_closed_total", "counter", "WHIP publishers closed", count, {"reason": reason})
    for status, count in sorted(whip.refused.items()):
        yield Sample("streamer_whip_refused_total", "counter", "WHIP requests refused", count, {"status": status})

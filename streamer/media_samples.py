"""What the floors below counted, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ingest.rtmp_server import RtmpIngest
from media.hub import Hub
from relay.flv_handler import FlvRelay
from streamer.observe import Sample

__all__ = ["media_samples"]


def media_samples(hub: Hub, rtmp: RtmpIngest, flv: FlvRelay) -> Iterator[Sample]:
    """Streams, publishers and viewers of this node."""
    yield from _stream_samples(hub)
    yield from _rtmp_samples(rtmp)
    yield from _flv_samples(flv)


def _stream_samples(hub: Hub) -> Iterator[Sample]:
    states = Counter(str(stream.state) for stream in hub.streams)
    for state in ("live", "waiting", "stopped"):
        yield Sample("streamer_streams", "gauge", "Streams by state", states[state], {"state": state})
    for stream in hub.streams:
        room = {"room": stream.key}
        counters = stream.counters
        yield Sample("streamer_stream_bytes_total", "counter", "Media bytes from the publisher", counters.bytes, room)
        for kind, count in (("video", counters.video_units), ("audio", counters.audio_units)):
            yield Sample(
                "streamer_stream_units_total", "counter", "Access units published", count, {**room, "kind": kind}
            )
        for reason, count in sorted(stream.drops.items()):
            yield Sample(
                "streamer_stream_drops_total", "counter", "Access units dropped", count, {**room, "reason": reason}
            )
        yield Sample("streamer_stream_takeovers_total", "counter", "Publishers displaced", counters.takeovers, room)
        yield Sample("streamer_stream_resumes_total", "counter", "Publishers that came back", counters.resumes, room)
        yield Sample(
            "streamer_stream_rebases_total", "counter", "Jumps of the publisher's clock", stream.timeline.rebases, room
        )
        yield Sample("streamer_stream_buffered_bytes", "gauge", "Bytes kept for joiners", stream.buffered_bytes, room)


def _rtmp_samples(rtmp: RtmpIngest) -> Iterator[Sample]:
    counters = rtmp.counters
    yield Sample("streamer_rtmp_connections", "gauge", "Open RTMP connections", rtmp.connections)
    yield Sample("streamer_rtmp_accepted_total", "counter", "RTMP connections accepted", counters.connections)
    yield Sample("streamer_rtmp_refused_total", "counter", "RTMP connections over a limit", counters.refused)
    yield Sample("streamer_rtmp_received_bytes_total", "counter", "Bytes from RTMP peers", counters.bytes)


def _flv_samples(flv: FlvRelay) -> Iterator[Sample]:
    counters = flv.counters
    yield Sample("streamer_flv_viewers", "gauge", "FLV viewers, those who wait included", flv.viewer_count)
    yield Sample("streamer_flv_joins_total", "counter", "FLV viewers that began to watch", flv.joins)
    yield Sample("streamer_flv_skips_total", "counter", "Skips of slow viewers to a keyframe", counters.skips)
    yield Sample(
        "streamer_flv_skipped_writes_total",
        "counter",
        "Writes that slow viewers went without",
        counters.skipped_batches,
    )
    for reason, count in sorted(flv.closed.items()):
        yield Sample("streamer_flv_closed_total", "counter", "FLV viewers closed", count, {"reason": reason})

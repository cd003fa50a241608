"""What the transcode workers did, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.transcoding import Transcoding
from streamer.observe import Sample

__all__ = ["transcode_samples"]


def transcode_samples(transcoding: Transcoding) -> Iterator[Sample]:
    """Workers, what they cost, and what went wrong."""
    counters = transcoding.counters
    yield Sample("streamer_transcode_workers", "gauge", "Transcode workers that run", transcoding.workers)
    yield Sample(
        "streamer_transcode_cpu_seconds_total", "counter", "Processor time of all workers", transcoding.cpu_seconds
    )
    for name, text, count in (
        ("starts", "Workers started", counters.starts),
        ("restarts", "Workers started again after a fault", counters.restarts),
        ("hangs", "Workers killed because they did not answer", counters.hangs),
        ("units_in", "Access units given to workers", counters.units_in),
        ("units_out", "Access units that workers made", counters.units_out),
    ):
        yield Sample(f"streamer_transcode_{name}_total", "counter", text, count)
    for reason, count in sorted(counters.drops.items()):
        yield Sample(
            "streamer_transcode_drops_total",
            "counter",
            "Access units that were not transcoded",
            count,
            {"reason": reason},
        )

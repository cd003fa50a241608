"""What the transcode workers did, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.transcoder import Transcoder
from ingest.transcoding import Transcoding
from streamer.observe import Sample, histogram_samples

__all__ = ["transcode_samples"]

MS_PER_S = 1000


def transcode_samples(transcoding: Transcoding) -> Iterator[Sample]:
    """Workers, rungs, what they cost, and what went wrong."""
    yield Sample("streamer_transcode_workers", "gauge", "Transcode workers that work", transcoding.workers)
    yield Sample(
        "streamer_transcode_cpu_seconds_total", "counter", "Processor time of all workers", transcoding.cpu_seconds
    )
    yield Sample("streamer_transcode_rungs", "gauge", "Rungs that are encoded now", transcoding.rungs_made)
    yield from _counts(transcoding)
    yield from histogram_samples(
        "streamer_transcode_rung_seconds",
        "From the unit that released a picture to the rung's unit",
        transcoding.counters.rung_delays,
    )
    for transcoder in transcoding.transcoders:
        yield from _rungs(transcoder)


def _counts(transcoding: Transcoding) -> Iterator[Sample]:
    counters = transcoding.counters
    for name, text, count in (
        ("starts", "Workers started", counters.starts),
        ("restarts", "Workers started again after a fault", counters.restarts),
        ("hangs", "Workers killed because they did not answer", counters.hangs),
        ("units_in", "Units of sound given to workers", counters.units_in),
        ("units_out", "Units of sound that workers made", counters.units_out),
        ("pictures_in", "Pictures given to workers", counters.pictures_in),
        ("pictures_out", "Pictures of rungs that workers made", counters.pictures_out),
        ("rung_starts", "Encoders of rungs started", counters.rung_starts),
        ("rung_failures", "Encoders of rungs that gave up", counters.rung_failures),
        ("rungs_shed", "Rungs taken away because the machine was too busy", counters.rungs_shed),
        ("rungs_lowered", "Rungs put to half the frame rate because the machine was too busy", counters.rungs_lowered),
        ("rungs_refused", "Rungs that were wanted and not begun", counters.rungs_refused),
        ("late_pictures", "Pictures left out because an encoder was too slow", counters.late_pictures),
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


def _rungs(transcoder: Transcoder) -> Iterator[Sample]:
    """Counters of every rung that the broadcast has had, gauges of those that are encoded now."""
    picture, room = transcoder.picture, transcoder.stream.key
    for name, counters in sorted(picture.counters_by_rung.items()):
        labels = {"room": room, "rung": name}
        for kind, text, value in (
            ("units", "Pictures of this rung", counters.units),
            ("bytes", "Bytes of this rung", counters.bytes),
            ("cpu_seconds", "Processor time of this rung's encoder", counters.cpu_seconds),
            ("late", "Pictures that this rung was left out of", counters.late),
            ("starts", "Starts of this rung's encoder", counters.starts),
            ("sheds", "Times that this rung was taken away", counters.sheds),
        ):
            yield Sample(f"streamer_rung_{kind}_total", "counter", text, value, labels)
    for made in picture.rungs:
        labels = {"room": room, "rung": made.name}
        lag = made.depth_ms / MS_PER_S
        yield Sample("streamer_rung_lag_seconds", "gauge", "Pictures that wait for this rung's encoder", lag, labels)
        if made.cores is not None:
            yield Sample("streamer_rung_cores", "gauge", "Processors that this rung takes", made.cores, labels)

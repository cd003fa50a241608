"""What the floors below counted, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ingest.rtmp_server import RtmpIngest
from media.hub import Hub
from media.reasons import ENDED, SHUTDOWN, STOPPED, TOO_SLOW, VANISHED
from media.stream import Stream
from relay.flv_handler import FlvRelay
from streamer.health_board import HealthBoard
from streamer.observe import Sample, histogram_samples
from streamer.recordings import Recordings

__all__ = ["MediaSamples", "rendition_viewers", "switch_samples"]

# A counter that appears with its first event shows no increase for it, so the usual ones are there from the start.
DROPS = ("before keyframe", "displaced", "overlap", "pts before dts")
CLOSED = tuple(reason.name for reason in (ENDED, SHUTDOWN, STOPPED, TOO_SLOW, VANISHED))
RECORDING_DROPS = ("before keyframe", "slow disk")


class MediaSamples:
    """Streams, publishers, viewers and recordings of this node."""

    def __init__(self, hub: Hub, rtmp: RtmpIngest, flv: FlvRelay, health: HealthBoard, recordings: Recordings) -> None:
        self._hub = hub
        self._rtmp = rtmp
        self._flv = flv
        self._health = health
        self._recordings = recordings

    def samples(self) -> Iterator[Sample]:
        """For Metrics."""
        yield from self._stream_samples()
        yield from self._health_samples()
        yield from self._rtmp_samples()
        yield from self._flv_samples()
        yield from self._recording_samples()

    def _stream_samples(self) -> Iterator[Sample]:
        states = Counter(str(stream.state) for stream in self._hub.streams)
        for state in ("live", "waiting", "stopped"):
            yield Sample("streamer_streams", "gauge", "Streams by state", states[state], {"state": state})
        sent = self._flv.bytes_by_room()
        for stream in self._hub.streams:
            yield from _one_stream(stream, sent[stream.key])
        yield Sample("streamer_blocked_rooms", "gauge", "Rooms whose publishers are refused", len(self._hub.blocked))
        yield from histogram_samples(
            "streamer_publish_to_live_seconds",
            "From an accepted publisher to media that viewers can be given",
            self._hub.publish_times,
        )

    def _health_samples(self) -> Iterator[Sample]:
        reports = [report for stream in self._hub.streams if (report := self._health.report(stream))]
        found = Counter((finding.code, str(finding.severity)) for report in reports for finding in report.findings)
        for (code, severity), count in sorted(found.items()):
            labels = {"code": code, "severity": severity}
            yield Sample("streamer_health_findings", "gauge", "Streams with this finding", count, labels)

    def _rtmp_samples(self) -> Iterator[Sample]:
        counters = self._rtmp.counters
        yield Sample("streamer_rtmp_connections", "gauge", "Open RTMP connections", self._rtmp.connections)
        yield Sample("streamer_rtmp_accepted_total", "counter", "RTMP connections accepted", counters.connections)
        yield Sample("streamer_rtmp_refused_total", "counter", "RTMP connections over a limit", counters.refused)
        yield Sample("streamer_rtmp_received_bytes_total", "counter", "Bytes from RTMP peers", counters.bytes)

    def _flv_samples(self) -> Iterator[Sample]:
        flv, counters = self._flv, self._flv.counters
        yield Sample("streamer_flv_viewers", "gauge", "FLV viewers, those who wait included", flv.viewer_count)
        yield Sample("streamer_flv_joins_total", "counter", "FLV viewers that began to watch", flv.joins)
        yield Sample("streamer_flv_sent_bytes_total", "counter", "Bytes sent to FLV viewers", flv.bytes_sent)
        yield Sample("streamer_flv_skips_total", "counter", "Skips of slow viewers to a keyframe", counters.skips)
        yield Sample(
            "streamer_flv_skipped_writes_total",
            "counter",
            "Writes that slow viewers went without",
            counters.skipped_batches,
        )
        for rendition, count in sorted(Counter(name for _, name, _ in flv.viewers()).items()):
            yield rendition_viewers("flv", rendition, count)
        yield from switch_samples("flv", flv.switches)
        yield from _by_reason("streamer_flv_closed_total", "FLV viewers closed", flv.closed, CLOSED)
        yield from histogram_samples(
            "streamer_flv_join_seconds", "From a player's request to its first byte of media", counters.join_times
        )

    def _recording_samples(self) -> Iterator[Sample]:
        recorder = self._recordings.recorder
        counters = recorder.counters
        active = sum(recording.is_active for recording in recorder.recordings)
        yield Sample("streamer_recordings", "gauge", "Recordings being written", active)
        yield Sample("streamer_recording_bytes_total", "counter", "Bytes written to recordings", counters.bytes)
        yield Sample("streamer_recording_files_total", "counter", "Files begun", counters.files)
        yield Sample(
            "streamer_recording_failures_total", "counter", "Recordings that the disk ended", counters.failures
        )
        yield Sample("streamer_recording_skips_total", "counter", "Holes that a slow disk left", counters.skips)
        yield from _by_reason(
            "streamer_recording_drops_total", "Units left out of recordings", counters.drops, RECORDING_DROPS
        )


def rendition_viewers(transport: str, rendition: str, count: int) -> Sample:
    """How many are shown this rendition."""
    labels = {"transport": transport, "rendition": rendition}
    return Sample("streamer_rendition_viewers", "gauge", "Viewers by what they are shown", count, labels)


def switch_samples(transport: str, switches: Mapping[tuple[str, str], int]) -> Iterator[Sample]:
    """Changes of rung."""
    for (direction, reason), count in sorted(switches.items()):
        labels = {"transport": transport, "direction": direction, "reason": reason}
        yield Sample("streamer_switches_total", "counter", "Changes of rung by direction and reason", count, labels)


def _one_stream(stream: Stream, sent: int) -> Iterator[Sample]:
    room = {"room": stream.key}
    counters = stream.counters
    yield Sample("streamer_stream_bytes_total", "counter", "Media bytes from the publisher", counters.bytes, room)
    yield Sample("streamer_stream_sent_bytes_total", "counter", "Bytes sent to the stream's viewers", sent, room)
    for kind, count in (("video", counters.video_units), ("audio", counters.audio_units)):
        labels = {**room, "kind": kind}
        yield Sample("streamer_stream_units_total", "counter", "Access units published", count, labels)
    yield from _by_reason("streamer_stream_drops_total", "Access units dropped", stream.drops, DROPS, room)
    yield Sample("streamer_stream_takeovers_total", "counter", "Publishers displaced", counters.takeovers, room)
    yield Sample("streamer_stream_resumes_total", "counter", "Publishers that came back", counters.resumes, room)
    yield Sample(
        "streamer_stream_rebases_total", "counter", "Jumps of the publisher's clock", stream.timeline.rebases, room
    )
    yield Sample("streamer_stream_buffered_bytes", "gauge", "Bytes kept for joiners", stream.buffered_bytes, room)


def _by_reason(
    name: str, about: str, counts: Mapping[str, int], usual: tuple[str, ...], labels: Mapping[str, str] | None = None
) -> Iterator[Sample]:
    for reason in sorted({*usual, *counts}):
        yield Sample(name, "counter", about, counts.get(reason, 0), {**(labels or {}), "reason": reason})

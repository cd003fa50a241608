"""From the node's own state to the answers of the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from ingest.health_values import AudioHealth, Health, VideoHealth
from media.clock import Clock
from media.hub import Hub
from media.stream import Stream, StreamState
from media.ticks import to_ms
from media.track import SOURCE, Track
from relay.adaptation import FALL_BACKLOG_MS
from relay.batch import Framing
from relay.flv_handler import FlvRelay
from relay.flv_seat import FlvSeat
from relay.flv_viewer import FlvViewer
from relay.renditions import list_renditions
from relay.whep_handler import WhepRelay
from relay.whep_session import WhepSession
from streamer.api_answers import (
    CountersAnswer,
    PublisherAnswer,
    RecordingAnswer,
    RenditionAnswer,
    RenditionsAnswer,
    StreamAnswer,
    StreamEntry,
    StreamsAnswer,
    Timestamp,
    TrackAnswer,
    ViewerAnswer,
    ViewerHealth,
    ViewersAnswer,
    WallAnswer,
)
from streamer.health_board import HealthBoard
from streamer.recordings import Recordings
from wire.codecs.aac import AacConfig
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig

__all__ = ["ApiViews"]

LOSSY = 0.05
"""The share of lost packets above which a viewer is no longer fine."""


class ApiViews:
    """Looks at the floors below, and changes nothing."""

    def __init__(
        self, hub: Hub, flv: FlvRelay, whep: WhepRelay, *, health: HealthBoard, recordings: Recordings, clock: Clock
    ) -> None:
        self._hub = hub
        self._flv = flv
        self._whep = whep
        self._health = health
        self._recordings = recordings
        self._clock = clock

    def streams(self) -> StreamsAnswer:
        """All of them, by room."""
        viewers = self.viewer_counts()
        streams = sorted(self._hub.streams, key=lambda stream: stream.key)
        blocked = {room: round(left, 1) for room, left in self._hub.blocked.items()}
        return StreamsAnswer(tuple(self._entry(stream, viewers[stream.key]) for stream in streams), blocked)

    def stream(self, stream: Stream) -> StreamAnswer:
        """All that is known of one."""
        health = self._health.report(stream)
        recording = self._recordings.of(stream)
        return StreamAnswer(
            room=stream.key,
            state=stream.state,
            epoch=stream.epoch,
            started=_timestamp(stream.started_at),
            state_since=self._since(stream.state_since),
            live_edge=stream.live_edge,
            tracks=tuple(
                _track(track, stream, health) for track in (*stream.renditions.values(), *stream.audio.values())
            ),
            publisher=self._publisher(stream),
            viewers=self.viewer_counts()[stream.key],
            buffered_bytes=stream.buffered_bytes,
            counters=self._counters(stream),
            wall=self._wall(stream),
            recording=RecordingAnswer(recording.is_active, recording.skips) if recording else None,
            severity=health.severity if health else None,
            health=health,
        )

    def viewer_counts(self) -> Counter[str]:
        """Viewers by room, on every transport."""
        counts = Counter(room for room, _, _ in self._flv.viewers())
        counts.update(session.stream.key for session in self._whep.sessions())
        return counts

    def rendition_counts(self, room: str | None = None) -> Counter[tuple[str, str]]:
        """Viewers by transport, `flv` or `whep`, and by what they are shown; of one room, or of all."""
        counts = Counter(("flv", name) for at, name, _ in self._flv.viewers() if room in (None, at))
        sessions = [session for session in self._whep.sessions() if room in (None, session.stream.key)]
        counts.update(("whep", session.renditions[0]) for session in sessions)
        return counts

    def renditions(self, stream: Stream) -> RenditionsAnswer:
        """What viewers of this stream may be shown."""
        counts = self.rendition_counts(stream.key)
        return RenditionsAnswer(
            tuple(
                RenditionAnswer(
                    name=rendition.name,
                    codec=rendition.codec,
                    codec_string=rendition.codec_string,
                    width=rendition.width,
                    height=rendition.height,
                    frame_rate=None if rendition.frame_rate is None else round(rendition.frame_rate, 3),
                    bitrate=rendition.bitrate,
                    measured_bitrate=stream.bitrate(rendition.name),
                    viewers=counts["flv", rendition.name] + counts["whep", rendition.name],
                    cost=rendition.cost,
                    is_made=rendition.is_made,
                )
                for rendition in list_renditions(stream)
            )
        )

    def viewers(self, room: str | None, limit: int) -> ViewersAnswer:
        """Everybody, or those of one room."""
        found = [viewer for viewer in self._all_viewers() if room is None or viewer.room == room]
        found.sort(key=lambda viewer: viewer.joined)
        return ViewersAnswer(len(found), tuple(found[:limit]))

    def viewer(self, name: str) -> ViewerAnswer | None:
        """The viewer of this id."""
        return next((viewer for viewer in self._all_viewers() if viewer.id == name), None)

    def _all_viewers(self) -> Iterator[ViewerAnswer]:
        for entry in self._flv.viewers():
            yield self._viewer(*entry)
        for session in self._whep.sessions():
            yield self._whep_viewer(session)

    def _whep_viewer(self, session: WhepSession) -> ViewerAnswer:
        totals = session.totals()
        seat, now = session.seat, self._clock.now()
        return ViewerAnswer(
            id=session.id,
            room=session.stream.key,
            rendition=session.renditions[0],
            asked=seat.wanted if seat else None,
            moving_to=seat.switch.new.track.rendition if seat and seat.switch else None,
            switches=seat.switches if seat else 0,
            health=ViewerHealth.LOSSY if session.estimate.recent_loss(now) > LOSSY else ViewerHealth.FINE,
            estimate=session.estimate.remb(now),
            transport="whep",
            peer=session.client,
            joined=self._since(session.created_at),
            bytes=totals.octets,
            queued_bytes=0,  # its backlog is its place in the packets that all viewers share
            skips=totals.skips,
        )

    def _entry(self, stream: Stream, viewers: int) -> StreamEntry:
        health = self._health.report(stream)
        video, audio = stream.source_video, stream.source_audio
        return StreamEntry(
            room=stream.key,
            state=stream.state,
            epoch=stream.epoch,
            started=_timestamp(stream.started_at),
            video=video.codec if video else None,
            audio=audio.codec if audio else None,
            viewers=viewers,
            publisher=self._publisher(stream),
            recording=self._recordings.of(stream) is not None,
            severity=health.severity if health else None,
            findings=health.findings if health else (),
        )

    def _publisher(self, stream: Stream) -> PublisherAnswer | None:
        publisher = self._hub.publisher(stream.key)
        return PublisherAnswer(publisher.peer, self._since(publisher.since)) if publisher else None

    def _counters(self, stream: Stream) -> CountersAnswer:
        counters = stream.counters
        return CountersAnswer(
            video_units=counters.video_units,
            audio_units=counters.audio_units,
            keyframes=counters.keyframes,
            events=counters.events,
            bytes=counters.bytes,
            bytes_out=self._flv.bytes_by_room()[stream.key],
            takeovers=counters.takeovers,
            resumes=counters.resumes,
            rebases=stream.timeline.rebases,
            oversized_gops=stream.oversized_gops,
            drops=dict(stream.drops),
        )

    def _wall(self, stream: Stream) -> WallAnswer | None:
        if stream.timeline.position is None or stream.state is not StreamState.LIVE:
            return None
        now = self._clock.wall()
        return WallAnswer(_timestamp(now), stream.timeline.to_media(now))

    def _viewer(self, room: str, rendition: str, viewer: FlvViewer) -> ViewerAnswer:
        transport: Literal["http-flv", "ws-flv"] = "ws-flv" if viewer.framing is Framing.WEBSOCKET else "http-flv"
        seat = self._flv.seat_of(viewer)
        return ViewerAnswer(
            id=viewer.id,
            room=room,
            rendition=rendition,
            asked=seat.wanted if seat else None,
            moving_to=seat.switch.new.rendition if seat and seat.switch else None,
            switches=seat.switches if seat else 0,
            health=_flv_health(viewer, seat),
            estimate=None,
            transport=transport,
            peer=viewer.peer,
            joined=self._since(viewer.joined_at),
            bytes=viewer.bytes_sent,
            queued_bytes=viewer.queued_bytes,
            skips=viewer.skips,
        )

    def _since(self, monotonic: float) -> Timestamp:
        return _timestamp(self._clock.wall() - (self._clock.now() - monotonic))


def _flv_health(viewer: FlvViewer, seat: FlvSeat | None) -> ViewerHealth:
    if viewer.is_skipping:
        return ViewerHealth.SKIPPING
    is_behind = seat is not None and to_ms(viewer.queued_ticks(seat.packager.newest_dts)) > FALL_BACKLOG_MS
    return ViewerHealth.BEHIND if is_behind else ViewerHealth.FINE


def _timestamp(wall: float) -> Timestamp:
    return Timestamp(datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def _track(track: Track, stream: Stream, health: Health | None) -> TrackAnswer:
    config = track.config
    picture = config if isinstance(config, H264Config | H265Config) else None
    sound = config if isinstance(config, AacConfig | OpusConfig | OpaqueConfig) and not track.is_video else None
    named = config if isinstance(config, H264Config | H265Config | AacConfig | OpusConfig) else None
    measured: VideoHealth | AudioHealth | None = None
    if health is not None and track.rendition == SOURCE:
        measured = health.video if track.is_video else health.audio
    return TrackAnswer(
        kind="video" if track.is_video else "audio",
        rendition=track.rendition,
        codec=track.codec,
        codec_string=named.codec_string if named else None,
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        frame_rate=round(stream.frame_rate, 3) if track.is_video and stream.frame_rate else None,
        sample_rate=sound.sample_rate if sound else None,
        channels=sound.channels if sound else None,
        bitrate=measured.bitrate if measured else None,
    )

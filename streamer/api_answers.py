"""What the API answers with, as frozen values: its description is made from these, so that both agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NewType

from ingest.health_values import Finding, Health, Severity
from media.stream import StreamState

__all__ = [
    "CountersAnswer",
    "ProblemAnswer",
    "PublisherAnswer",
    "RecordingAnswer",
    "StreamAnswer",
    "StreamEntry",
    "StreamsAnswer",
    "Timestamp",
    "TrackAnswer",
    "ViewerAnswer",
    "ViewersAnswer",
    "WallAnswer",
]

Timestamp = NewType("Timestamp", str)
"""RFC 3339, UTC."""


@dataclass(frozen=True, slots=True)
class PublisherAnswer:
    """Who writes the stream now: its IP address, and since when."""

    peer: str
    since: Timestamp


@dataclass(frozen=True, slots=True)
class TrackAnswer:
    """One track. `codec_string` is as RFC 6381 has it; rates are per second, `bitrate` in bit/s as measured."""

    kind: Literal["video", "audio"]
    rendition: str
    codec: str
    codec_string: str | None
    width: int | None
    height: int | None
    frame_rate: float | None
    sample_rate: int | None
    channels: int | None
    bitrate: float | None


@dataclass(frozen=True, slots=True)
class CountersAnswer:
    """Counts since the broadcast began. `drops` are access units that were left out, by reason; `bytes` is media from
    the publisher, `bytes_out` what viewers were sent."""

    video_units: int
    audio_units: int
    keyframes: int
    events: int
    bytes: int
    bytes_out: int
    takeovers: int
    resumes: int
    rebases: int
    oversized_gops: int
    drops: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WallAnswer:
    """Wall clock to media time: at `at`, the media that arrived had the time `t`, in 90 kHz ticks."""

    at: Timestamp
    t: int


@dataclass(frozen=True, slots=True)
class RecordingAnswer:
    """The recording of a broadcast. `skips` counts the holes that a slow disk left."""

    active: bool
    skips: int


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """A stream in the list. `severity` is that of the worst finding, which comes first."""

    room: str
    state: StreamState
    epoch: str
    started: Timestamp
    video: str | None
    audio: str | None
    viewers: int
    publisher: PublisherAnswer | None
    recording: bool
    severity: Severity | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class StreamsAnswer:
    """The streams of this node, by room. `blocked` are rooms whose publishers are refused, with the seconds left."""

    streams: tuple[StreamEntry, ...]
    blocked: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """One stream. `live_edge` is the newest media time in 90 kHz ticks; `buffered_bytes` are kept for joiners;
    `publisher` is None while it is gone and may come back, `health` before any publisher was watched."""

    room: str
    state: StreamState
    epoch: str
    started: Timestamp
    state_since: Timestamp
    live_edge: int
    tracks: tuple[TrackAnswer, ...]
    publisher: PublisherAnswer | None
    viewers: int
    buffered_bytes: int
    counters: CountersAnswer
    wall: WallAnswer | None
    recording: RecordingAnswer | None
    severity: Severity | None
    health: Health | None


@dataclass(frozen=True, slots=True)
class ViewerAnswer:
    """A remote player. `queued_bytes` is what its connection has not taken yet, `skips` how often it was too far behind
    and went on at a later keyframe."""

    id: str
    room: str
    rendition: str
    transport: Literal["http-flv", "ws-flv", "whep"]
    peer: str
    joined: Timestamp
    bytes: int
    queued_bytes: int
    skips: int


@dataclass(frozen=True, slots=True)
class ViewersAnswer:
    """Viewers, those who joined first come first. `total` counts also those beyond the limit."""

    total: int
    viewers: tuple[ViewerAnswer, ...]


@dataclass(frozen=True, slots=True)
class ProblemAnswer:
    """Why not (RFC 9457). `code` is the number of the reason that players and encoders are told too."""

    type: str
    title: str
    status: int
    detail: str
    code: int | None = None

"""What the API answers with, as frozen values: its description is made from these, so that both agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NewType

from ingest.health_values import Finding, Health, Severity
from media.stream import StreamState

__all__ = [
    "CountersAnswer",
    "ProblemAnswer",
    "PublisherAnswer",
    "RecordingAnswer",
    "RenditionAnswer",
    "RenditionsAnswer",
    "StreamAnswer",
    "StreamEntry",
    "StreamsAnswer",
    "Timestamp",
    "TrackAnswer",
    "ViewerAnswer",
    "ViewerHealth",
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


class ViewerHealth(StrEnum):
    """`behind`: more than its backlog should be waits for it. `skipping`: it has lost pictures and waits for the next
    keyframe. `lossy`: more of its packets are lost than repairs should have to cover."""

    FINE = "fine"
    BEHIND = "behind"
    SKIPPING = "skipping"
    LOSSY = "lossy"


@dataclass(frozen=True, slots=True)
class RenditionAnswer:
    """One picture that viewers may be shown. `codec_string` is as RFC 6381 has it, a forecast while it is not made;
    `bitrate` in bit/s is measured of the source and a bound of a rung; `measured_bitrate` as it came lately; `viewers`
    those who are shown it now; `cost` in cores, of encoding."""

    name: str
    codec: str
    codec_string: str
    width: int
    height: int
    frame_rate: float | None
    bitrate: int | None
    measured_bitrate: int | None
    viewers: int
    cost: float | None
    is_made: bool


@dataclass(frozen=True, slots=True)
class RenditionsAnswer:
    """The source and the rungs that may be asked for now, best first. Empty for sound alone."""

    renditions: tuple[RenditionAnswer, ...]


@dataclass(frozen=True, slots=True)
class ViewerAnswer:
    """A remote player. `rendition` is what it is shown now, `asked` what it asked for, None where its network decides;
    `moving_to` is where it is on its way to, `switches` how often it has changed. `queued_bytes` is what its connection
    has not taken yet, `skips` how often it was too far behind and went on at a later keyframe. `estimate` is what its
    path carries in bit/s by its own reports, where it sends them."""

    id: str
    room: str
    rendition: str
    asked: str | None
    moving_to: str | None
    switches: int
    health: ViewerHealth
    estimate: int | None
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

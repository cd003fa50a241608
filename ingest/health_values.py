"""What stream health says: frozen values, in the units that a host and an operator read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "ArrivalHealth",
    "AudioHealth",
    "ClockHealth",
    "Finding",
    "Health",
    "IngestCounters",
    "Severity",
    "VideoHealth",
]


class Severity(StrEnum):
    """`warning`: some viewers notice, or will. `problem`: most viewers notice now."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a stream. `code` never changes its meaning; `text` says what is, `advice` what to do."""

    code: str
    severity: Severity
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class IngestCounters:
    """What the timeline and the stream counted since the broadcast began: see `Timeline` and `Stream`."""

    drops: Mapping[str, int] = field(default_factory=dict)
    rebases: int = 0
    oversized_gops: int = 0


@dataclass(frozen=True, slots=True)
class VideoHealth:
    """The picture. Rates are per second of media time, bitrates in bit/s; None is "not known yet".

    `regularity` is the share of steps between pictures that are alike, 0 to 1; `missing_frames` counts the holes of
    whole frames in the window and `irregular_frames` the steps that fit no rhythm. Keyframe intervals are seconds of
    media; the longest one counts the one that still runs. `decode_delay_ms` is how long pictures wait for their turn.
    """

    codec: str
    codec_string: str | None
    profile: str | None
    width: int | None
    height: int | None
    bit_depth: int | None
    chroma_format: str | None
    interlaced: bool | None
    frame_rate: float | None
    frame_rate_low: float | None
    frame_rate_high: float | None
    declared_frame_rate: float | None
    frames: int
    regularity: float | None
    missing_frames: int
    irregular_frames: int
    bitrate: float | None
    keyframe_interval: float | None
    keyframe_interval_longest: float | None
    keyframes_automatic: bool
    keyframes_regular: bool
    b_frames: bool
    reorder_depth: int
    decode_delay_ms: float
    silent_s: float


@dataclass(frozen=True, slots=True)
class AudioHealth:
    """The sound. `sample_rate` in Hz, `bitrate` in bit/s; `silent_s` is how long ago the last frame of it arrived."""

    codec: str
    codec_string: str | None
    sample_rate: int | None
    channels: int | None
    bitrate: float | None
    silent_s: float


@dataclass(frozen=True, slots=True)
class ArrivalHealth:
    """How the media comes in, by the clock on the wall.

    `bitrate` is what the connection delivered. `jitter_ms` is the 95th percentile of how much later than the earliest
    a unit came; `pauses` counts the gaps that the media does not explain, `longest_pause_ms` is the longest.
    `lag_ms` is how much later media comes than it did at best within the last minute, `lag_growth_ms` how much more
    it gets each second. `ahead_ms` is by how much media came ahead of the clock, for those who send files.
    """

    bitrate: float | None
    jitter_ms: float | None
    pauses: int
    longest_pause_ms: float
    lag_ms: float
    lag_growth_ms: float
    ahead_ms: float


@dataclass(frozen=True, slots=True)
class ClockHealth:
    """The publisher's timestamps, in ms.

    `start_skew_ms` is by how much sound's first timestamp is ahead of the picture's. `arrival_skew_ms` is how much
    later sound arrives than the picture of the same timestamp, negative when it comes earlier. `jumps` counts since
    the publisher began, `recent_jumps` within the last minute; `backward_steps` are those too small to be jumps.
    """

    start_skew_ms: float | None
    arrival_skew_ms: float | None
    jumps: int
    recent_jumps: int
    largest_recent_jump_ms: float
    backward_steps: int


@dataclass(frozen=True, slots=True)
class Health:
    """One report. `observed_s` is how long this publisher has been watched. The worst finding comes first."""

    observed_s: float
    idle_s: float
    video: VideoHealth | None
    audio: AudioHealth | None
    arrival: ArrivalHealth
    clock: ClockHealth
    counters: IngestCounters
    findings: tuple[Finding, ...] = ()

    @property
    def severity(self) -> Severity:
        """Of the worst finding."""
        return self.findings[0].severity if self.findings else Severity.OK

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {"severity": str(self.severity), **asdict(self)}

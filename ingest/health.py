"""Stream health: what is wrong with a publisher's stream, from its units and when they arrived.

A pure function of both: no clock is read here. One monitor watches one publisher, on the publisher's own clock, before
the timeline mends anything; a publisher that comes back gets a new one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from ingest.health_findings import judge
from ingest.health_values import ArrivalHealth, AudioHealth, ClockHealth, Health, IngestCounters, VideoHealth
from ingest.health_window import (
    LAG_MEMORY,
    MIN_SPAN,
    WINDOW,
    Arrival,
    KeyframeRhythm,
    KindWindow,
    decode_delay,
    lags,
    media_bitrate,
    pauses,
    percentile,
    reorder_depth,
    rhythm,
)
from media.ticks import TICKS_PER_MS
from media.track import Track
from media.unit import AccessUnit
from wire.codecs.aac import AacConfig
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig

__all__ = ["HealthMonitor"]

PAUSE = 0.3
"""Seconds without media that count as a pause: several pictures, and more than a player's smallest buffer."""
REGULAR_SHARE = 0.1
"""Keyframe intervals that differ by less of their median are one interval."""
# H.264, A.2, and H.265, A.3
_H264_PROFILES = {66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 122: "High 4:2:2"}
_H264_PROFILES |= {244: "High 4:4:4 Predictive", 44: "CAVLC 4:4:4 Intra"}
_H265_PROFILES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range extensions"}
_CHROMA = {0: "4:0:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}
_CONSTRAINT_SET1 = 0x40


class HealthMonitor:
    """`observe` every unit as the publisher sent it, and ask for a `report` now and then (about a millisecond of work).

    `declared_frame_rate` is what the publisher says of itself, if it does. Seconds are of one monotonic clock; a unit
    that seems to arrive before the one before it counts as arriving with it.
    """

    def __init__(self, *, declared_frame_rate: float | None = None) -> None:
        self.declared_frame_rate = declared_frame_rate
        self._video = KindWindow()
        self._audio = KindWindow()
        self._keyframes = KeyframeRhythm()
        self._video_track: Track | None = None
        self._audio_track: Track | None = None
        self._first_arrived: float | None = None
        self._last_arrived = 0.0

    def __repr__(self) -> str:
        return f"<HealthMonitor video={len(self._video.arrivals)} audio={len(self._audio.arrivals)} in window>"

    def observe(self, unit: AccessUnit, arrived: float) -> None:
        """A unit on the publisher's clock arrived at `arrived` seconds. Takes a few microseconds and bounded memory."""
        if self._first_arrived is None:
            self._first_arrived = self._last_arrived = arrived
        arrived = self._last_arrived = max(self._last_arrived, arrived)
        track, dts = unit.track, unit.dts
        arrival = Arrival(arrived, dts, unit.pts, unit.size)
        if track.is_video:
            self._video_track = track
            jumped = self._video.observe(arrival)
            self._keyframes.observe(dts, keyframe=unit.keyframe, jumped=jumped)
        else:
            self._audio_track = track
            self._audio.observe(arrival)

    def report(self, now: float, counters: IngestCounters | None = None) -> Health:
        """What the last ten seconds say, and what to do about it."""
        now = max(now, self._last_arrived)
        health = Health(
            observed_s=round(now - self._first_arrived, 3) if self._first_arrived is not None else 0.0,
            idle_s=round(now - self._last_arrived, 3) if self._first_arrived is not None else 0.0,
            video=self._measure_video(self._video_track, now) if self._video_track is not None else None,
            audio=self._measure_audio(self._audio_track, now) if self._audio_track is not None else None,
            arrival=self._measure_arrival(now),
            clock=self._measure_clock(now),
            counters=counters or IngestCounters(),
        )
        return replace(health, findings=judge(health))

    def _measure_video(self, track: Track, now: float) -> VideoHealth:
        window = self._video
        arrivals = window.segment(now)
        steps = rhythm(arrivals)
        config = track.config
        known = config if isinstance(config, (H264Config, H265Config)) else None
        depth = reorder_depth(arrivals)
        intervals, running = self._keyframes.intervals, self._keyframes.running
        return VideoHealth(
            codec=str(track.codec),
            codec_string=known.codec_string if known else None,
            profile=_profile(known) if known else None,
            width=known.width if known else None,
            height=known.height if known else None,
            bit_depth=known.bit_depth if known else None,
            chroma_format=_CHROMA.get(known.chroma_format_idc) if known else None,
            interlaced=known.interlaced if known else None,
            frame_rate=round(steps.rate, 2) if steps else None,
            frame_rate_low=round(steps.low, 2) if steps else None,
            frame_rate_high=round(steps.high, 2) if steps else None,
            declared_frame_rate=self.declared_frame_rate,
            frames=len(arrivals),
            regularity=round(steps.regularity, 3) if steps else None,
            missing_frames=steps.missing if steps else 0,
            irregular_frames=steps.irregular if steps else 0,
            bitrate=_rounded(media_bitrate(arrivals)),
            keyframe_interval=round(statistics.median(intervals), 3) if intervals else None,
            keyframe_interval_longest=round(max([*intervals, running]), 3) if intervals or running else None,
            keyframes_automatic=self._keyframes.is_automatic,
            keyframes_regular=_is_regular(intervals),
            b_frames=depth > 0,
            reorder_depth=depth,
            decode_delay_ms=round(decode_delay(arrivals) / TICKS_PER_MS, 1),
            silent_s=round(now - window.last_arrived, 3),
        )

    def _measure_audio(self, track: Track, now: float) -> AudioHealth:
        config = track.config
        known = config if isinstance(config, (AacConfig, OpusConfig)) else None
        described = config if isinstance(config, (AacConfig, OpusConfig, OpaqueConfig)) else None
        return AudioHealth(
            codec=str(track.codec),
            codec_string=known.codec_string if known else None,
            sample_rate=described.sample_rate if described else None,
            channels=described.channels if described else None,
            bitrate=_rounded(media_bitrate(self._audio.segment(now))),
            silent_s=round(now - self._audio.last_arrived, 3),
        )

    def _measure_arrival(self, now: float) -> ArrivalHealth:
        window = self._video if self._video_track is not None else self._audio
        arrivals = window.segment(now)
        late = lags(arrivals)
        gaps = [gap for gap in pauses(arrivals) if gap > PAUSE]
        lag = window.lag(now)
        return ArrivalHealth(
            bitrate=_rounded(self._delivered(now)),
            jitter_ms=round(1000 * (percentile(late, 0.95) - min(late)), 1) if late else None,
            pauses=len(gaps),
            longest_pause_ms=round(1000 * max(gaps, default=0.0), 1),
            lag_ms=round(1000 * lag.behind, 1),
            lag_growth_ms=round(1000 * lag.growth, 1),
            ahead_ms=round(1000 * lag.ahead, 1),
        )

    def _delivered(self, now: float) -> float | None:
        """bit/s on the wall clock, both kinds together."""
        video, audio = self._video.recent(now), self._audio.recent(now)
        full = [w for w in (self._video.arrivals, self._audio.arrivals) if len(w) == w.maxlen]
        since = max([now - WINDOW, self._first_arrived or 0.0, *(w[0].arrived for w in full)])
        if self._first_arrived is None or now - since < MIN_SPAN:
            return None
        return 8 * sum(a.size for a in (*video, *audio) if a.arrived >= since) / (now - since)

    def _measure_clock(self, now: float) -> ClockHealth:
        video, audio = self._video, self._audio
        both = video.first_arrived is not None and audio.first_arrived is not None
        late_video, late_audio = lags(video.segment(now)), lags(audio.segment(now))
        skew: float | None = None
        if late_video and late_audio:
            skew = round(1000 * (statistics.median(late_audio) - statistics.median(late_video)), 1)
        jumps = [step for kind in (video, audio) for at, step in kind.recent_jumps if at >= now - LAG_MEMORY]
        return ClockHealth(
            start_skew_ms=round((audio.first_dts - video.first_dts) / TICKS_PER_MS, 1) if both else None,
            arrival_skew_ms=skew,
            jumps=video.jumps + audio.jumps,
            recent_jumps=len(jumps),
            largest_recent_jump_ms=round(max(jumps, key=abs, default=0) / TICKS_PER_MS, 1),
            backward_steps=video.backward_steps + audio.backward_steps,
        )


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate)


def _is_regular(intervals: Sequence[float]) -> bool:
    """One interval says nothing against it."""
    return not intervals or max(intervals) - min(intervals) <= REGULAR_SHARE * statistics.median(intervals)


def _profile(config: H264Config | H265Config) -> str:
    """Profile and level, as encoders name them."""
    number = config.profile_idc
    if isinstance(config, H265Config):
        return f"{_H265_PROFILES.get(number, f'profile {number}')}, level {config.level_idc / 30:g}"
    # H.264, A.2.1.1: constraint_set1_flag makes Baseline the constrained one
    constrained = number == 66 and config.constraint_flags & _CONSTRAINT_SET1
    name = _H264_PROFILES.get(number, f"profile {number}")
    return f"{'Constrained ' if constrained else ''}{name}, level {config.level_idc / 10:g}"

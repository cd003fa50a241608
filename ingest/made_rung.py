"""One rung while it is made: which unit may be published, as which track, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.transcode_messages import MadeTrack, MadeUnit, RungReport, StartRung
from media.rung import Rung
from media.track import Codec, Track, VideoConfig
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.errors import Malformed

__all__ = ["MadeRung", "RungCounters"]


@dataclass(slots=True)
class RungCounters:
    """What a rung of a stream has come to, all its runs and workers together."""

    units: int = 0
    bytes: int = 0
    late: int = 0
    sheds: int = 0
    starts: int = 0
    failures: int = 0
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class MadeRung:
    """`run` grows with each start of its encoder. `cores` is what it took lately, `depth_ms` what waits for it.

    Units are published in order: a new run begins with a keyframe after the last one that was published.
    """

    rung: Rung
    counters: RungCounters
    run: int = 0
    is_lowered: bool = False
    track: Track | None = None
    last_dts: int | None = None
    last_pts: int | None = None
    cores: float | None = None
    depth_ms: int = 0
    late: int = 0
    is_late: bool = False
    started_at: float = 0.0
    _published_run: int = -1
    _needs_keyframe: bool = True
    _tracks: dict[int, Track] = field(default_factory=dict)
    _reported: tuple[int, int, int, float] | None = None

    @property
    def name(self) -> str:
        return self.rung.name

    @property
    def needs_keyframe(self) -> bool:
        return self._needs_keyframe

    def again(self, rung: Rung) -> MadeRung:
        """Wanted again after a while: its times go on from where they were."""
        made = MadeRung(rung, self.counters, self.run, last_dts=self.last_dts, last_pts=self.last_pts, cores=self.cores)
        made.track = self.track
        return made

    def start(self, source_rate: float | None) -> StartRung:
        """A new run of its encoder."""
        self.run += 1
        self.counters.starts += 1
        self._reported = None
        self.depth_ms = 0
        rung, rate = self.rung, self.rung.frame_rate
        if self.is_lowered:
            rate = min(rate or 60.0, source_rate or 60.0) / 2
        return StartRung(
            *(rung.name, self.run, rung.codec, rung.height, rung.bitrate, rate),
            *(rung.preset, rung.profile, rung.keyframe_interval, rung.encoder),
        )

    def adopt(self, made: MadeTrack) -> None:
        """The configuration of this run from now on. WireError. One that is as before is the same Track as before."""
        config: VideoConfig
        if made.codec != self.rung.codec:
            raise Malformed(f"rung {self.name} is {made.codec} instead of {self.rung.codec}")
        if self.rung.codec is Codec.H265:
            config = H265Config.from_hvcc(made.record)[0]
        else:
            config = H264Config.from_avcc(made.record)[0]
        if self.track is None or self.track.config != config:
            self.track = Track(self.rung.codec, config, rendition=self.name)
        self._tracks = {run: track for run, track in self._tracks.items() if run >= self._published_run}
        self._tracks[made.run] = self.track

    def take(self, made: MadeUnit) -> Track | str:
        """The track to publish it as, or why it cannot be published."""
        track = self._tracks.get(made.run)
        if track is None or made.run < self._published_run:
            return "unwanted"
        if made.run > self._published_run and not made.keyframe:
            return "after a hole"
        if made.dts < 0 or (self.last_dts is not None and made.dts <= self.last_dts):
            self._needs_keyframe = True
            return "overlap" if made.dts >= 0 else "before the start"
        if self._needs_keyframe and not made.keyframe:
            return "after a hole"
        self._needs_keyframe = False
        self._published_run = made.run
        self.last_dts, self.last_pts = made.dts, made.pts
        self.counters.units += 1
        self.counters.bytes += sum(map(len, made.parts))
        return track

    def note(self, report: RungReport, now: float) -> None:
        """About once a second."""
        if report.run != self.run:
            return
        before = self._reported or (report.run, 0, 0, self.started_at)
        self._reported = (report.run, report.dropped, report.cpu_ms, now)
        cpu = (report.cpu_ms - before[2]) / 1000
        self.is_late = report.dropped > before[1]
        self.late += report.dropped - before[1]
        self.counters.late += report.dropped - before[1]
        self.counters.cpu_seconds += cpu
        self.depth_ms = report.depth_ms
        if before[3] and now - before[3] > 0.2:
            self.cores = cpu / (now - before[3])

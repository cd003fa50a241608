"""Picture and sound of one publisher on one clock.

Their RTP clocks begin anywhere. Sender reports say what wall time each of them had (RFC 3550, 6.4.1); until both have
come, arrival is all that is known. Units wait for the reports at the start, but not long; what the reports say later
moves the sound, never the picture, and so slowly that nobody hears it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.rtp_units import RawUnit
from media.ticks import TICKS_PER_SECOND, Ticks
from media.unit import AccessUnit
from wire.codecs.opus import SAMPLE_RATE
from wire.rtp.rtcp import SenderReport

__all__ = ["AvSync"]

HOLD = 0.4
"""Seconds that the first units wait for both sender reports: the start of a show may, the show itself may not."""
MAX_SLEW = 450
"""Ticks a second, 5 ms, by which the sound is moved: below any change of pitch that can be heard."""
DEAD_ZONE = 450
"""Ticks, 5 ms. Sender reports are this uncertain, and a correction for each of them would make the sound uneven."""
MAX_SKEW = 2 * TICKS_PER_SECOND
"""Reports that contradict arrival by more are wrong: no queue in a browser is longer (its pacer holds 2 s)."""
_NTP_UNIX = 2_208_988_800
"""Seconds from 1900 to 1970."""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class _Report:
    """At `ntp` ticks of the publisher's wall clock its media clock stood at `media` ticks."""

    ntp: int
    media: float

    @property
    def base(self) -> float:
        return self.ntp - self.media


class _Lane:
    """One kind of media. Times in 90 kHz ticks from here on; `offset` leads to the common clock."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.offset: float | None = None
        self.report: _Report | None = None
        self.earliest: float | None = None
        self.latest: float = 0.0
        self._newest: int | None = None
        self._early_report: SenderReport | None = None

    def ticks(self, time: int) -> float:
        return time * (TICKS_PER_SECOND / self.rate) if self.rate != TICKS_PER_SECOND else time

    def note_arrival(self, unit: RawUnit, now: float) -> None:
        """`latest` and `earliest` are arrival minus media time, as good as an offset while nothing else is known."""
        self._newest = unit.time
        self.latest = now * TICKS_PER_SECOND - self.ticks(unit.time)
        self.earliest = self.latest if self.earliest is None else min(self.earliest, self.latest)
        if self._early_report is not None:
            report, self._early_report = self._early_report, None
            self.note_report(report)

    def note_report(self, report: SenderReport) -> None:
        if self._newest is None:
            self._early_report = report
            return
        # the report's 32 bits are those of the time nearest to the newest unit
        time = self._newest + (report.rtp_time - self._newest + _WRAP // 2) % _WRAP - _WRAP // 2
        self.report = _Report(report.ntp * TICKS_PER_SECOND >> 32, self.ticks(time))

    def captured_at(self, time: int) -> float | None:
        if self.report is None:
            return None
        return (self.report.base + self.ticks(time)) / TICKS_PER_SECOND - _NTP_UNIX


class AvSync:
    """`push` every unit and `note_report` every sender report; both return the units that can be published now."""

    def __init__(self, *, video: bool, audio: bool) -> None:
        self._video = _Lane(TICKS_PER_SECOND)
        self._audio = _Lane(SAMPLE_RATE)
        self._is_holding = video and audio
        self._held: list[RawUnit] = []
        self._deadline: float | None = None
        self._target: float | None = None
        self._is_correcting = False
        self._moved_at: int | None = None

    def __repr__(self) -> str:
        return f"<AvSync holding={self._is_holding} video={self._video.offset} audio={self._audio.offset}>"

    @property
    def skew(self) -> float | None:
        """Ticks that the sound is still away from where the sender reports want it; None before both have come."""
        if self._target is None or self._audio.offset is None:
            return None
        return self._target - self._audio.offset

    def push(self, unit: RawUnit, now: float) -> list[AccessUnit]:
        self._lane(unit).note_arrival(unit, now)
        if not self._is_holding:
            return [self._place(unit)]
        self._held.append(unit)
        if self._deadline is None:
            self._deadline = now + HOLD
        return self._start() if self._both_reported or now >= self._deadline else []

    def note_report(self, report: SenderReport, *, video: bool) -> list[AccessUnit]:
        """A report of the source in use. One that counts no packets says nothing, and OBS begins with such a one."""
        if not report.packet_count:
            return []
        (self._video if video else self._audio).note_report(report)
        if self._is_holding:
            return self._start() if self._both_reported else []
        self._aim()
        return []

    def handle_timeout(self, now: float) -> list[AccessUnit]:
        return self._start() if self._deadline is not None and now >= self._deadline else []

    def restart(self, *, video: bool) -> None:
        """Another source sends this kind from now on: its clock has nothing to do with the one before."""
        lane = _Lane(TICKS_PER_SECOND if video else SAMPLE_RATE)
        if video:
            self._video = lane
        else:
            self._audio = lane
        self._held = [unit for unit in self._held if unit.track.is_video != video]
        self._target = None
        self._moved_at = None

    @property
    def _both_reported(self) -> bool:
        """Both kinds, with something to publish of each."""
        return self._video.report is not None and self._audio.report is not None

    def _lane(self, unit: RawUnit) -> _Lane:
        return self._video if unit.track.is_video else self._audio

    def _start(self) -> list[AccessUnit]:
        self._is_holding = False
        self._deadline = None
        held, self._held = self._held, []
        for lane in (self._video, self._audio):
            if lane.earliest is not None:
                lane.offset = float(round(lane.earliest))
        self._adopt()
        return sorted((self._place(unit) for unit in held), key=lambda unit: unit.dts)

    def _place(self, unit: RawUnit) -> AccessUnit:
        lane = self._lane(unit)
        if lane.offset is None:
            lane.offset = float(round(lane.latest))
            self._adopt()
        if not unit.track.is_video:
            self._move(unit.time)
        assert lane.offset is not None
        dts = round(lane.ticks(unit.time) + lane.offset)
        pts = dts if unit.shown == unit.time else round(lane.ticks(unit.shown) + lane.offset)
        return AccessUnit(unit.track, Ticks(dts), Ticks(pts), unit.keyframe, unit.parts, lane.captured_at(unit.shown))

    def _adopt(self) -> None:
        """At a start the reports may move the sound at once: nothing of it has been published on this clock."""
        self._aim()
        if self._target is not None:
            self._audio.offset = self._target

    def _aim(self) -> None:
        """Where the sound belongs, by the reports of both."""
        video, audio = self._video, self._audio
        if video.offset is None or audio.offset is None or video.report is None or audio.report is None:
            return
        reported = audio.report.base - video.report.base
        if abs(reported - (audio.latest - video.latest)) > MAX_SKEW:
            return
        self._target = video.offset + reported
        if abs(self._target - audio.offset) > MAX_SKEW:
            audio.offset = self._target  # one of the clocks itself has jumped

    def _move(self, time: int) -> None:
        lane = self._audio
        last, self._moved_at = self._moved_at, time
        if self._target is None or lane.offset is None or last is None:
            return
        error = self._target - lane.offset
        if not self._is_correcting and abs(error) <= DEAD_ZONE:
            return
        step = MAX_SLEW * min(max(0, time - last), lane.rate) / lane.rate
        self._is_correcting = abs(error) > step
        lane.offset += max(-step, min(error, step))

"""Some seconds of what a checked viewer was sent, kept to be decoded when nobody is measured any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.timeline_origin import TimelineOrigin

__all__ = ["MediaSample", "SampleTaker", "sample_starts"]

SAMPLE_S = 6.0  # five flashes, and at 2.5 Mb/s 2 MB
SAMPLES = 3
REPORTS = 20  # the last sender reports of each kind, as many as a browser looks at
START_CODE = b"\0\0\0\1"  # H.264, B.1


@dataclass(slots=True)
class MediaSample:
    """`pictures` are (RTP time, Annex B), a keyframe first; `sounds` (RTP time, Opus packet). Without `lips` there are
    no pictures. It begins so many seconds into the window. `reports` are the sender reports (NTP, RTP time) of both
    kinds that a viewer had at the end.
    """

    lips: bool
    begun: float
    parameter_sets: bytes
    timeline: TimelineOrigin | None
    pictures: list[tuple[int, bytes]] = field(default_factory=list)
    sounds: list[tuple[int, bytes]] = field(default_factory=list)
    video_reports: tuple[tuple[int, int], ...] = ()
    audio_reports: tuple[tuple[int, int], ...] = ()


def sample_starts(seconds: float) -> list[float]:
    """When samples begin in a window of so many seconds: at its start, in its middle and near its end."""
    last = max(0.0, seconds - SAMPLE_S - 2)  # a sample begins at a keyframe, 2 s later at the worst of the usual
    return [last * k / (SAMPLES - 1) for k in range(SAMPLES)]


class SampleTaker:
    """Of one viewer, from `begin` to `finish`. Each of its `samples` begins at the first keyframe after its time, and
    that of a viewer whose pictures are not kept (`lips` false) at the first sound.
    """

    def __init__(self, parameter_sets: Iterable[bytes], timeline: TimelineOrigin | None, *, lips: bool) -> None:
        self.samples: list[MediaSample] = []
        self._lips = lips
        self._parameter_sets = _annex_b(parameter_sets)
        self._timeline = timeline
        self._starts: deque[float] = deque()
        self._window_begun = 0.0
        self._video_reports: deque[tuple[int, int]] = deque(maxlen=REPORTS)
        self._audio_reports: deque[tuple[int, int]] = deque(maxlen=REPORTS)
        self._open: MediaSample | None = None

    def begin(self, starts: Sequence[float], now: float) -> None:
        """The window begins now: take samples from so many seconds of it on."""
        self._window_begun = now
        self._starts.extend(starts)

    def reported(self, ntp: int, rtp_time: int, *, video: bool) -> None:
        """A sender report."""
        (self._video_reports if video else self._audio_reports).append((ntp, rtp_time))

    def picture(self, rtp_time: int, nals: Iterable[bytes], now: float, *, keyframe: bool) -> None:
        sample = self._sample(now, may_begin=keyframe and self._lips)
        if sample is not None and self._lips:
            sample.pictures.append((rtp_time, _annex_b(nals)))

    def sound(self, rtp_time: int, packet: bytes, now: float) -> None:
        sample = self._sample(now, may_begin=not self._lips)
        if sample is not None:
            sample.sounds.append((rtp_time, packet))

    def finish(self) -> None:
        """End the sample that is open."""
        if self._open is not None:
            self._open.video_reports = tuple(self._video_reports)
            self._open.audio_reports = tuple(self._audio_reports)
            self.samples.append(self._open)
            self._open = None

    def _sample(self, now: float, *, may_begin: bool) -> MediaSample | None:
        at = now - self._window_begun
        if self._open is not None and at - self._open.begun >= SAMPLE_S:
            self.finish()
        if self._open is None and may_begin and self._starts and at >= self._starts[0]:
            self._starts.popleft()
            self._open = MediaSample(self._lips, at, self._parameter_sets, self._timeline)
        return self._open


def _annex_b(nals: Iterable[bytes]) -> bytes:
    return b"".join(START_CODE + nal for nal in nals)

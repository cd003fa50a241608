"""The timeline of one broadcast: gives every unit its place, once.

A publisher's timestamps are made sane here and nowhere else. Each kind of media (picture, sound) has an offset from
the publisher's clock to the timeline. Normally both are equal, which keeps lip sync; when a clock jumps, the kind
that jumps first finds a new offset and the other one adopts it as soon as its own clock has jumped too.

All values are 90 kHz ticks.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from media.ticks import TICKS_PER_SECOND, Ticks
from media.unit import AccessUnit
from media.wallmap import WallMap

__all__ = ["BACKWARD_LIMIT", "FORWARD_LIMIT", "MAX_COMPOSITION", "MIN_STEP", "Timeline"]

FORWARD_LIMIT = 3 * TICKS_PER_SECOND
"""A forward step beyond this is a jump of the publisher's clock, not a pause in the media."""
BACKWARD_LIMIT = 300 * 90
"""A backward step beyond this is a jump of the publisher's clock, not jitter."""
MAX_COMPOSITION = 10 * TICKS_PER_SECOND
"""pts - dts beyond this is nonsense: sixteen pictures of reordering at two pictures a second take 8 s."""
MIN_STEP = 90
"""dts grow by at least this much per kind, so that FLV's whole milliseconds grow too."""
DEFAULT_VIDEO_STEP = TICKS_PER_SECOND // 30
DEFAULT_AUDIO_STEP = 1920
"""1024 samples at 48 kHz: the step of sound whose own rhythm is not known yet."""
MAX_HELD = 256
"""Audio units held while a splice waits for its first picture: over five seconds of AAC."""
MAX_HELD_TICKS = TICKS_PER_SECOND
"""How long sound waits for the first picture of a splice before it goes on alone."""
RHYTHM_LENGTH = 31
"""How many recent steps the median is taken of: one second of picture."""


@dataclass(slots=True)
class _Kind:
    """Where one kind of media stands. `offset` is None until its first unit after a splice."""

    default_step: int
    offset: int | None = None
    last_dts: int | None = None
    last_pts: int | None = None
    steps: deque[int] = field(default_factory=lambda: deque(maxlen=RHYTHM_LENGTH))

    @property
    def step(self) -> int:
        return int(statistics.median(self.steps)) if self.steps else self.default_step

    @property
    def next_dts(self) -> int | None:
        return None if self.last_dts is None else self.last_dts + self.step


class Timeline:
    """Places units: `place(unit, wall)` returns the units that now have their `t`, in the order to publish them.

    The list is empty while sound waits for the first picture of a splice, and for a unit that had to be dropped;
    `drops` counts those by reason.
    """

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.wall_map = WallMap()
        self.drops: Counter[str] = Counter()
        self.rebases = 0
        self._video = _Kind(DEFAULT_VIDEO_STEP)
        self._audio = _Kind(DEFAULT_AUDIO_STEP)
        self._held: list[AccessUnit] = []
        self._splicing = False

    def __repr__(self) -> str:
        return f"<Timeline {self.epoch} live_edge={self.live_edge}>"

    @property
    def live_edge(self) -> Ticks:
        """The largest video pts, or audio pts where there is no video. 0 before the first unit."""
        kind = self._video if self._video.last_pts is not None else self._audio
        return Ticks(kind.last_pts or 0)

    @property
    def position(self) -> int | None:
        """The largest dts of any kind, None before the first unit."""
        return max((k.last_dts for k in (self._video, self._audio) if k.last_dts is not None), default=None)

    @property
    def frame_interval(self) -> Ticks:
        """The median step between pictures, in ticks."""
        return Ticks(self._video.step)

    @property
    def has_rhythm(self) -> bool:
        """Have enough pictures come to know their interval?"""
        return bool(self._video.steps)

    def to_media(self, wall: float) -> Ticks:
        """The `t` of a wall-clock instant in seconds; inside an outage, the seam."""
        return self.wall_map.to_media(wall)

    def splice(self) -> None:
        """A new publisher, or the old one again: its clock means nothing yet; its first picture follows the last."""
        self._splicing = self.position is not None
        self._held.clear()
        self._video.offset = self._audio.offset = None
        self.wall_map.close()

    def place(self, unit: AccessUnit, wall: float) -> list[AccessUnit]:
        """Give the unit its place. `wall` is when it arrived, in seconds since the Unix epoch."""
        if not self._splicing and self._sound_jumped_first(unit):
            self.rebases += 1
            self.splice()
        if self._splicing:
            return self._place_in_splice(unit, wall)
        placed = self._place_one(unit, wall)
        return [placed] if placed else []

    def _sound_jumped_first(self, unit: AccessUnit) -> bool:
        """Sound never starts a new segment beside a picture: the seam is the picture's, so sound waits for it."""
        audio, video = self._audio, self._video
        if (
            unit.is_video
            or audio.offset is None
            or video.offset is None
            or self._is_sane(unit.dts + audio.offset, audio)
        ):
            return False
        return video.offset == audio.offset or not self._is_near(unit.dts + video.offset)

    def _place_in_splice(self, unit: AccessUnit, wall: float) -> list[AccessUnit]:
        waits = not unit.is_video and self._video.last_dts is not None
        if waits:
            self._held.append(unit)
            full = len(self._held) >= MAX_HELD or abs(unit.dts - self._held[0].dts) > MAX_HELD_TICKS
            if not full:
                return []
        self._splicing = False
        held, self._held = self._held, []
        units = held if waits else [unit, *held]
        return [placed for u in units if (placed := self._place_one(u, wall))]

    def _place_one(self, unit: AccessUnit, wall: float) -> AccessUnit | None:
        kind, other = (self._video, self._audio) if unit.is_video else (self._audio, self._video)
        if kind.offset is None or not self._is_sane(unit.dts + kind.offset, kind):
            offset = self._new_offset(unit.dts, kind, other)
            if not unit.is_video and offset == other.offset and self._overlaps(unit.dts + offset, kind):
                self.drops["overlap"] += 1
                return None
            kind.offset = offset
        dts, pts = self._settle(unit.dts + kind.offset, unit.pts - unit.dts, kind)
        if dts is None or pts is None:
            return None
        self._remember(kind, dts, pts)
        self.wall_map.observe(dts, wall)
        return replace(unit, dts=Ticks(dts), pts=Ticks(pts))

    def _new_offset(self, raw: int, kind: _Kind, other: _Kind) -> int:
        """The first unit of a kind, or one whose clock jumped: the other kind's offset if it fits, else a seam."""
        if other.offset is not None and other.offset != kind.offset and self._fits(raw + other.offset, kind):
            self._make_room(raw, other)
            return other.offset
        if self.position is None:
            return -raw
        if kind.offset is not None:
            self.rebases += 1
            self.wall_map.close()
        return self._seam(kind) - raw

    def _fits(self, dts: int, kind: _Kind) -> bool:
        """Sound may start over a little early, since what overlaps is dropped; a picture may not."""
        return self._is_near(dts) and (kind is self._audio or self._is_sane(dts, kind))

    def _make_room(self, raw: int, other: _Kind) -> None:
        """The other kind came first but this one starts before it: move the start, so that no dts is below zero."""
        if other.offset is not None and raw + other.offset < 0:
            other.offset = -raw

    @staticmethod
    def _overlaps(dts: int, kind: _Kind) -> bool:
        """Does a sound begin before the one before it has ended? Times of whole milliseconds round either by one."""
        return kind.next_dts is not None and dts < kind.next_dts - 2 * MIN_STEP

    def _is_near(self, dts: int) -> bool:
        """Could a first unit belong here, given where the stream stands?"""
        position = self.position
        return position is None or abs(dts - position) <= FORWARD_LIMIT

    def _is_sane(self, dts: int, kind: _Kind) -> bool:
        """Forward is judged against the whole stream, since one kind may pause; backward against its own past."""
        position, last = self.position, kind.last_dts
        if position is None or last is None:
            return True
        return last - BACKWARD_LIMIT <= dts <= position + FORWARD_LIMIT

    def _seam(self, kind: _Kind) -> int:
        """Where the next unit of this kind continues: one step after its last, but not far behind the stream."""
        position = self.position or 0
        following = kind.next_dts
        if following is None or position - following > FORWARD_LIMIT:
            return position + kind.step
        return following

    def _settle(self, dts: int, composition: int, kind: _Kind) -> tuple[int, int] | tuple[None, None]:
        """Keep dts strictly increasing and at most pts, and pts near: jumps are judged by dts alone."""
        floor = 0 if kind.last_dts is None else kind.last_dts + MIN_STEP
        dts = max(dts, floor)
        pts = dts + min(composition, MAX_COMPOSITION)
        if pts >= dts:
            return dts, pts
        if pts < floor:
            self.drops["pts before dts"] += 1
            return None, None
        return pts, pts

    @staticmethod
    def _remember(kind: _Kind, dts: int, pts: int) -> None:
        if kind.last_dts is not None and dts - kind.last_dts <= FORWARD_LIMIT:
            kind.steps.append(dts - kind.last_dts)
        kind.last_dts = dts
        kind.last_pts = pts if kind.last_pts is None else max(kind.last_pts, pts)

"""Whole groups of pictures kept for those who join: never cut inside, so every join lands on a sync point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from media.ticks import TICKS_PER_SECOND
from media.unit import AccessUnit

__all__ = ["MAX_GOPS", "GopLimits", "GopRing"]

MAX_GOPS = 2
"""The one that grows, and the one before it."""


@dataclass(frozen=True, slots=True)
class GopLimits:
    """A group larger than this is not kept: joiners then wait for the next keyframe."""

    seconds: float = 12.0
    size: int = 32 * 1024 * 1024


@dataclass(slots=True)
class _Gop:
    first_dts: int
    units: list[AccessUnit] = field(default_factory=list)
    size: int = 0


class GopRing:
    """The last groups of one rendition together with the sound that arrived with them.

    `has_video` says what a sync point is: a keyframe, or in a stream of sound alone the first unit of each second.
    """

    def __init__(self, limits: GopLimits, *, has_video: bool) -> None:
        self._limits = limits
        self._has_video = has_video
        self._gops: list[_Gop] = []
        self._current: _Gop | None = None
        self.oversized = 0

    @property
    def size(self) -> int:
        """Payload bytes held."""
        return sum(gop.size for gop in self._gops)

    @property
    def is_joinable(self) -> bool:
        """Is there a group that a joiner can start from now?"""
        return self._current is not None

    def push(self, unit: AccessUnit) -> None:
        if self._is_sync_point(unit):
            self._start(unit)
        gop = self._current
        if gop is None:
            return
        gop.units.append(unit)
        gop.size += unit.size
        too_long = unit.dts - gop.first_dts > self._limits.seconds * TICKS_PER_SECOND
        if too_long:
            self._forget_current()
        elif self.size > self._limits.size:
            self._make_room(gop)

    def replay(self) -> Iterator[AccessUnit]:
        """The newest group, in order of arrival, from its sync point on. Empty when there is none to join."""
        if self._current is None:
            return
        first = self._current.units[0]
        for gop in self._gops[:-1]:
            yield from (unit for unit in gop.units if not unit.is_video and self._has_video and unit.dts >= first.dts)
        yield from (unit for unit in self._current.units if unit.is_video or unit.dts >= first.dts)

    def clear(self) -> None:
        self._gops.clear()
        self._current = None

    def _is_sync_point(self, unit: AccessUnit) -> bool:
        if self._has_video:
            return unit.is_video and unit.keyframe
        return self._current is None or unit.dts - self._current.first_dts >= TICKS_PER_SECOND

    def _start(self, unit: AccessUnit) -> None:
        self._current = _Gop(unit.dts)
        self._gops.append(self._current)
        del self._gops[:-MAX_GOPS]
        if self.size + unit.size > self._limits.size:
            del self._gops[:-1]

    def _make_room(self, current: _Gop) -> None:
        if current.size <= self._limits.size:
            del self._gops[:-1]
        else:
            self._forget_current()

    def _forget_current(self) -> None:
        """Nothing inside a group can be joined, so without its start the whole group goes."""
        self.oversized += 1
        self.clear()

"""Source pictures on their way to a worker: whole groups or nothing, bounded in milliseconds."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from ingest.source_queue import Pending
from media.unit import AccessUnit

__all__ = ["MAX_BEHIND", "MAX_ON_THE_WAY", "PictureQueue"]

MAX_ON_THE_WAY = 300 * 90
"""Ticks of pictures that the worker has and has not answered: enough to keep a decoder busy, few to lose with it."""
MAX_BEHIND = 1_000 * 90
"""Ticks of live pictures that wait for a decoder. One that is further behind begins again at a keyframe."""


class PictureQueue:
    """Units in decoding order, beginning with a keyframe: those on their way, and those that wait.

    What is kept for joiners comes all at once between `admit_all` and `bound`, and may stay; later units may be
    MAX_BEHIND ticks behind it. What is further behind is left out, up to a keyframe.
    """

    def __init__(self, drops: Counter[str], next_number: Callable[[], int]) -> None:
        self._drops = drops
        self._next_number = next_number
        self._sent: deque[Pending] = deque()
        self._waiting: deque[Pending] = deque()
        self._limit: int | None = MAX_BEHIND
        self._needs_keyframe = True
        self.newest_pts = 0

    def __repr__(self) -> str:
        return f"<PictureQueue sent={len(self._sent)} waiting={len(self._waiting)}>"

    @property
    def on_the_way(self) -> int:
        return len(self._sent)

    @property
    def behind(self) -> int:
        """Ticks between the next unit to send and the newest one."""
        return self._waiting[-1].unit.dts - self._waiting[0].unit.dts if self._waiting else 0

    @property
    def needs_keyframe(self) -> bool:
        """Is everything left out until the next keyframe?"""
        return self._needs_keyframe

    def admit_all(self) -> None:
        self._limit = None

    def bound(self) -> None:
        self._limit = self.behind + MAX_BEHIND

    def clear(self) -> None:
        """For a new worker: from the next keyframe on."""
        self._sent.clear()
        self._waiting.clear()
        self._needs_keyframe = True

    def put(self, unit: AccessUnit) -> None:
        if self._needs_keyframe and not unit.keyframe:
            self._drops["before keyframe"] += 1
            return
        self._needs_keyframe = False
        self._waiting.append(Pending(self._next_number(), unit))
        self.newest_pts = unit.pts if unit.keyframe else max(self.newest_pts, unit.pts)
        if self._limit is not None and self.behind > self._limit:
            self._skip()

    @property
    def upcoming(self) -> AccessUnit | None:
        """The next unit to send."""
        return self._waiting[0].unit if self._waiting else None

    def next(self) -> Pending | None:
        """The next unit to send, if there is one and it may be on its way."""
        if not self._waiting:
            return None
        if self._sent and self._waiting[0].unit.dts - self._sent[0].unit.dts > MAX_ON_THE_WAY:
            return None
        pending = self._waiting.popleft()
        self._sent.append(pending)
        return pending

    def has_sent(self, seq: int) -> bool:
        """Is this unit on its way?"""
        return any(pending.seq == seq for pending in self._sent)

    def done(self, seq: int) -> None:
        """The worker is through with this unit, and so with all before it."""
        while self._sent and self._sent[0].seq <= seq:
            self._sent.popleft()
        if self._limit is not None:
            self._limit = max(MAX_BEHIND, min(self._limit, self.behind + MAX_BEHIND))

    def _skip(self) -> None:
        """Begin with the newest keyframe that waits, or with the next one that comes."""
        keep = max((i for i, pending in enumerate(self._waiting) if i and pending.unit.keyframe), default=None)
        self._needs_keyframe = keep is None
        dropped = len(self._waiting) if keep is None else keep
        for _ in range(dropped):
            self._waiting.popleft()
        self._drops["decoder behind"] += dropped
        self._limit = MAX_BEHIND

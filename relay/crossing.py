"""Where a viewer may cross from one rendition to another."""

from __future__ import annotations

from enum import Enum, auto

from media.ticks import TICKS_PER_SECOND

__all__ = ["Step", "at_old_keyframe"]


class Step(Enum):
    """What happens at a keyframe of the rendition that a viewer leaves."""

    GO_ON = auto()
    HOLD = auto()
    MOVE = auto()


def at_old_keyframe(t: int, *, new_keyframe: int | None, new_newest: int, patience: float) -> Step:
    """The old rendition has a keyframe at `t`; the new one's newest keyframe and newest picture are at these times.

    One that has passed `t` without a keyframe will not make one there, and one that is more than `patience` seconds
    behind is not waited for.
    """
    if new_keyframe == t:
        return Step.MOVE
    if new_newest < t <= new_newest + patience * TICKS_PER_SECOND:
        return Step.HOLD
    return Step.GO_ON

"""Where a viewer may cross from one rendition to another."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from media.ticks import TICKS_PER_SECOND

__all__ = ["HOLD", "MAX_FORCED", "STALLED", "Step", "at_old_keyframe", "nearest"]

HOLD = 0.4
"""Seconds that pictures may be held back for the others: a rung's delay, with room for a busy machine."""
STALLED = int(1.5 * TICKS_PER_SECOND)
"""A rung that is so far behind is not waited for: its worker is gone."""
MAX_FORCED = 3
"""How often pictures are held back for a keyframe that was asked for. Then the next common one has to do."""


class Step(Enum):
    """What happens at a keyframe of the rendition that a viewer leaves."""

    GO_ON = auto()
    HOLD = auto()
    MOVE = auto()


def at_old_keyframe(t: int, *, new_keyframe: int | None, new_newest: int) -> Step:
    """The old rendition has a keyframe at `t`; the new one's newest keyframe and newest picture are at these times.

    One that has passed `t` without a keyframe will not make one there, and one that is too far behind is not
    waited for.
    """
    if new_keyframe == t:
        return Step.MOVE
    if new_newest < t <= new_newest + HOLD * TICKS_PER_SECOND:
        return Step.HOLD
    return Step.GO_ON


def nearest(order: Sequence[str], present: Sequence[str], lost: str) -> str:
    """The next one below `lost` in `order`, best first, that is still present; else the next one above; else itself."""
    at = order.index(lost) if lost in order else 0
    below = [name for name in order[at + 1 :] if name in present]
    above = [name for name in reversed(order[:at]) if name in present]
    return next(iter([*below, *above, *(name for name in present if name != lost)]), lost)

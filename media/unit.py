"""The access unit: one encoded picture, or one frame of sound."""

from __future__ import annotations

from dataclasses import dataclass

from media.ticks import Ticks
from media.track import Track

__all__ = ["AccessUnit"]


@dataclass(frozen=True, slots=True, eq=False)
class AccessUnit:
    """One encoded picture or audio frame.

    `parts` are the NAL units of a picture without start codes, parameter sets, delimiters and filler (one element,
    the temporal unit, for AV1), or exactly one element for audio. `dts` and `pts` are 90 kHz ticks; the `t` of a
    unit is its `pts`. `captured_at` is wall-clock seconds where the publisher told us, else None.
    """

    track: Track
    dts: Ticks
    pts: Ticks
    keyframe: bool
    parts: tuple[bytes, ...]
    captured_at: float | None = None

    @property
    def is_video(self) -> bool:
        return self.track.is_video

    @property
    def size(self) -> int:
        """Payload bytes."""
        return sum(map(len, self.parts))

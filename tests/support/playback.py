"""The demo host's show as a viewer got it: which publisher, where on the timeline, and is the beep with the flash?"""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np

from tests.support.encoders import Shown, read_codes

__all__ = ["Playback", "watch"]

BEEP_LEVEL = 0.05
QUIET_S = 0.3
"""A beep begins where it was quiet for so long: beeps are 0.1 s long and one a second."""


@dataclass(frozen=True, slots=True)
class Playback:
    """`pictures` in order of showing; `beeps_ms` are where beeps begin on the timeline."""

    pictures: list[Shown]
    beeps_ms: list[float]

    def offset_ms(self, number: int) -> float:
        """From this publisher's own clock to the timeline. Fails unless it is one constant."""
        offsets = [picture.offset_ms for picture in self.pictures if picture.number == number]
        assert max(offsets) - min(offsets) <= 1, f"publisher {number} moved from {min(offsets)} to {max(offsets)}"
        return sum(offsets) / len(offsets)

    def lip_sync_ms(self, number: int) -> list[float]:
        """How far each beep of this publisher is from the full second of its clock, at which its flash begins."""
        shown = [picture.pts_ms for picture in self.pictures if picture.number == number]
        own = [at - self.offset_ms(number) for at in self.beeps_ms if min(shown) + 100 < at < max(shown) - 100]
        return [(at + 500) % 1000 - 500 for at in own]


def watch(data: bytes) -> Playback:
    """Decode all of it."""
    with av.open(io.BytesIO(data), format="flv") as container:
        pictures = read_codes(container)
    with av.open(io.BytesIO(data), format="flv") as container:
        return Playback(pictures, list(_beeps(container)))


def _beeps(container: av.container.InputContainer) -> list[float]:
    found, quiet_since = [], None
    for frame in container.decode(audio=0):
        assert frame.time is not None
        level = np.abs(frame.to_ndarray()).max(axis=0)
        loud = np.flatnonzero(level > BEEP_LEVEL)
        quiet_since = frame.time if quiet_since is None else quiet_since
        if not len(loud):
            continue
        onset = frame.time + loud[0] / frame.sample_rate
        if onset - quiet_since > QUIET_S:
            found.append(1000 * onset)
        quiet_since = frame.time + loud[-1] / frame.sample_rate
    return found

"""A clip's sound before it is encoded: a beep with each flash over faint noise, the same again after each round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.cadence import FLASH_MS
from bench.demo_sound import SAMPLE_RATE, beeps

__all__ = ["clip_sound"]

NOISE = 0.01  # of full scale: it keeps an encoder at its bit rate, and a probe that looks for beeps passes it over
CHANNELS = 2


def clip_sound(seconds: int, start: int, count: int) -> NDArray[np.float32]:
    """`(2, count)` samples from `start` on, float in -1 to 1, of a sound that goes round every `seconds`.

    What follows the end is the beginning, so that an encoder's overlap at the seam is the right one.
    """
    random = np.random.default_rng(1)
    noise = (NOISE * random.standard_normal((CHANNELS, seconds * SAMPLE_RATE))).astype(np.float32)
    at = np.arange(start, start + count) % (seconds * SAMPLE_RATE)
    return noise[:, at] + beeps(start, count, lambda second: 1000 * second, FLASH_MS)

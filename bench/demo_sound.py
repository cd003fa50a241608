"""The demo host's sound: a beep that begins with each flash, and silence between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLES_PER_MS", "SAMPLE_RATE", "beeps"]

SAMPLE_RATE = 48_000
SAMPLES_PER_MS = SAMPLE_RATE // 1000
TONE_HZ = 1000
LOUDNESS = 0.3
FADE_MS = 20  # at the end only: the start is what a probe looks for


def beeps(start: int, count: int, flash_ms: Callable[[int], int], beep_ms: int) -> NDArray[np.float32]:
    """Samples `start` to `start + count` of publisher time, float in -1 to 1.

    `flash_ms` tells at which millisecond the flash of a full second begins; a beep lasts `beep_ms`.
    """
    samples = np.zeros(count, np.float32)
    tone = _tone(beep_ms)
    for second in range(start // SAMPLE_RATE - 1, (start + count) // SAMPLE_RATE + 1):
        offset = flash_ms(second) * SAMPLES_PER_MS - start
        first, last = max(0, offset), min(count, offset + len(tone))
        if first < last:
            samples[first:last] = tone[first - offset : last - offset]
    return samples


def _tone(length_ms: int) -> NDArray[np.float32]:
    count = length_ms * SAMPLES_PER_MS
    wave = LOUDNESS * np.sin(2 * np.pi * TONE_HZ / SAMPLE_RATE * (np.arange(count) + 1))
    fade = np.clip((count - np.arange(count)) / (FADE_MS * SAMPLES_PER_MS), 0, 1)
    return np.asarray(wave * fade, np.float32)

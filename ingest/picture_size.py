"""How large a rung's picture is, and which rungs a source can have."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from media.rung import Rung

__all__ = ["rung_size", "rungs_for"]

MIN_SIDE = 16
"""One macroblock: no encoder takes less."""


@lru_cache(maxsize=256)
def rung_size(width: int, height: int, rung_height: int, aspect: Fraction = Fraction(1)) -> tuple[int, int]:
    """Pixels of the rung, both even, in the source's shape, and never more of them than the source shows.

    A rung's height is the shorter side, so that 720p of an upright 1080 x 1920 is 720 x 1280, as the field counts.
    `aspect` is the shape of the source's pixels, width to height; the rung's pixels are square.
    """
    shown = width * (aspect if aspect > 0 else Fraction(1))
    short = min(shown, Fraction(height))
    scale = min(Fraction(1), rung_height / short)
    return _even(shown, scale), _even(Fraction(height), scale)


def rungs_for(rungs: Sequence[Rung], width: int, height: int) -> tuple[Rung, ...]:
    """The rungs that do not exceed the source. When all do, the lowest one: it is encoded at the source's own size.

    One of the same height is in: viewers who cannot take the source (B-frames in WebRTC) get the full size from it.
    """
    fitting = tuple(rung for rung in rungs if rung.height <= min(width, height))
    return fitting or tuple(sorted(rungs, key=lambda rung: rung.height)[:1])


def _even(side: Fraction, scale: Fraction) -> int:
    largest = int(side) // 2 * 2
    return max(MIN_SIDE, min(largest, round(side * scale / 2) * 2))

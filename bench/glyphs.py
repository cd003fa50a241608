"""Digits for a clock in the picture: seven segments with round ends, as anti-aliased masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digits"]

Mask = NDArray[np.float32]

# Segment ends on a grid of 1 by 2, y downwards: a top, b upper right, c lower right, d bottom, e lower left, ...
SEGMENTS = {
    "a": ((0, 0), (1, 0)),
    "b": ((1, 0), (1, 1)),
    "c": ((1, 1), (1, 2)),
    "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)),
    "f": ((0, 0), (0, 1)),
    "g": ((0, 1), (1, 1)),
}
SHAPES = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
DOTS = {":": ((0, 0.55), (0, 1.45)), ".": ((0, 2),)}
SLANT = 0.09  # the digits lean a little to the right
STROKE = 0.125  # half of a stroke's width, of a segment's length
GAP = 0.16  # left free at each end of a segment


class Digits:
    """Masks in 0 to 1 for the characters `0123456789:.`, `height` pixels high (rounded up to an even number).

    Every mask is `(height, width)` with an even width, so that it falls on whole chroma samples.
    """

    def __init__(self, height: int) -> None:
        self.height = height + height % 2
        self._masks = {str(n): self._digit(shape) for n, shape in enumerate(SHAPES)}
        self._masks |= {name: self._dots(centres) for name, centres in DOTS.items()}

    def line(self, text: str) -> Mask:
        """The whole line as one mask; its width depends only on which characters are dots."""
        return np.hstack([self._masks[character] for character in text])

    @property
    def _unit(self) -> float:
        """Pixels to a segment: two of them and the strokes' round ends fill the height."""
        return self.height / (2 + 2 * STROKE + 0.04)

    def _digit(self, shape: str) -> Mask:
        return self._strokes([SEGMENTS[name] for name in shape], cells=1.55)

    def _dots(self, centres: tuple[tuple[float, float], ...]) -> Mask:
        return self._strokes([(centre, centre) for centre in centres], cells=0.5)

    def _strokes(self, strokes: list[tuple[tuple[float, float], tuple[float, float]]], *, cells: float) -> Mask:
        width = 2 * round(cells * self._unit / 2)
        y, x = np.mgrid[0 : self.height, 0:width].astype(np.float32) + np.float32(0.5)
        v = y / self._unit - STROKE - 0.02
        u = x / self._unit - 0.22 - SLANT * (2 - v)
        mask = np.zeros((self.height, width), np.float32)
        for start, end in strokes:
            distance = (_distance(u, v, start, end) - STROKE) * self._unit
            np.maximum(mask, np.clip(0.5 - distance, 0, 1), out=mask)
        return mask


def _distance(u: Mask, v: Mask, start: tuple[float, float], end: tuple[float, float]) -> Mask:
    """From each point to the stroke between two ends, shortened so that neighbours do not touch."""
    (x0, y0), (x1, y1) = start, end
    length = abs(x1 - x0) + abs(y1 - y0)
    if length == 0:
        return np.asarray(np.hypot(u - x0, v - y0), np.float32)
    along = np.clip((u - x0) * (x1 - x0) + (v - y0) * (y1 - y0), GAP, length - GAP)
    return np.asarray(np.hypot(u - x0 - along * (x1 - x0), v - y0 - along * (y1 - y0)), np.float32)

"""What a source's pictures look like: size, form of the pixels, and colour. When it changes, encoders begin anew."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

__all__ = ["Colour", "Shape"]

# ISO/IEC 23091-2: matrix coefficients, as FFmpeg numbers them too
_RGB, _BT709, _UNSPECIFIED, _SMPTE170M = 0, 1, 2, 6
HD_ROWS = 720
"""From here on players take a picture that does not tell its colours for BT.709, and below for BT.601. A rung says what
the source would have been taken for: else the colours would change where a viewer changes to a smaller rung."""


@dataclass(frozen=True, slots=True)
class Colour:
    """ISO/IEC 23091-2 code points; `range` is FFmpeg's: 1 limited, 2 full."""

    matrix: int
    primaries: int
    transfer: int
    range: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Colour:
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        depth = ColorRange.JPEG if full else ColorRange.MPEG
        matrix = int(frame.colorspace)
        if matrix == _RGB:
            return cls(_BT709, int(frame.color_primaries), int(frame.color_trc), int(ColorRange.MPEG))
        if matrix != _UNSPECIFIED:
            return cls(matrix, int(frame.color_primaries), int(frame.color_trc), int(depth))
        assumed = _BT709 if frame.height >= HD_ROWS else _SMPTE170M
        primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
        if primaries == ColorPrimaries.UNSPECIFIED:
            primaries = assumed
        if transfer == ColorTrc.UNSPECIFIED:
            transfer = assumed
        return cls(assumed, primaries, transfer, int(depth))


@dataclass(frozen=True, slots=True)
class Shape:
    """`aspect` is the shape of a pixel, width to height."""

    width: int
    height: int
    format: str
    aspect: Fraction
    colour: Colour

    @classmethod
    def of(cls, frame: av.VideoFrame, aspect: Fraction | None) -> Shape:
        return cls(frame.width, frame.height, frame.format.name, aspect or Fraction(1), Colour.of(frame))

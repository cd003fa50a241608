"""The demo host's picture: a gradient with a bouncing ball, a clock, a lamp that flashes, and the bar code.

Painted straight into YUV 4:2:0 planes of video range, BT.709. The background is computed once; a frame repaints only
the few rectangles that change, which keeps both the painting and the encoding cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from bench import barcode
from bench.glyphs import Digits

__all__ = ["DemoPicture", "draw_lamp", "lamp_is_lit"]

Plane = NDArray[np.uint8]
Alpha = NDArray[np.float32]

# Positions are parts of the picture's height, so that any size and shape shows the same things.
LAMP_RADIUS = 0.085
LAMP_MARGIN = 0.07
CLOCK_HEIGHT = 0.13
CLOCK_MARGIN = 0.075
BALL_RADIUS = 0.085
BOUNCE_S = 1.6  # from one touch of the floor to the next
CROSSING_S = 9.0  # from one wall to the other
LAMP_DARK, LAMP_LIT = 40.0, 235.0
LAMP_THRESHOLD = 160  # between the dark lamp and the lit one

YUV = tuple[float, float, float]
CORNERS: tuple[tuple[YUV, YUV], tuple[YUV, YUV]] = (  # deep blue, violet; teal, plum
    ((44.0, 152.0, 118.0), (58.0, 158.0, 142.0)),
    ((92.0, 140.0, 92.0), (84.0, 134.0, 156.0)),
)
BALL: YUV = (168.0, 84.0, 172.0)
TEXT: YUV = (232.0, 128.0, 128.0)
DIM_TEXT: YUV = (168.0, 132.0, 124.0)


@dataclass(frozen=True, slots=True)
class Rect:
    """Even pixels, so that it covers whole chroma samples."""

    x: int
    y: int
    width: int
    height: int


class DemoPicture:
    """Paints one frame after another; `width` and `height` are even, at least 128 by 96, and not taller than 2:1."""

    def __init__(self, width: int, height: int, number: int) -> None:
        if width % 2 or height % 2 or width < 128 or height < 96 or height > 2 * width:
            raise ValueError(f"cannot paint {width}x{height}: even sizes from 128x96, at most twice as high as wide")
        self.width, self.height, self._number = width, height, number
        self._scale = min(height, width * 9 // 16)
        self._background = self._paint_background()
        self._planes = tuple(plane.copy() for plane in self._background)
        self._clock = Digits(round(CLOCK_HEIGHT * self._scale))
        self._small = Digits(round(CLOCK_HEIGHT * self._scale * 0.42))
        self._ball = _ball_sprite(_even(BALL_RADIUS * self._scale))
        self._shadow = _shadow_mask(_even(BALL_RADIUS * self._scale))
        self._dirty: list[Rect] = []

    def paint(self, pts_ms: int, clock: str, *, lit: bool) -> av.VideoFrame:
        """The frame of this publisher time, with this time of day written on it."""
        for rect in self._dirty:
            for canvas, background in zip(self._planes, self._background, strict=True):
                _cut(canvas, rect, self.width)[:] = _cut(background, rect, self.width)
        self._dirty.clear()
        self._paint_ball(pts_ms / 1000)
        self._paint_lamp(lit)
        self._paint_clock(pts_ms, clock)
        barcode.draw(self._planes[0], self._number, pts_ms)
        return self._to_frame()

    def _paint_background(self) -> tuple[Plane, ...]:
        planes = []
        for channel in range(3):
            step = 1 if channel == 0 else 2
            y, x = np.mgrid[0 : self.height : step, 0 : self.width : step]
            planes.append(_gradient(x / self.width, y / self.height, channel))
        band = barcode.band_height(self.width)
        planes[0][self.height - band :] = barcode.BLACK
        for chroma in planes[1:]:
            chroma[(self.height - band) // 2 :] = 128
        return tuple(planes)

    def _paint_ball(self, seconds: float) -> None:
        size = len(self._ball[0])
        floor = self.height - barcode.band_height(self.width) - round(0.04 * self._scale)
        rise = max(0, floor - size - round(0.32 * self._scale))
        x = _even((self.width - size) * _there_and_back(seconds / CROSSING_S))
        y = _even(floor - size - rise * abs(sin(pi * seconds / BOUNCE_S)))
        flat = _even(size / 5)
        self._blend(Rect(x, _even(floor - flat * 0.7), size, flat), self._shadow, (16.0, 128.0, 128.0))
        alpha, luma = self._ball
        self._blend(Rect(x, y, size, size), alpha, (luma, BALL[1], BALL[2]))

    def _paint_lamp(self, lit: bool) -> None:
        rect = _lamp(self.width, self.height)
        self._blend(rect, _disc(rect.width), (LAMP_LIT if lit else LAMP_DARK, 128.0, 128.0))

    def _paint_clock(self, pts_ms: int, clock: str) -> None:
        left = top = _even(CLOCK_MARGIN * self._scale)
        self._write(left, top, self._clock.line(clock), TEXT)
        own = f"{pts_ms // 60_000:02d}:{pts_ms // 1000 % 60:02d}.{pts_ms % 1000:03d}"
        self._write(left, _even(top + 1.28 * self._clock.height), self._small.line(own), DIM_TEXT)

    def _write(self, x: int, y: int, mask: Alpha, colour: YUV) -> None:
        height, width = mask.shape
        self._blend(Rect(x, y, min(width, self.width - x), height), mask[:, : self.width - x], colour)

    def _blend(self, rect: Rect, alpha: Alpha, colour: tuple[float | Alpha, float, float]) -> None:
        """Lay a colour over the canvas through a mask; the rectangle is restored before the next frame."""
        self._dirty.append(rect)
        quarter = alpha.reshape(rect.height // 2, 2, rect.width // 2, 2).mean(axis=(1, 3))
        for canvas, mask, value in zip(self._planes, (alpha, quarter, quarter), colour, strict=True):
            under = _cut(canvas, rect, self.width)
            under[:] = under + mask * (value - under) + np.float32(0.5)

    def _to_frame(self) -> av.VideoFrame:
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, canvas in zip(frame.planes, self._planes, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
            rows[: canvas.shape[0], : canvas.shape[1]] = canvas
        frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
        frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return frame


def draw_lamp(luma: Plane, *, lit: bool) -> None:
    """The lamp alone, without its soft edge, into the luma plane `(height, width)` of another picture."""
    height, width = luma.shape
    rect = _lamp(width, height)
    _cut(luma, rect, width)[_disc(rect.width) > 0.5] = LAMP_LIT if lit else LAMP_DARK


def lamp_is_lit(luma: Plane) -> bool:
    """Whether the lamp of this picture `(height, width)` is white, at any scale of the original."""
    height, width = luma.shape
    rect = _lamp(width, height)
    quarter = rect.width // 4
    inner = luma[rect.y + quarter : rect.y + 3 * quarter, rect.x + quarter : rect.x + 3 * quarter]
    return bool(inner.mean() > LAMP_THRESHOLD)


def _lamp(width: int, height: int) -> Rect:
    """The square around the lamp, in the upper right corner."""
    scale = min(height, width * 9 // 16)
    size, margin = _even(2 * LAMP_RADIUS * scale), LAMP_MARGIN * scale
    return Rect(_even(width - margin - size), _even(margin), size, size)


def _even(value: float) -> int:
    return 2 * round(value / 2)


def _there_and_back(phase: float) -> float:
    """0 to 1 and back again, turning gently at both walls."""
    return (1 - float(np.cos(pi * phase))) / 2


def _cut(plane: Plane, rect: Rect, width: int) -> Plane:
    """The part of a plane under a rectangle of the picture; a chroma plane is half as wide."""
    step = 1 if plane.shape[1] == width else 2
    y, x = rect.y // step, rect.x // step
    return plane[y : y + rect.height // step, x : x + rect.width // step]


def _gradient(x: NDArray[np.float64], y: NDArray[np.float64], channel: int) -> Plane:
    """Between the four corner colours, dithered: a plain gradient in 8 bits shows bands."""
    (a, b), (c, d) = ((left[channel], right[channel]) for left, right in CORNERS)
    ease = y * y * (3 - 2 * y)
    value = (a * (1 - x) + b * x) * (1 - ease) + (c * (1 - x) + d * x) * ease
    dither = np.random.default_rng(channel).random(value.shape)
    return (value + dither).astype(np.uint8)


def _grid(size: int) -> tuple[Alpha, Alpha]:
    """Coordinates from -1 to 1 at the centres of `size` by `size` pixels."""
    axis = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * 2 / size - 1).astype(np.float32)
    return np.meshgrid(axis, axis)[0], np.meshgrid(axis, axis)[1]


def _disc(size: int) -> Alpha:
    x, y = _grid(size)
    mask: Alpha = np.clip((1 - np.hypot(x, y)) * size / 2, 0, 1).astype(np.float32)
    return mask


def _ball_sprite(radius: int) -> tuple[Alpha, Alpha]:
    """Mask and luma of a ball lit from the upper left, `2 * radius` pixels wide."""
    size = 2 * radius
    x, y = _grid(size)
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    diffuse = np.clip(-0.5 * x - 0.6 * y + 0.62 * z, 0, 1)
    shine = np.clip(-0.42 * x - 0.5 * y + 0.757 * z, 0, 1) ** 40
    luma = np.clip(BALL[0] * (0.42 + 0.68 * diffuse) + 90 * shine, 16, 235).astype(np.float32)
    return _disc(size), luma


def _shadow_mask(radius: int) -> Alpha:
    """A soft ellipse under the ball."""
    width, height = 2 * radius, _even(2 * radius / 5)
    x = _grid(width)[0][:height]
    y = (((np.arange(height) + 0.5) * 2 / height) - 1)[:, None]
    mask: Alpha = (0.45 * np.clip(1 - np.hypot(x, y), 0, 1)).astype(np.float32)
    return mask

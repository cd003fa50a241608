"""The bar code that a publisher burns into its picture, so that a probe can tell which moment a viewer is shown.

Layout
------
Everything is relative to the picture's width `W`, with one cell `c = W / 32`; the height `H` only says where the
bottom is. The code is a black band along the bottom edge, `W` wide and `3 * c` high, with square cells in 2 rows:

    y = H - 3.0c   top of the band; half a cell of black
    y = H - 2.5c   row 0 begins
    y = H - 1.5c   row 1 begins
    y = H - 0.5c   half a cell of black, down to H

    column 0 and column 31 are black (the quiet margins); columns 1 to 30 hold 30 bits of each row

A white cell is a 1, a black one a 0. The 60 bits are read row 0 first, left to right, most significant bit first:

    bits  0 to 11   publisher number, 12 bits
    bits 12 to 43   the publisher's own pts in milliseconds modulo 2^32, 32 bits
    bits 44 to 59   CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, not reflected, no final xor) over 6 bytes:
                    the number as 2 bytes, then the pts as 4 bytes, both big-endian

Black is luma 16 and white 235 (video range), chroma is neutral, so on a canvas they are 0 and 255.

Reading
-------
The picture may have been scaled as long as its aspect ratio was kept. For each of the 32 columns and 2 rows, average
a 5 by 5 grid of pixels over the middle half of the cell: column `i` of row `r` is sampled at
`x = floor((i + 0.25 + 0.125 * k) * c)` and `y = floor(H - (2.5 - r) * c + (0.25 + 0.125 * j) * c)`, j and k in 0 to 4.
Let `low` and `high` be the smallest and the largest average. There is no code when `high - low < 64`, when an average
lies in the middle fifth between them, or when a quiet cell is white. Else a cell is 1 above the middle, and the CRC
decides.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLACK", "COLUMNS", "MAX_NUMBER", "PTS_MODULUS", "WHITE", "band_height", "draw", "read"]

Luma = NDArray[np.uint8]

COLUMNS = 32  # cells across the picture, quiet margins included: a cell is 20 pixels at 360p, over two macroblock edges
ROWS = 2
BAND_CELLS = 3  # 2 rows and half a cell of black above and below
BITS = (COLUMNS - 2) * ROWS
BLACK = 16
WHITE = 235
MAX_NUMBER = (1 << 12) - 1
PTS_MODULUS = 1 << 32
MIN_WIDTH = 2 * COLUMNS  # below two pixels a cell there is nothing to average
MIN_CONTRAST = 64  # a band darker than this is a fade or not a code
GREY_ZONE = 0.1  # of the contrast, on each side of the middle
SAMPLES = 0.25 + 0.125 * np.arange(5)  # positions across the middle half of a cell


def band_height(width: int) -> int:
    """Rows of pixels that the code takes at the bottom of a picture of this width."""
    return round(BAND_CELLS * width / COLUMNS)


def draw(luma: Luma, number: int, pts_ms: int) -> None:
    """Draw the code into the luma plane `(height, width)` in place. The band's chroma must be neutral (128).

    Raises ValueError for a number outside 12 bits, or a picture that is too small for the band.
    """
    height, width = luma.shape
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"publisher number {number} is outside 0 to {MAX_NUMBER}")
    if not _fits(width, height):
        raise ValueError(f"picture of {width}x{height} is too small for the bar code")
    cell = width / COLUMNS
    cells = np.zeros((ROWS, COLUMNS), np.uint8)
    cells[:, 1:-1] = _to_bits(number, pts_ms % PTS_MODULUS).reshape(ROWS, -1)
    pixels = np.where(cells[:, _columns_of_pixels(width)] == 1, WHITE, BLACK).astype(np.uint8)
    luma[height - band_height(width) :] = BLACK
    for row in range(ROWS):
        top = round(height - (2.5 - row) * cell)
        luma[top : round(height - (1.5 - row) * cell)] = pixels[row]


def read(luma: Luma) -> tuple[int, int] | None:
    """`(publisher number, pts in ms modulo 2^32)` of a luma plane `(height, width)`, or None without a valid code."""
    height, width = luma.shape
    if not _fits(width, height):
        return None
    ys, xs = _sample_points(width, height)
    means = luma[ys[:, :, None, None], xs[None, None, :, :]].mean(axis=(1, 3))
    bits = _threshold(means)
    return None if bits is None else _from_bits(bits)


def _fits(width: int, height: int) -> bool:
    return width >= MIN_WIDTH and height >= band_height(width)


@lru_cache(maxsize=16)
def _columns_of_pixels(width: int) -> NDArray[np.intp]:
    return np.arange(width, dtype=np.intp) * COLUMNS // width


@lru_cache(maxsize=16)
def _sample_points(width: int, height: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows `(2, 5)` and columns `(32, 5)` of the pixels to average."""
    cell = width / COLUMNS
    ys = height - (2.5 - np.arange(ROWS)[:, None]) * cell + SAMPLES * cell
    xs = (np.arange(COLUMNS)[:, None] + SAMPLES) * cell
    return ys.astype(np.intp), xs.astype(np.intp)


def _threshold(means: NDArray[np.float64]) -> NDArray[np.uint8] | None:
    """The 60 bits of the `(2, 32)` cell averages, or None when they are not clearly black and white."""
    low, high = means.min(), means.max()
    contrast = high - low
    distance = means - (low + high) / 2
    if contrast < MIN_CONTRAST or (abs(distance) < GREY_ZONE * contrast).any():
        return None
    cells: NDArray[np.uint8] = (distance > 0).astype(np.uint8)
    if cells[:, (0, -1)].any():
        return None
    return cells[:, 1:-1].ravel()


def _crc(number: int, pts_ms: int) -> int:
    return crc_hqx(number.to_bytes(2, "big") + pts_ms.to_bytes(4, "big"), 0xFFFF)


def _to_bits(number: int, pts_ms: int) -> NDArray[np.uint8]:
    word = number << 48 | pts_ms << 16 | _crc(number, pts_ms)
    # The word is 60 bits: the top 4 of the 8 bytes are not part of it.
    return np.unpackbits(np.frombuffer(word.to_bytes(8, "big"), np.uint8))[-BITS:]


def _from_bits(bits: NDArray[np.uint8]) -> tuple[int, int] | None:
    word = int.from_bytes(np.packbits(np.concatenate([np.zeros(4, np.uint8), bits])).tobytes(), "big")
    number, pts_ms = word >> 48, word >> 16 & 0xFFFFFFFF
    return (number, pts_ms) if word & 0xFFFF == _crc(number, pts_ms) else None

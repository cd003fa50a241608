"""The bar code: drawn, scaled, compressed and read back."""

from __future__ import annotations

from binascii import crc_hqx
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import barcode

SIZES = {1080: 1920, 720: 1280, 480: 854, 360: 640, 240: 426}


def noisy_picture(width: int, height: int, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(16, 236, (height, width), dtype=np.uint8)


def through_x264(pictures: list[np.ndarray[Any, Any]], bit_rate: int, size: tuple[int, int]) -> list[Any]:
    """The luma planes after scaling to `size` and encoding at `bit_rate`."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.framerate, encoder.time_base, encoder.bit_rate = Fraction(30), Fraction(1, 30), bit_rate
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    packets = []
    for pts, luma in enumerate(pictures):
        planes = np.vstack([luma, np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)])
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p").reformat(*size, interpolation="BILINEAR")
        frame.pts = pts
        packets += encoder.encode(frame)
    frames = [f for p in [*packets, *encoder.encode(None), None] for f in decoder.decode(p)]
    return [f.to_ndarray(format="gray") for f in frames]


@pytest.mark.parametrize("height", SIZES)
def test_code_survives_scaling_and_a_low_bit_rate(height: int) -> None:
    pts = [0, 33, 4_294_967_295, 2_863_311_530, 123_456_789]
    texture = 100 + noisy_picture(1280, 720) // 8
    pictures = []
    for n, ms in enumerate(pts):
        luma = np.roll(texture, 8 * n, axis=1)
        barcode.draw(luma, 4095 - n, ms)
        pictures.append(luma)
    received = through_x264(pictures, SIZES[height] * height // 2, (SIZES[height], height))
    assert [barcode.read(luma) for luma in received] == [(4095 - n, ms) for n, ms in enumerate(pts)]


@settings(max_examples=200)
@given(
    number=st.integers(0, barcode.MAX_NUMBER),
    pts_ms=st.integers(0, 1 << 40),
    width=st.integers(64, 700),
    extra=st.integers(0, 200),
)
def test_what_is_drawn_is_read(number: int, pts_ms: int, width: int, extra: int) -> None:
    luma = noisy_picture(width, barcode.band_height(width) + extra)
    barcode.draw(luma, number, pts_ms)
    assert barcode.read(luma) == (number, pts_ms % barcode.PTS_MODULUS)


def test_portrait_pictures_carry_it_too() -> None:
    luma = noisy_picture(720, 1280)
    barcode.draw(luma, 7, 1234)
    assert barcode.read(luma) == (7, 1234)


def test_layout_is_as_documented() -> None:
    luma = noisy_picture(640, 360)
    barcode.draw(luma, 5, 77_000)
    cell = 20
    cells = [[luma[360 - 40 + 20 * r, i * cell + 10] for i in range(32)] for r in range(2)]
    assert {cells[r][i] for r in range(2) for i in (0, 31)} == {barcode.BLACK}
    word = int("".join("1" if v == barcode.WHITE else "0" for row in cells for v in row[1:-1]), 2)
    assert (word >> 48, word >> 16 & 0xFFFFFFFF) == (5, 77_000)
    assert word & 0xFFFF == crc_hqx(b"\0\5" + (77_000).to_bytes(4, "big"), 0xFFFF)


@pytest.mark.parametrize("bit", range(60))
def test_one_wrong_cell_is_noticed(bit: int) -> None:
    luma = noisy_picture(640, 360)
    barcode.draw(luma, 5, 77_000)
    row, column = divmod(bit, 30)
    y, x = 310 + 20 * row, 20 * (column + 1)
    luma[y : y + 20, x : x + 20] = barcode.WHITE + barcode.BLACK - luma[y : y + 20, x : x + 20]
    assert barcode.read(luma) is None


@pytest.mark.parametrize(
    "luma",
    [
        noisy_picture(640, 360),
        np.zeros((360, 640), np.uint8),
        np.full((360, 640), 235, np.uint8),
        np.tile(np.linspace(0, 255, 640).astype(np.uint8), (360, 1)),
        np.zeros((4, 640), np.uint8),
        np.zeros((360, 32), np.uint8),
    ],
)
def test_other_pictures_have_no_code(luma: np.ndarray[Any, Any]) -> None:
    assert barcode.read(luma) is None


@pytest.mark.parametrize("number", [-1, 4096])
def test_number_outside_its_bits_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        barcode.draw(noisy_picture(640, 360), number, 0)


def test_picture_too_small_for_the_band_is_refused() -> None:
    with pytest.raises(ValueError, match="640x59"):
        barcode.draw(noisy_picture(640, 59), 1, 0)

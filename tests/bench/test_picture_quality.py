"""PSNR and SSIM: known values, and the order that people would put pictures in."""

from __future__ import annotations

import numpy as np
import pytest

from bench.picture_quality import MAX_PSNR, psnr, ssim

PICTURE = np.random.default_rng(1).integers(16, 235, (64, 96), dtype=np.uint8)


def test_an_equal_picture_has_lost_nothing() -> None:
    assert psnr(PICTURE, PICTURE) == MAX_PSNR
    assert ssim(PICTURE, PICTURE) == pytest.approx(1.0)


def test_an_error_of_one_everywhere_is_48_db() -> None:
    assert psnr(PICTURE, PICTURE + np.uint8(1)) == pytest.approx(48.13, abs=0.01)


def test_more_noise_is_worse_in_both() -> None:
    noise = np.random.default_rng(2).normal(0, 1, PICTURE.shape)
    worse = [np.clip(PICTURE + noise * strength, 0, 255).astype(np.uint8) for strength in (1, 5, 25)]
    for measure in (psnr, ssim):
        values = [measure(PICTURE, other) for other in worse]
        assert values == sorted(values, reverse=True)
    assert ssim(PICTURE, 255 - PICTURE) < 0

"""How much a picture has lost: PSNR and SSIM of the luma, against a reference of the same size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

__all__ = ["compare_files", "psnr", "ssim"]

Luma = NDArray[np.uint8]

BLOCK = 8  # SSIM is averaged over squares of this many pixels
MAX_PSNR = 99.0  # of equal pictures, where the formula gives infinity


def psnr(a: Luma, b: Luma) -> float:
    """Peak signal to noise ratio in dB."""
    error = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return MAX_PSNR if error == 0 else float(min(MAX_PSNR, 10 * np.log10(255**2 / error)))


def ssim(a: Luma, b: Luma) -> float:
    """Structural similarity (Wang et al. 2004), 1 for equal pictures, over blocks that do not overlap."""
    x, y = _blocks(a), _blocks(b)
    mean_x, mean_y = x.mean(axis=(1, 3)), y.mean(axis=(1, 3))
    var_x, var_y = x.var(axis=(1, 3)), y.var(axis=(1, 3))
    covariance = (x * y).mean(axis=(1, 3)) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def compare_files(source: Path, made: Path, *, every: int = 10) -> tuple[float, float]:
    """Mean PSNR and SSIM of every `every`-th picture. The source is scaled down for it at once, bicubic."""
    values = [(psnr(a, b), ssim(a, b)) for a, b in _pairs(source, made, every)]
    if not values:
        raise ValueError(f"{made} has no picture to compare")
    mean = np.mean(values, axis=0)
    return float(mean[0]), float(mean[1])


def _pairs(source: Path, made: Path, every: int) -> Iterator[tuple[Luma, Luma]]:
    scaler = VideoReformatter()
    with av.open(source) as one, av.open(made) as other:
        for index, (a, b) in enumerate(zip(one.decode(video=0), other.decode(video=0), strict=False)):
            if index % every == 0:
                like = scaler.reformat(a, b.width, b.height, "yuv420p", interpolation="BICUBIC")
                yield _luma(like), _luma(b)


def _luma(frame: av.VideoFrame) -> Luma:
    return frame.to_ndarray(format="yuv420p")[: frame.height].astype(np.uint8, copy=False)


def _blocks(luma: Luma) -> NDArray[np.float64]:
    height, width = (side // BLOCK * BLOCK for side in luma.shape)
    return luma[:height, :width].astype(np.float64).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)

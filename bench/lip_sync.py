"""Flash against beep: how far sound and picture of the demo host are apart, read from what a viewer was sent."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray

from bench import barcode
from bench.demo_picture import lamp_is_lit

__all__ = ["Flash", "read_flashes"]

LOUD = 0.05
"""Of full scale: the beep passes it within its first wave, silence and coding noise stay far below."""
NEAR_MS = 400
"""A flash and a beep belong together when they are closer than this: they come once a second."""


@dataclass(frozen=True, slots=True)
class Flash:
    """One flash of host `number` at `pts_ms`; `beep_ms` is how much later its beep began, None when none was near."""

    number: int
    pts_ms: float
    beep_ms: float | None


def read_flashes(flv: bytes) -> list[Flash]:
    """Decode an FLV stream of the demo host, in H.264 or H.265 with sound, and find every flash."""
    frames: list[tuple[float, int, bool]] = []
    beeps: list[float] = []
    with av.open(io.BytesIO(flv), "r") as container:
        quiet = False
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frames.append((_ms(frame), *_look(frame)))
                elif isinstance(frame, av.AudioFrame):
                    loud = np.flatnonzero(abs(frame.to_ndarray()[0]) > LOUD)
                    if len(loud) and quiet:
                        beeps.append(_ms(frame) + float(loud[0]) * 1000 / frame.sample_rate)
                    quiet = not len(loud)
    starts = [(at, number) for (_, _, before), (at, number, lit) in pairwise(frames) if lit and not before]
    return [Flash(number, at, _nearest(at, beeps)) for at, number in starts]


def _look(frame: av.VideoFrame) -> tuple[int, bool]:
    luma: NDArray[np.uint8] = np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
    code = barcode.read(luma)
    return (code[0] if code else -1), lamp_is_lit(luma)


def _ms(frame: av.VideoFrame | av.AudioFrame) -> float:
    """Presentation time; every frame out of FLV has one."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base * 1000)


def _nearest(at: float, beeps: list[float]) -> float | None:
    apart = min((beep - at for beep in beeps), key=abs, default=None)
    return apart if apart is not None and abs(apart) < NEAR_MS else None

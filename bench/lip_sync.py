"""Flash against beep: how far sound and picture are apart, read from what a viewer was sent.

The demo host and the load publisher light a lamp at each full second of their own time, and begin a beep with it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from bench import barcode
from bench.demo_picture import lamp_is_lit

__all__ = ["BeepFinder", "Flash", "FlashFinder", "luma_of", "nearest", "read_flashes"]

LOUD = 0.05
"""Of full scale: the beep passes it within its first wave, faint noise and coding noise stay below."""
NEAR_MS = 400
"""A flash and a beep belong together when they are closer than this: they come once a second."""
_NO_NUMBER = -1


@dataclass(frozen=True, slots=True)
class Flash:
    """One flash of host `number` at `pts_ms`; `beep_ms` is how much later its beep began, None when none was near."""

    number: int
    pts_ms: float
    beep_ms: float | None


class FlashFinder:
    """`look` at each picture, in order; `starts` are (time, publisher number) of the first lit ones.

    The number is -1 where the picture has no readable bar code.
    """

    def __init__(self) -> None:
        self.starts: list[tuple[float, int]] = []
        self._was_lit = True  # a flash that was under way already began at an unknown time

    def look(self, at: float, luma: NDArray[np.uint8]) -> None:
        lit = lamp_is_lit(luma)
        if lit and not self._was_lit:
            code = barcode.read(luma)
            self.starts.append((at, code[0] if code else _NO_NUMBER))
        self._was_lit = lit


class BeepFinder:
    """`listen` to each block of sound, in order; `starts` are the times at which it became loud after a quiet block."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self._was_quiet = False

    def listen(self, at: float, samples: NDArray[np.float32], samples_per_unit: float) -> None:
        """One channel, float in -1 to 1, that begins at time `at`, in the caller's own unit of time."""
        loud = np.flatnonzero(abs(samples) > LOUD)
        if len(loud) and self._was_quiet:
            self.starts.append(at + float(loud[0]) / samples_per_unit)
        self._was_quiet = not len(loud)


def read_flashes(flv: bytes) -> list[Flash]:
    """Decode an FLV stream of the demo host, in H.264 or H.265 with sound, and find every flash."""
    flashes, beeps = FlashFinder(), BeepFinder()
    with av.open(io.BytesIO(flv), "r") as container:
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    flashes.look(_ms(frame), luma_of(frame))
                elif isinstance(frame, av.AudioFrame):
                    beeps.listen(_ms(frame), frame.to_ndarray()[0], frame.sample_rate / 1000)
    return [Flash(number, at, nearest(at, beeps.starts)) for at, number in flashes.starts]


def luma_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The luma plane `(height, width)` of a picture in YUV 4:2:0, without a copy."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    luma: NDArray[np.uint8] = rows[: frame.height, : frame.width]
    return luma


def nearest(flash_ms: float, beeps_ms: list[float]) -> float | None:
    """How much later the beep that belongs to a flash began, negative for earlier; None when none is near."""
    apart = min((beep - flash_ms for beep in beeps_ms), key=abs, default=None)
    return apart if apart is not None and abs(apart) < NEAR_MS else None


def _ms(frame: av.VideoFrame | av.AudioFrame) -> float:
    """Presentation time; every frame out of FLV has one."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base * 1000)

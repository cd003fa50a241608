"""A film without end, of units that a real encoder made, on a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count

from media.flv_demuxer import FlvDemuxer
from media.ticks import Ticks
from media.unit import AccessUnit
from tests.support.encoded import FRAMES, audio_flv, video_flv
from tests.support.flv import read_flv

__all__ = ["FRAME", "film", "units_of"]

FRAME = 3600
"""Ticks of a picture: 25 a second."""
SOUND = 1920
"""Ticks of a frame of AAC at 48 kHz."""


@cache
def units_of(flv: bytes) -> tuple[AccessUnit, ...]:
    demuxer = FlvDemuxer()
    return tuple(unit for tag in read_flv(flv).tags if (unit := demuxer.read(tag)) is not None)


def film(
    pictures: int, *, codec: str = "libx264", size: tuple[int, int] = (160, 96), start: int = 0, audio: bool = True
) -> Iterator[AccessUnit]:
    """So many pictures (two frames in disorder, a keyframe every twelfth) from dts `start` on, with their sound."""
    shots = units_of(video_flv(codec, *size, params="bframes=2:b-adapt=0:scenecut=0"))
    frames = units_of(audio_flv("aac", 48_000, "stereo"))
    assert len(shots) == FRAMES
    sounds = count()
    heard = next(sounds)
    for number in range(pictures):
        shot, dts = shots[number % FRAMES], number * FRAME
        while audio and heard * SOUND <= dts:
            at = Ticks(start + heard * SOUND)
            yield replace(frames[heard % len(frames)], dts=at, pts=at)
            heard = next(sounds)
        yield replace(shot, dts=Ticks(start + dts), pts=Ticks(start + dts + shot.pts - shot.dts))

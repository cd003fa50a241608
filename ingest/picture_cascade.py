"""Scaling: each rung from the next larger one, because a smaller picture is cheaper to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import av
from av.video.reformatter import Interpolation, VideoReformatter

from ingest.picture_size import rung_size
from ingest.transcode_messages import StartRung
from ingest.video_encoder import FORMAT
from ingest.video_shape import Shape

__all__ = ["PictureCascade"]

INTERPOLATION = Interpolation.BICUBIC
"""Bilinear saves 0.9 ms of CPU a picture in the default ladder, 4 % of it, and costs 1 to 3 dB. swscale is called
without a filter graph, which would cost the same and start threads of its own."""
_RGB = 0
_BT709 = 1


@dataclass(slots=True)
class _Step:
    """One size. `parent` is the size that it is made from, None for the source."""

    size: tuple[int, int]
    parent: tuple[int, int] | None
    scaler: VideoReformatter


class PictureCascade:
    """For one shape of source and one set of rungs; `size` tells each rung's."""

    def __init__(self, shape: Shape, rungs: Sequence[StartRung]) -> None:
        self._shape = shape
        self.sizes = {rung.output: rung_size(shape.width, shape.height, rung.height, shape.aspect) for rung in rungs}
        self._steps: dict[tuple[int, int], _Step] = {}
        # A size that is not made of every picture may not stand between: what is made from it would flicker.
        steady = {self.sizes[rung.output] for rung in rungs if rung.frame_rate is None}
        for size in sorted(set(self.sizes.values()), reverse=True):
            larger = [other for other in self._steps if other in steady and other[0] >= size[0] and other[1] >= size[1]]
            self._steps[size] = _Step(size, larger[-1] if larger else None, VideoReformatter())

    def scale(self, frame: av.VideoFrame, outputs: Sequence[str]) -> dict[str, av.VideoFrame]:
        """The picture for each of these rungs. Rungs of one size share one. av.FFmpegError."""
        made: dict[tuple[int, int], av.VideoFrame] = {}
        return {output: self._made(self.sizes[output], frame, made) for output in outputs}

    def _made(
        self, size: tuple[int, int], frame: av.VideoFrame, made: dict[tuple[int, int], av.VideoFrame]
    ) -> av.VideoFrame:
        if size not in made:
            step = self._steps[size]
            parent = frame if step.parent is None else self._made(step.parent, frame, made)
            made[size] = self._reformat(step, parent)
        return made[size]

    def _reformat(self, step: _Step, parent: av.VideoFrame) -> av.VideoFrame:
        colour = self._shape.colour
        is_rgb = parent.colorspace == _RGB
        frame = step.scaler.reformat(
            parent,
            *step.size,
            format=FORMAT,
            dst_colorspace=_BT709 if is_rgb else None,
            src_color_range=None if is_rgb else colour.range,
            dst_color_range=colour.range,
            interpolation=INTERPOLATION,
            threads=1,
        )
        frame.pts, frame.time_base, frame.pict_type = parent.pts, parent.time_base, parent.pict_type
        return frame

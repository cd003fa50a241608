"""Small pictures in H.264 and back, by PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

WIDTH, HEIGHT = 320, 240


def grey(level: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((HEIGHT * 3 // 2, WIDTH), level, np.uint8), format="yuv420p")


def noise(seed: int) -> av.VideoFrame:
    """A picture of many packets."""
    picture = np.random.default_rng(seed).integers(0, 255, (HEIGHT * 3 // 2, WIDTH), np.uint8)
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


def encode_h264(frames: Iterable[av.VideoFrame]) -> Iterator[list[bytes]]:
    """The NAL units of each picture, in Constrained Baseline, a keyframe every tenth."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt, codec.framerate = WIDTH, HEIGHT, "yuv420p", 30
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "10"}
    for number, frame in enumerate(frames):
        frame.pts = number
        for packet in codec.encode(frame):
            yield split_annex_b(bytes(packet))


def split_annex_b(data: bytes) -> list[bytes]:
    return [nal for nal in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if nal]


def decode_h264(pictures: Iterable[Iterable[bytes]]) -> list[av.VideoFrame]:
    codec = av.CodecContext.create("h264", "r")
    frames = []
    for nals in pictures:
        frames += codec.decode(av.Packet(b"".join(b"\0\0\0\1" + nal for nal in nals)))
    return [*frames, *codec.decode(None)]

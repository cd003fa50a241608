"""Real encoders, through PyAV: small films in FLV, made once per test run."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np

FRAMES = 24


@cache
def video_flv(
    codec: str, width: int, height: int, *, pix_fmt: str = "yuv420p", params: str = "", profile: str = ""
) -> bytes:
    """A moving picture of FRAMES frames at 25 a second. `params` are for x264 or x265."""
    options = {"x264-params" if codec == "libx264" else "x265-params": params, "g": "12", "preset": "ultrafast"}
    if codec == "libx264":
        options["preset"] = "veryfast"
    if profile:
        options["profile"] = profile
    sink = io.BytesIO()
    with av.open(sink, "w", format="flv") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for index in range(FRAMES):
            picture = np.full((height, width, 3), index * 9, np.uint8)
            picture[:, index * 5 : index * 5 + 40] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


@cache
def audio_flv(codec: str, rate: int, layout: str) -> bytes:
    """Half a second of noise."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="flv") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        channels = stream.codec_context.layout.nb_channels
        noise = np.random.default_rng(1).normal(0, 0.1, (channels, rate // 2)).astype(np.float32)
        sample_format = stream.codec_context.codec.audio_formats[0].name
        resampler = av.AudioResampler(format=sample_format, layout=layout, rate=rate)
        source = av.AudioFrame.from_ndarray(noise, format="fltp", layout=layout)
        source.sample_rate, source.pts = rate, 0
        for frame in resampler.resample(source):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


def packets(flv: bytes) -> list[tuple[str, int, int, bool, bytes]]:
    """What PyAV's demuxer finds: (kind, dts, pts, keyframe, payload) in milliseconds."""
    with av.open(io.BytesIO(flv), format="flv") as container:
        return [
            (packet.stream.type, packet.dts, packet.pts, packet.is_keyframe, bytes(packet))
            for packet in container.demux()
            if packet.size
        ]

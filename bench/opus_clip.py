"""Opus for a clip: as long as the clip, encoded once, packets that can go round and round."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

__all__ = ["PACKET_MS", "make_opus"]

PACKET_MS = 20
SAMPLE_RATE = 48_000
BIT_RATE = 96_000
_BLOCK = SAMPLE_RATE * PACKET_MS // 1000


def make_opus(length_ms: int) -> tuple[bytes, ...]:
    """Noise in stereo, a packet for each 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.bit_rate = SAMPLE_RATE, BIT_RATE
    encoder.layout, encoder.format = "stereo", "flt"
    random = np.random.default_rng(1)
    packets: list[bytes] = []
    for number in range(length_ms // PACKET_MS):
        samples = (0.05 * random.standard_normal((1, 2 * _BLOCK))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, number * _BLOCK, Fraction(1, SAMPLE_RATE)
        packets += (bytes(packet) for packet in encoder.encode(frame))
    packets += (bytes(packet) for packet in encoder.encode(None))
    return tuple(packets[: length_ms // PACKET_MS])

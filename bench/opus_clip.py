"""Opus for a clip: as long as the clip, encoded once, packets that can go round and round."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from bench.clip_sound import clip_sound
from bench.demo_sound import SAMPLE_RATE
from wire.codecs.opus import OpusConfig

__all__ = ["PACKET_MS", "make_opus"]

PACKET_MS = 20
BIT_RATE = 96_000
WARM_UP = 5  # packets: what an encoder remembers of the past
_BLOCK = SAMPLE_RATE * PACKET_MS // 1000


def make_opus(length_ms: int) -> tuple[bytes, ...]:
    """The clip's sound in stereo, a packet for each 20 ms; `length_ms` is whole seconds.

    A decoder that cuts nothing, as those of live players, plays each packet at its own time: the encoder is given the
    sound early by its own delay. It begins before the clip, so that the first packet follows the last one.
    """
    count = length_ms // PACKET_MS
    first = OpusConfig(2).pre_skip - WARM_UP * _BLOCK
    sound = clip_sound(length_ms // 1000, first, (WARM_UP + count) * _BLOCK)
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.bit_rate = SAMPLE_RATE, BIT_RATE
    encoder.layout, encoder.format = "stereo", "flt"
    packets: list[bytes] = []
    for start in range(0, sound.shape[1], _BLOCK):
        samples = np.ascontiguousarray(sound[:, start : start + _BLOCK].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        packets += (bytes(packet) for packet in encoder.encode(frame))
    packets += (bytes(packet) for packet in encoder.encode(None))
    return tuple(packets[WARM_UP : WARM_UP + count])

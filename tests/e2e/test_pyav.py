"""PyAV as the encoder and as the player: the packets that come out are those that went in."""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.support.eventually import eventually
from tests.support.node import RunningNode
from wire.codecs import h264
from wire.codecs.nal import split_annexb, split_length_prefixed

pytestmark = pytest.mark.e2e

PICTURES = 60
SIZE = 128, 96
PROBE = {"analyzeduration": "500000", "fpsprobesize": "0"}
"""Of a stream that pauses after two seconds, FFmpeg would want to see five before it gives any packet."""


def publish(node: RunningNode) -> list[bytes]:
    """Push noise, which makes large pictures, the second of them once somebody watches. The packets, as the encoder
    gave them.
    """
    sent, random = [], np.random.default_rng(1)
    joined = node.metric("streamer_flv_joins_total")
    with av.open(node.publish_url("pyav"), "w", format="flv", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        frames = [random.integers(0, 255, (SIZE[1] * 3 // 2, SIZE[0]), dtype=np.uint8) for _ in range(PICTURES)]
        for index, pixels in enumerate([*frames, None]):
            frame = None if pixels is None else av.VideoFrame.from_ndarray(pixels, "yuv420p")
            if frame is not None:
                frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in stream.encode(frame):
                sent.append(bytes(packet))
                container.mux(packet)
                eventually(lambda: node.metric("streamer_flv_joins_total") > joined, "a reader")
    return sent


def test_packets_are_bit_exact(node: RunningNode) -> None:
    sent: list[bytes] = []
    publisher = threading.Thread(target=lambda: sent.extend(publish(node)))
    publisher.start()
    read, times = [], []
    with av.open(node.flv("pyav"), format="flv", options=PROBE, timeout=10) as container:
        for packet in container.demux(video=0):
            read.append(bytes(packet))
            times.append((packet.dts, packet.pts))
            if len(read) == PICTURES:
                break
    publisher.join()
    assert [h264.strip(split_length_prefixed(packet, 4)) for packet in read] == [
        h264.strip(split_annexb(packet)) for packet in sent
    ]
    assert times == sorted(times)
    assert all(pts >= dts for dts, pts in times)

"""The demo host's picture and sound as RTP, painted and encoded when they are due: a camera that publishes by WHIP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from heapq import merge
from itertools import count
from math import ceil

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

from bench.cadence import FLASH_MS, Cadence
from bench.demo_host import LATE_S, MS, DemoOptions, OnCapture, Start, x264_options
from bench.demo_picture import DemoPicture
from bench.demo_sound import SAMPLE_RATE, SAMPLES_PER_MS, beeps
from bench.whip_media import MAX_PAYLOAD, Shot
from wire.codecs.nal import split_annexb
from wire.rtp import h264

__all__ = ["LiveMedia"]

PACKET_MS = 20
BLOCK = PACKET_MS * SAMPLES_PER_MS
OPUS_BIT_RATE = 96_000
VIDEO_TICKS_PER_MS = 90


class LiveMedia:
    """Runs from the first of its `shots`: a picture is due at its pts, a sound when its 20 ms are over.

    Of the options only size, rate and number count: by WHIP it is always H.264 without B-frames, and Opus.
    """

    def __init__(self, options: DemoOptions, on_capture: OnCapture) -> None:
        self._on_capture = on_capture
        self._cadence = Cadence(options.fps)
        self._picture = DemoPicture(options.width, options.height, options.number)
        self._video = _video_encoder(options)
        self._audio = _audio_encoder()
        self._start = Start.now()
        self._base_ms = 0

    def shots(self) -> Iterator[Shot]:
        """For ever, in order of time. RTP time 0 is now."""
        self._start = Start.now()
        self._base_ms = round(1000 * (time.monotonic() - self._start.monotonic))
        return merge(self._pictures(), self._sounds(), key=lambda shot: shot.at_ms)

    def payloads(self, shot: Shot, now_ns: int) -> list[bytes]:
        """Encode it now. `now_ns` is of no use here: the time is in the picture."""
        return self._encode_picture(shot.number) if shot.is_video else self._encode_sound(shot.number)

    def _pictures(self) -> Iterator[Shot]:
        n = self._cadence.first_frame_at(Fraction(self._base_ms + 1, 1000))
        while True:
            at_ms = self._cadence.pts_ms(n) - self._base_ms
            yield Shot(at_ms, True, at_ms * VIDEO_TICKS_PER_MS, n)
            n = max(n + 1, self._cadence.first_frame_at(time.monotonic() - self._start.monotonic - LATE_S))

    def _sounds(self) -> Iterator[Shot]:
        for n in count():
            yield Shot((n + 1) * PACKET_MS, False, n * BLOCK, n)

    def _encode_picture(self, n: int) -> list[bytes]:
        pts = self._cadence.pts_ms(n)
        self._on_capture(pts, time.time())
        frame = self._picture.paint(pts, self._start.clock(pts), lit=self._cadence.is_lit(n))
        frame.pts, frame.time_base = pts, MS
        nals = [nal for packet in self._video.encode(frame) for nal in split_annexb(bytes(packet))]
        return h264.packetise(nals, MAX_PAYLOAD)

    def _encode_sound(self, n: int) -> list[bytes]:
        mono = beeps(self._base_ms * SAMPLES_PER_MS + n * BLOCK, BLOCK, self._cadence.flash_ms, FLASH_MS)
        samples = np.repeat(mono, 2)[np.newaxis, :]
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, n * BLOCK, Fraction(1, SAMPLE_RATE)
        return [bytes(packet) for packet in self._audio.encode(frame)][:1]


def _video_encoder(options: DemoOptions) -> VideoCodecContext:
    """Annex B with the parameter sets before each keyframe, no picture held back."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = options.width, options.height, "yuv420p"
    encoder.time_base, encoder.framerate = MS, options.fps
    encoder.bit_rate = options.bitrate
    encoder.gop_size = max(1, ceil(options.keyint * options.fps))
    encoder.max_b_frames = 0
    encoder.options = x264_options(options) | {"x264-params": "repeat-headers=1"}
    return encoder


def _audio_encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.bit_rate = SAMPLE_RATE, OPUS_BIT_RATE
    encoder.layout, encoder.format = "stereo", "flt"
    encoder.options = {"frame_duration": str(PACKET_MS), "application": "lowdelay"}
    return encoder

"""A few seconds of real H.264 and AAC, encoded once, that a load publisher can send round and round.

The picture has the demo host's bar code, and its lamp that flashes with a beep each second, so that lip sync can be
measured behind any server.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from bench import barcode
from bench.cadence import Cadence
from bench.clip_sound import clip_sound
from bench.demo_picture import draw_lamp
from bench.demo_sound import SAMPLE_RATE
from bench.stamp import UUID, sei_nal
from wire.flv import AUDIO, SCRIPT, VIDEO, FlvParser, FlvTag
from wire.flv_audio import AudioConfigRecord, parse_audio
from wire.flv_video import VideoConfigRecord, VideoFrame, parse_video

__all__ = ["CLIP_NUMBER", "STAMP_EVERY", "Clip", "ClipOptions", "ClipTag", "make_clip"]

CLIP_NUMBER = 4000  # publisher number in the bar code: no demo host has it unless told to
CLIP_S = 8  # 375 AAC frames of 1024 samples at 48 kHz are exactly 8 s: sound and picture come round together
START_MS = 1000  # an encoder's delay must not make a timestamp negative
AUDIO_BLOCK = 1024
AUDIO_BIT_RATE = 128_000
STAMP_EVERY = 7
"""One picture in so many is stamped. Hosts' pictures are one NAL unit, and a second, small one costs a WebRTC server a
send of its own; and keyframes, of which there is one in 60, are stamped no more often than others."""


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """`bitrate` is bits per second of video, `keyint` seconds; `fps` times 8 and `keyint` must come out even.
    Without `audio` the clip has pictures alone.
    """

    width: int = 1280
    height: int = 720
    fps: int = 30
    bitrate: int = 2_500_000
    keyint: float = 2.0
    audio: bool = True


@dataclass(frozen=True, slots=True)
class ClipTag:
    """One tag of the clip at `offset_ms` from its start. `stamp_at` is where a picture's stamp begins, else None."""

    kind: int
    offset_ms: int
    body: bytes
    stamp_at: int | None


@dataclass(frozen=True, slots=True)
class Clip:
    """`head` is metadata and the two configurations, sent once; `tags` are in order of time, a keyframe first."""

    head: tuple[FlvTag, ...]
    tags: tuple[ClipTag, ...]
    length_ms: int

    @property
    def video_bitrate(self) -> int:
        """Bits per second, FLV bodies."""
        return sum(len(tag.body) for tag in self.tags if tag.kind == VIDEO) * 8000 // self.length_ms

    @property
    def has_audio(self) -> bool:
        return any(tag.kind == AUDIO for tag in self.tags)


def make_clip(options: ClipOptions) -> Clip:
    """Encodes, which takes a few seconds of one core. The bit rate is reached by texture, not by filler.

    So short a clip misses its rate by some percent, so that it is encoded again with what was missed taken off.
    """
    first = _clip(_encode(options, options.bitrate))
    return _clip(_encode(options, options.bitrate**2 // first.video_bitrate))


def _clip(flv: bytes) -> Clip:
    tags = list(_tags_of(flv))
    head = tuple(FlvTag(tag.kind, 0, tag.body) for tag in tags if _is_head(tag))
    length = CLIP_S * 1000
    media = [tag for tag in tags if not _is_head(tag) and 0 <= tag.timestamp - START_MS < length]
    numbers = itertools.count()
    kept = [_clip_tag(tag, stamped=tag.kind == VIDEO and next(numbers) % STAMP_EVERY == 0) for tag in media]
    return Clip(head, tuple(sorted(kept, key=lambda tag: tag.offset_ms)), length)


def _tags_of(flv: bytes) -> Iterator[FlvTag]:
    parser = FlvParser()
    parser.receive_data(flv)
    while (event := parser.next_event()) is not None:
        if isinstance(event, FlvTag):
            yield event


def _is_head(tag: FlvTag) -> bool:
    if tag.kind == SCRIPT:
        return True
    event = parse_video(tag.body) if tag.kind == VIDEO else parse_audio(tag.body)
    return isinstance(event, VideoConfigRecord | AudioConfigRecord)


def _clip_tag(tag: FlvTag, *, stamped: bool) -> ClipTag:
    offset = tag.timestamp - START_MS
    video = parse_video(tag.body) if stamped else None
    if not isinstance(video, VideoFrame):
        return ClipTag(tag.kind, offset, tag.body, None)
    nal = sei_nal(0)
    header = tag.body[: len(tag.body) - len(video.data)]
    body = b"".join((header, len(nal).to_bytes(4, "big"), nal, video.data))
    return ClipTag(tag.kind, offset, body, body.index(UUID) + len(UUID))


def _encode(options: ClipOptions, bitrate: int) -> bytes:
    stored = io.BytesIO()
    with av.open(stored, "w", format="flv", options={"flvflags": "no_duration_filesize+no_sequence_end"}) as container:
        video = _add_video(container, options, bitrate)
        audio = _add_audio(container) if options.audio else None
        for frame in _pictures(options):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            for sound in _sounds():
                container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
    return stored.getvalue()


def _add_video(container: OutputContainer, options: ClipOptions, bitrate: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=options.fps)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = options.width, options.height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 1000), Fraction(options.fps)
    context.bit_rate = bitrate
    context.gop_size = round(options.keyint * options.fps)
    # One second of buffer holds each second near the rate and still lets a keyframe be a keyframe.
    rate = {"maxrate": str(bitrate), "bufsize": str(bitrate), "sc_threshold": "0"}
    # One slice a picture, as OBS and phones send: with more threads this tune would cut it into as many.
    one = {"threads": "1"}
    stream.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", **rate, **one}
    return stream


def _add_audio(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
    stream.bit_rate = AUDIO_BIT_RATE
    return stream


def _pictures(options: ClipOptions) -> Iterator[av.VideoFrame]:
    """A texture that slides under fresh grain: motion costs little, grain is what takes the bits."""
    random = np.random.default_rng(1)
    height, width = options.height, options.width
    coarse = random.integers(40, 200, (height // 16 + 2, width // 16 + 2), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((16, 16), np.uint8))
    grain = random.integers(0, 24, (height + 64, width + 64), dtype=np.uint8)
    cadence = Cadence(Fraction(options.fps))
    for n in range(CLIP_S * options.fps):
        y, x = random.integers(0, 64, 2)
        luma = np.roll(texture, 4 * n, axis=1)[:height, :width] + grain[y : y + height, x : x + width]
        draw_lamp(luma, lit=cadence.is_lit(n))
        barcode.draw(luma, CLIP_NUMBER, cadence.pts_ms(n))
        planes = np.vstack([luma, np.full((height // 2, width), 128, np.uint8)])
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        frame.pts, frame.time_base = START_MS + cadence.pts_ms(n), Fraction(1, 1000)
        yield frame


def _sounds() -> Iterator[av.AudioFrame]:
    """Two blocks more than the clip holds, for the encoder's delay."""
    sound = clip_sound(CLIP_S, 0, CLIP_S * SAMPLE_RATE + 2 * AUDIO_BLOCK)
    for start in range(0, sound.shape[1], AUDIO_BLOCK):
        samples = np.ascontiguousarray(sound[:, start : start + AUDIO_BLOCK])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        frame.pts = START_MS * SAMPLE_RATE // 1000 + start
        yield frame

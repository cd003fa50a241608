"""One rung's encoder: raw pictures in, NAL units and their configuration out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ingest.codec_threads import CodecThreads
from ingest.encoder_options import encoder_options, encoder_threads
from ingest.transcode_messages import StartRung
from ingest.video_decoder import TICK_TIME
from ingest.video_shape import Colour
from media.track import Codec
from wire.codecs import h264, h265
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.nal import split_annexb
from wire.errors import WireError

__all__ = ["FORMAT", "Encoded", "EncoderFailed", "VideoEncoder", "mark"]

FORMAT = "yuv420p"
"""8 bits, 4:2:0: what every player of H.264 and H.265 takes."""
_X264_NOTE = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")
"""The uuid under which x264 writes its version and options into the first picture: nothing that a viewer needs."""


class EncoderFailed(Exception):
    """The encoder cannot begin, or gave an error; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded picture: NAL units as an access unit has them."""

    pts: int
    keyframe: bool
    parts: tuple[bytes, ...]


class VideoEncoder:
    """Of one size and colour. `record` is its avcC or hvcC. EncoderFailed from everything, and nothing else.

    `frame_rate` tells the rate control how much a picture may cost, and the level; pictures may come at any times.
    """

    def __init__(
        self, rung: StartRung, size: tuple[int, int], colour: Colour, *, frame_rate: float, threads: CodecThreads
    ) -> None:
        self.size, self.colour, self.frame_rate = size, colour, frame_rate
        self._codec = Codec(rung.codec)
        self._threads = threads
        self._config: H264Config | H265Config | None = None
        with threads.opening():
            try:
                self._context = _open(rung, size, colour, frame_rate)
            except (av.FFmpegError, ValueError, MemoryError) as exc:
                raise EncoderFailed(f"{rung.encoder} does not begin at {size[0]} x {size[1]}: {_short(exc)}") from exc
        self._learn(_split(self._context.extradata or b""))

    @property
    def record(self) -> bytes:
        """Empty until it is known: some hardware tells only with its first picture."""
        if isinstance(self._config, H264Config):
            return self._config.to_avcc()
        return self._config.to_hvcc() if self._config is not None else b""

    def encode(self, frame: av.VideoFrame | None) -> list[Encoded]:
        """What comes out, which is this very picture with any encoder in software. None for what is left."""
        try:
            packets = self._context.encode(frame)
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            raise EncoderFailed(f"{self._context.name}: {_short(exc)}") from exc
        return [self._read(packet) for packet in packets]

    def close(self) -> None:
        """Its threads end with it."""
        with self._threads.closing():
            del self._context

    def _read(self, packet: av.Packet[VideoStream]) -> Encoded:
        nals = _split(bytes(packet))
        self._learn(nals)
        strip = h264.strip if self._codec is Codec.H264 else h265.strip
        parts = tuple([nal for nal in strip(nals) if _X264_NOTE not in nal[:24]])
        return Encoded(packet.pts or 0, packet.is_keyframe, parts)

    def _learn(self, nals: list[bytes]) -> None:
        try:
            if self._codec is Codec.H264:
                current = self._config if isinstance(self._config, H264Config) else None
                self._config = h264.parameter_sets(nals, current) or current
            else:
                known = self._config if isinstance(self._config, H265Config) else None
                self._config = h265.parameter_sets(nals, known) or known
        except WireError as exc:
            raise EncoderFailed(f"its parameter sets cannot be read: {exc}") from exc


def _short(exc: Exception) -> str:
    """FFmpeg's word for it, without all the options."""
    return str(getattr(exc, "strerror", None) or exc)


def _split(data: bytes) -> list[bytes]:
    try:
        return split_annexb(data)
    except WireError as exc:
        raise EncoderFailed(f"what it made cannot be read: {exc}") from exc


def _open(rung: StartRung, size: tuple[int, int], colour: Colour, frame_rate: float) -> VideoCodecContext:
    context = av.CodecContext.create(rung.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = size
    formats = [form.name for form in context.codec.video_formats or ()]
    context.pix_fmt = FORMAT if FORMAT in formats else "nv12"  # the same in another order, for some hardware
    context.time_base = TICK_TIME
    context.framerate = Fraction(frame_rate).limit_denominator(1001)
    context.sample_aspect_ratio = Fraction(1)
    context.bit_rate = rung.bitrate
    context.flags |= Flags.global_header
    context.color_range, context.colorspace = colour.range, colour.matrix
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    threads = encoder_threads(*size, frame_rate)
    context.thread_count = threads
    context.options = encoder_options(rung, threads)
    context.open()
    return context


def mark(frame: av.VideoFrame, *, keyframe: bool) -> None:
    """Say what it becomes. Left as the decoder had it, encoders would copy the source's B and I pictures."""
    frame.pict_type = PictureType.I if keyframe else PictureType.NONE

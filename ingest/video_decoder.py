"""A source's pictures, raw and in the order of showing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.context import ThreadType
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from ingest.codec_threads import CodecThreads
from ingest.deinterlacer import Deinterlacer
from ingest.processor_time import usable_cores
from ingest.transcode_messages import SourceTrack, SourceUnit
from media.ticks import TICKS_PER_SECOND
from media.track import Codec
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.nal import join_length_prefixed
from wire.errors import WireError

__all__ = ["TICK_TIME", "Decoded", "Refused", "Undecodable", "VideoDecoder"]

TICK_TIME = Fraction(1, TICKS_PER_SECOND)
_DECODERS = {Codec.H264: "h264", Codec.H265: "hevc", Codec.AV1: "libdav1d"}
MAX_THREADS = 4
"""Slices of one picture that are decoded at once. Most encoders send one slice, and then there is one thread."""
MAX_OPEN = 64
"""Units whose picture has not come yet: no codec holds back more than 16."""


MAX_BAD_GROUPS = 3
"""Groups of pictures in a row with an error, after which the source is taken as it is."""


class Refused(Exception):
    """Nothing of this source can or may be decoded; the sentence says why."""


class Undecodable(Exception):
    """The decoder gave an error instead of a picture; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A raw picture and its place. `keyframe` is what the source said of it."""

    frame: av.VideoFrame
    pts: int
    keyframe: bool


class VideoDecoder:
    """One configuration of a source. Interlaced pictures come out whole. Raises Refused when it cannot begin.

    Threads work on slices of one picture: one thread a picture would hold each back for as long as there are threads.
    """

    def __init__(self, track: SourceTrack, *, max_pixels: int, threads: CodecThreads) -> None:
        self._max_pixels = max_pixels
        self._threads = threads
        self._is_packed = track.codec != Codec.AV1
        self.declared_frame_rate = self._check_record(track)
        self._track = track
        self._is_strict = True
        self._has_erred = False
        self._bad_groups = 0
        self._context = self._begin()
        self._deinterlacer: Deinterlacer | None = None
        self._open: dict[int, bool] = {}
        self._skips = False
        self.hidden = 0
        self.has_begun = False
        self.complaint = ""

    def decode(self, unit: SourceUnit, *, is_shown: bool = True) -> list[Decoded]:
        """The pictures that this unit releases. Of one that is not shown nothing may come. Undecodable, Refused.

        A keyframe is worth more than a clean picture: a damaged one is shown as well as it goes, with a `complaint`.
        """
        self.complaint = ""
        if is_shown:
            self._open[unit.pts] = unit.keyframe
            if len(self._open) > MAX_OPEN:
                del self._open[next(iter(self._open))]
                self.hidden += 1
        packet = av.Packet(join_length_prefixed(unit.parts) if self._is_packed else b"".join(unit.parts))
        if not packet.size:
            raise Undecodable("empty unit")  # to the decoder it would mean the end
        packet.pts, packet.dts, packet.time_base = unit.pts, unit.dts, TICK_TIME
        self.has_begun = True
        frames = self._judge_group() if unit.keyframe else []
        self._skip(not is_shown)
        try:
            frames += self._context.decode(packet)
        except (av.FFmpegError, ValueError) as exc:
            self._has_erred = True
            self.complaint = getattr(exc, "strerror", None) or str(exc)
            if not (unit.keyframe and self._is_strict):
                raise Undecodable(self.complaint) from exc
            frames += self._again(packet)
        return self._placed(frames)

    @property
    def aspect(self) -> Fraction | None:
        """The shape of a pixel, width to height, where the source tells it."""
        return self._context.sample_aspect_ratio

    def flush(self) -> list[Decoded]:
        """Everything that is held back. The decoder is of no more use then."""
        try:
            frames = self._placed(self._context.decode(None))
            if self._deinterlacer is not None:
                frames += self._find(self._deinterlacer.flush())
        except (av.FFmpegError, ValueError) as exc:
            raise Undecodable(str(exc)) from exc
        self.hidden += len(self._open)
        self._open.clear()
        return frames

    def close(self) -> None:
        """Its threads end with it."""
        with self._threads.closing():
            del self._context

    def _begin(self) -> VideoCodecContext:
        context = _create(self._track, is_strict=self._is_strict)
        context.thread_type = ThreadType.SLICE
        context.thread_count = max(1, min(MAX_THREADS, int(usable_cores())))
        with self._threads.opening():
            try:
                context.open()
            except (av.FFmpegError, ValueError) as exc:
                raise Refused(f"the decoder does not begin: {exc}") from exc
        self._skips = False
        return context

    def _judge_group(self) -> list[av.VideoFrame]:
        """A group of pictures is over. What the old decoder has left, where another has to take over.

        A strict one tells of damage, which a lenient one covers up. But there are sources that break a rule all the
        time and are shown by every player: after MAX_BAD_GROUPS of them in a row nothing is said of them any more.
        """
        if not self._is_odd:
            self._bad_groups = self._bad_groups + 1 if self._has_erred else 0
        self._has_erred = False
        if self._is_strict is not self._is_odd:
            return []
        frames: list[av.VideoFrame] = []
        with suppress(av.FFmpegError, ValueError):
            frames = self._context.decode(None)
        self._is_strict = not self._is_odd
        self._context = self._begin()
        return frames

    def _again(self, packet: av.Packet[Stream]) -> list[av.VideoFrame]:
        """The keyframe that the strict decoder did not take, by a lenient one, for this group of pictures."""
        self._is_strict = False
        self._context = self._begin()
        try:
            return self._context.decode(packet)
        except (av.FFmpegError, ValueError) as exc:
            raise Undecodable(self.complaint) from exc

    @property
    def _is_odd(self) -> bool:
        return self._bad_groups >= MAX_BAD_GROUPS

    def _check_record(self, track: SourceTrack) -> float | None:
        """The frame rate that it declares."""
        config: H264Config | H265Config
        try:
            if track.codec == Codec.H264:
                config, _ = H264Config.from_avcc(track.record)
            elif track.codec == Codec.H265:
                config, _ = H265Config.from_hvcc(track.record)
            else:
                return None
        except WireError as exc:
            raise Refused(f"the source's configuration cannot be read: {exc}") from exc
        self._check_size(config.width, config.height)
        return float(config.frame_rate) if config.frame_rate else None

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise Refused(f"a picture of {width} x {height} exceeds {self._max_pixels} pixels, so it is not decoded")

    def _skip(self, skips: bool) -> None:
        # To catch up, pictures that no other needs are left out; nobody sees them.
        if skips is not self._skips:
            self._skips = skips
            self._context.skip_frame = "NONREF" if skips else "DEFAULT"

    def _placed(self, frames: list[av.VideoFrame]) -> list[Decoded]:
        whole: list[av.VideoFrame] = []
        for frame in frames:
            if frame.pts is None:
                continue
            self._check_size(frame.width, frame.height)
            frame.time_base = TICK_TIME
            if self._deinterlacer is None and frame.interlaced_frame:
                self._deinterlacer = Deinterlacer(TICK_TIME)
            whole += self._deinterlacer.push(frame) if self._deinterlacer is not None else [frame]
        return self._find(whole)

    def _find(self, frames: list[av.VideoFrame]) -> list[Decoded]:
        """With what was known of their units. Whose picture should have come before them will not come."""
        found: list[Decoded] = []
        for frame in frames:
            pts = frame.pts or 0
            found.append(Decoded(frame, pts, self._open.pop(pts, False)))
            late = [other for other in self._open if other < pts]
            for other in late:
                del self._open[other]
            self.hidden += len(late)
        return found


def _create(track: SourceTrack, *, is_strict: bool) -> VideoCodecContext:
    name = _DECODERS.get(Codec(track.codec)) if track.codec in _DECODERS else None
    if name is None:
        raise Refused(f"pictures in {track.codec} cannot be decoded")
    options = {"max_frame_delay": "1"} if track.codec == Codec.AV1 else {}
    try:
        context = av.CodecContext.create(name, "r")
    except (av.FFmpegError, ValueError) as exc:
        raise Refused(f"there is no decoder for {track.codec}: {exc}") from exc
    assert isinstance(context, VideoCodecContext)
    context.options = {**options, "err_detect": "explode"} if is_strict else options
    if track.record:
        context.extradata = track.record
    return context

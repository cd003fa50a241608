"""A clip as RTP: payloads of each picture and sound in order of time, round after round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from bench.clip import Clip, ClipTag
from bench.opus_clip import PACKET_MS, make_opus
from bench.stamp import STAMP_SIZE, stamp
from wire.codecs.h264 import H264Config
from wire.codecs.nal import split_length_prefixed
from wire.errors import Unsupported
from wire.flv import VIDEO
from wire.flv_video import VideoConfigRecord, VideoFrame, parse_video
from wire.rtp import h264

__all__ = ["Shot", "WhipMedia"]

MAX_PAYLOAD = 1160  # with header, extension, RTX number and tag below the 1,200 that every path carries


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture or sound, due at `at_ms` of the publication; `rtp_time` is in its own clock, unwrapped."""

    at_ms: int
    is_video: bool
    rtp_time: int
    number: int


class WhipMedia:
    """`shots` for ever; `payloads` of one of them, with the time of now in a picture. Raises Unsupported."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._pictures = [tag for tag in clip.tags if tag.kind == VIDEO]
        self._sounds = make_opus(clip.length_ms) if clip.has_audio else ()
        self._sets = _parameter_sets(clip)

    def shots(self) -> Iterator[Shot]:
        """In order of time, pictures first."""
        length = self._clip.length_ms
        offsets = [(tag.offset_ms, True, number) for number, tag in enumerate(self._pictures)]
        offsets += [(number * PACKET_MS, False, number) for number in range(len(self._sounds))]
        offsets.sort(key=lambda entry: (entry[0], not entry[1]))
        for lap in count():
            for offset, is_video, number in offsets:
                at_ms = lap * length + offset
                yield Shot(at_ms, is_video, at_ms * (90 if is_video else 48), number)

    def payloads(self, shot: Shot, now_ns: int) -> list[bytes]:
        if not shot.is_video:
            return [self._sounds[shot.number]]
        tag = self._pictures[shot.number]
        video = parse_video(_stamped(tag, now_ns))
        assert isinstance(video, VideoFrame), "a clip's tags are pictures"
        nals = split_length_prefixed(video.data, 4)
        return h264.packetise([*self._sets, *nals] if video.keyframe else nals, MAX_PAYLOAD)


def _stamped(tag: ClipTag, now_ns: int) -> bytes:
    if tag.stamp_at is None:
        return tag.body
    end = tag.stamp_at + STAMP_SIZE
    return b"".join((tag.body[: tag.stamp_at], stamp(now_ns), tag.body[end:]))


def _parameter_sets(clip: Clip) -> tuple[bytes, ...]:
    for tag in clip.head:
        record = parse_video(tag.body) if tag.kind == VIDEO else None
        if isinstance(record, VideoConfigRecord):
            config, _ = H264Config.from_avcc(record.record)
            return (*config.sps, *config.pps)
    raise Unsupported("the clip has no H.264 configuration")

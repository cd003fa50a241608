"""Seconds of the load publisher's show as a checked viewer keeps them, with sound as late as a test wants it."""

from __future__ import annotations

from functools import cache

from bench.clip import Clip, ClipOptions, make_clip
from bench.media_sample import MediaSample, SampleTaker
from bench.opus_clip import PACKET_MS, make_opus
from bench.timeline_origin import TimelineOrigin
from wire.codecs.h264 import H264Config
from wire.codecs.nal import split_length_prefixed
from wire.flv import VIDEO
from wire.flv_video import VideoConfigRecord, VideoFrame, parse_video

__all__ = ["sampled"]

NTP = 3_900_000_000 << 32
ZERO_VIDEO, ZERO_AUDIO = (1 << 32) - 90_000, 12_345
SECONDS = 5


@cache
def _clip() -> Clip:
    return make_clip(ClipOptions(width=320, height=180, bitrate=300_000))


@cache
def _sounds() -> tuple[bytes, ...]:
    return make_opus(_clip().length_ms)


def sampled(*, late_ms: int = 0, reports: bool = True, timeline: TimelineOrigin | None = None) -> MediaSample:
    """`late_ms` is how much later the sound's RTP times are than they should be, by whatever clock."""
    configs = [parse_video(tag.body) for tag in _clip().head if tag.kind == VIDEO]
    config = H264Config.from_avcc(next(c.record for c in configs if isinstance(c, VideoConfigRecord)))[0]
    taker = SampleTaker([*config.sps, *config.pps], timeline, lips=True)
    taker.begin([0.0], 0.0)
    zero_video = ZERO_VIDEO if timeline is None else timeline.zero
    zero_audio = ZERO_AUDIO if timeline is None else timeline.zero
    for tag in (tag for tag in _clip().tags if tag.kind == VIDEO and tag.offset_ms < 1000 * SECONDS):
        video = parse_video(tag.body)
        assert isinstance(video, VideoFrame)
        nals = split_length_prefixed(video.data, 4)
        taker.picture(zero_video + 90 * tag.offset_ms, nals, tag.offset_ms / 1000, keyframe=video.keyframe)
    for number in range(SECONDS * 1000 // PACKET_MS):
        at = zero_audio + 48 * (number * PACKET_MS + late_ms)
        taker.sound(at, _sounds()[number], number * PACKET_MS / 1000)
    for second in (0, 2, 4) if reports else ():
        taker.reported(NTP + (second << 32), (zero_video + 90_000 * second) % (1 << 32), video=True)
        taker.reported(NTP + (second << 32), (zero_audio + 48_000 * second) % (1 << 32), video=False)
    taker.finish()
    (sample,) = taker.samples
    return sample

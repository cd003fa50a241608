"""A track: one codec in one configuration, at one rung."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wire.codecs.aac import AacConfig
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig

__all__ = ["SOURCE", "AudioConfig", "Codec", "Track", "VideoConfig"]

SOURCE = "source"
"""The rendition that the publisher sent, as opposed to a rung that was encoded from it."""

VideoConfig = H264Config | H265Config | OpaqueConfig
AudioConfig = AacConfig | OpusConfig | OpaqueConfig


class Codec(StrEnum):
    """The codecs that a track can carry. AV1 and the last three audio ones pass through unread."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    AAC = "aac"
    OPUS = "opus"
    MP3 = "mp3"
    SPEEX = "speex"
    PCMA = "pcma"
    PCMU = "pcmu"

    @property
    def is_video(self) -> bool:
        return self in (Codec.H264, Codec.H265, Codec.AV1)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One codec configuration. A changed configuration is a new Track, so readers compare with `is`."""

    codec: Codec
    config: VideoConfig | AudioConfig
    rendition: str = SOURCE

    @property
    def is_video(self) -> bool:
        return self.codec.is_video

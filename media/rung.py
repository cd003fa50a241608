"""The ladder's words: a rung as the operator wrote it, and a rendition as viewers may choose it."""

from __future__ import annotations

from dataclasses import dataclass

from media.track import Codec

__all__ = ["Rendition", "Rung"]


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to encode a source's picture. `bitrate` is bits a second, and the bound as well as the aim.

    `height` is in rows and never exceeds the source's. `frame_rate` None is the source's; `keyframe_interval` is the
    longest time between keyframes in seconds, besides which every source keyframe is one. `encoder` and `profile` are
    FFmpeg's names.
    """

    name: str
    codec: Codec
    height: int
    bitrate: int
    frame_rate: float | None = None
    preset: str = "veryfast"
    profile: str = "baseline"
    keyframe_interval: float = 2.0
    encoder: str = "libx264"


@dataclass(frozen=True, slots=True)
class Rendition:
    """One picture that a viewer of a stream may ask for, whether it is being made now or not.

    `codec_string` is RFC 6381's and may be a forecast for a rung that is not made yet; `bitrate` in bits a second is
    measured for the source and None while unknown; `cost` is in cores, None where nothing is encoded.
    """

    name: str
    codec: Codec
    codec_string: str
    width: int
    height: int
    frame_rate: float | None
    bitrate: int | None
    is_made: bool
    cost: float | None = None
    reorders: bool = False

"""What a viewer of a stream may be shown: the source and the rungs of its ladder, best first."""

from __future__ import annotations

from media.rtp import reorders
from media.rung import Rendition
from media.stream import Stream
from media.track import SOURCE, Codec, Track
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.opaque import OpaqueConfig

__all__ = ["AUTO", "bits_of", "has_ladder", "is_forecast", "list_renditions", "rung_track", "source_rendition"]

AUTO = "auto"
"""What a viewer asks for who wants whatever its network carries."""
ASSUMED_AUDIO = 128_000
"""Bits a second of sound, which goes along with every picture."""
OVERHEAD = 1.05
"""Headers and framing."""


def source_rendition(stream: Stream) -> Rendition | None:
    """The publisher's own picture as a rendition; None while there is none."""
    track = stream.source_video
    if track is None:
        return None
    config = track.config
    known = config if isinstance(config, H264Config | H265Config) else None
    return Rendition(
        SOURCE,
        track.codec,
        known.codec_string if known else str(track.codec),
        known.width if known else 0,
        known.height if known else 0,
        stream.frame_rate,
        stream.bitrate(SOURCE),
        is_made=True,
        reorders=stream.source_is_reordered or reorders(track),
    )


def list_renditions(stream: Stream) -> tuple[Rendition, ...]:
    """The source, then the rungs that may be asked for now. Empty while there is no picture."""
    source = source_rendition(stream)
    return () if source is None else (source, *stream.could_encode())


def has_ladder(stream: Stream) -> bool:
    """Is there anything besides the source?"""
    return bool(stream.could_encode())


def rung_track(stream: Stream, rendition: Rendition) -> Track:
    """The track of a rendition; of one that is not made yet a forecast, which its first picture replaces."""
    return stream.renditions.get(rendition.name) or Track(rendition.codec, OpaqueConfig(b""), rendition.name)


def is_forecast(track: Track) -> bool:
    """Does this track only say what will come?"""
    return track.is_video and isinstance(track.config, OpaqueConfig) and track.codec is not Codec.AV1


def bits_of(rendition: Rendition) -> int | None:
    """What a path must carry for it, in bits a second, sound and headers included. None while unknown."""
    return None if rendition.bitrate is None else int((rendition.bitrate + ASSUMED_AUDIO) * OVERHEAD)

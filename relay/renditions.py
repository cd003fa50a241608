"""What a viewer of a stream may be shown: the source and the rungs of its ladder, best first."""

from __future__ import annotations

from collections.abc import Iterable

from media.rtp import reorders
from media.rung import Rendition
from media.stream import Stream
from media.track import SOURCE, Codec, Track
from relay.adaptation import Choice
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.opaque import OpaqueConfig

__all__ = [
    "AUTO",
    "OVERHEAD",
    "UnknownRendition",
    "bits_of",
    "choices_of",
    "find_rendition",
    "has_ladder",
    "is_forecast",
    "list_renditions",
    "rung_forecast",
    "rung_track",
    "source_rendition",
]

MAX_SHOWN = 64
"""Characters of a client's own word that an answer repeats."""
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


class UnknownRendition(Exception):
    """There is none of this name. The message names those that there are."""


def find_rendition(stream: Stream, name: str) -> Rendition:
    """The rendition of this name. Raises UnknownRendition."""
    renditions = list_renditions(stream)
    found = next((rendition for rendition in renditions if rendition.name == name), None)
    if found is None:
        known = ", ".join(rendition.name for rendition in renditions) or "sound alone"
        raise UnknownRendition(f"{stream.key} has no rendition {name[:MAX_SHOWN]}, but {known}")
    return found


def choices_of(renditions: Iterable[Rendition], *, has_sound: bool, current: str | None = None) -> tuple[Choice, ...]:
    """As the policy sees them: each needs less than those before it. One that is worse and needs more is no choice: the
    rung as high as a source of fewer bits, say. Unless it is the `current` one."""
    choices: list[Choice] = []
    least: int | None = None
    for rendition in renditions:
        bits = bits_of(rendition, has_sound=has_sound)
        if least is None or bits is None or bits < least or rendition.name == current:
            choices.append(Choice(rendition.name, bits))
            least = bits if least is None else min(least, bits or least)
    return tuple(choices)


def has_ladder(stream: Stream) -> bool:
    """Is there anything besides the source?"""
    return bool(stream.could_encode())


def rung_track(stream: Stream, rendition: Rendition) -> Track:
    """The track of a rendition; of one that is not made yet a forecast, which its first picture replaces."""
    return stream.renditions.get(rendition.name) or rung_forecast(rendition.name, rendition.codec)


def rung_forecast(name: str, codec: Codec) -> Track:
    """A track that only says what will come: the first picture's own takes its place."""
    return Track(codec, OpaqueConfig(b""), name)


def is_forecast(track: Track) -> bool:
    """Does this track only say what will come?"""
    return track.is_video and isinstance(track.config, OpaqueConfig) and track.codec is not Codec.AV1


def bits_of(rendition: Rendition, *, has_sound: bool) -> int | None:
    """What a path must carry for it, in bits a second, sound and headers included. None while unknown."""
    sound = ASSUMED_AUDIO if has_sound else 0
    return None if rendition.bitrate is None else int((rendition.bitrate + sound) * OVERHEAD)

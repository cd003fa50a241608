"""Which rendition an FLV player is given: what it asks for, or what its network turns out to carry."""

from __future__ import annotations

from dataclasses import dataclass

from media.rung import Rendition
from media.stream import Stream
from media.track import SOURCE, Codec
from relay.renditions import AUTO, find_rendition, list_renditions

__all__ = ["FlvChoice", "choose_rendition", "menu_for"]


@dataclass(frozen=True, slots=True)
class FlvChoice:
    """Where to `start`; `wanted` is the rendition to stay on, None where the network decides."""

    start: str
    wanted: str | None = None


def menu_for(stream: Stream, family: Codec) -> tuple[Rendition, ...]:
    """What a connection can be given whose pictures have this codec, best first."""
    return tuple([rendition for rendition in list_renditions(stream) if rendition.codec is family])


def choose_rendition(stream: Stream, asked: str | None, codec: str) -> FlvChoice:
    """`asked` is a rendition's name, `auto` or None; `codec` is what the player prefers, `h265` or nothing.

    Raises UnknownRendition.
    """
    if asked is None or asked == AUTO:
        return FlvChoice(_best(stream, codec))
    if asked == SOURCE and not stream.renditions:
        return FlvChoice(SOURCE)  # sound alone
    rendition = find_rendition(stream, asked)
    return FlvChoice(_bridge(stream, rendition), asked)


def _best(stream: Stream, codec: str) -> str:
    """H.265 is only for players that ask for it, and where there is nothing else to be had."""
    source = stream.source_video
    if source is None:
        return SOURCE
    wanted = Codec.H265 if codec == Codec.H265 else Codec.H264
    fitting = menu_for(stream, wanted) or menu_for(stream, Codec.H264)
    return fitting[0].name if fitting else SOURCE


def _bridge(stream: Stream, rendition: Rendition) -> str:
    """While a rung is not made yet, the source is shown to those who can take it."""
    source = stream.source_video
    can_bridge = not rendition.is_made and source is not None and source.codec is rendition.codec
    return SOURCE if can_bridge else rendition.name

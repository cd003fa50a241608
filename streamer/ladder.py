"""Which rungs a room's broadcasts have: the operator's table, and the one that is there without him."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from media.rung import Rung
from media.track import Codec

__all__ = ["DEFAULT_LADDER", "DEFAULT_RUNGS", "Ladder", "LadderEntry"]

DEFAULT_RUNGS = (
    Rung("1080p", Codec.H264, 1080, 4_500_000, preset="superfast"),
    Rung("720p", Codec.H264, 720, 2_500_000, preset="superfast"),
    Rung("480p", Codec.H264, 480, 1_200_000, preset="veryfast"),
    Rung("360p", Codec.H264, 360, 700_000, preset="veryfast"),
)
"""720p, 480p and 360p of a 1080p source at 30 pictures a second take 0.6 to 0.7 of a core, so that two cores have room
to spare. 1080p is for viewers who cannot take the source itself, and is encoded only for them."""


@dataclass(frozen=True, slots=True)
class LadderEntry:
    """The rungs, best first, of every room that one of the patterns names. None of them: no ladder."""

    rooms: tuple[str, ...]
    rungs: tuple[Rung, ...]

    def names(self, room: str) -> bool:
        return any(fnmatchcase(room, pattern) for pattern in self.rooms)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Entries in order: the first one that names a room counts. A room that none names has no ladder."""

    entries: tuple[LadderEntry, ...]

    def for_room(self, room: str) -> tuple[Rung, ...]:
        """The rungs of this room, best first, whatever its source may be: `rungs_for` knows which of them apply."""
        return next((entry.rungs for entry in self.entries if entry.names(room)), ())


DEFAULT_LADDER = Ladder((LadderEntry(("*",), DEFAULT_RUNGS),))

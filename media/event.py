"""An interaction event, placed on the stream's timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from media.ticks import Ticks

__all__ = ["Event", "Lane"]


class Lane(StrEnum):
    """Commerce is never dropped and is counted by `seq`; ambient is sampled under flood."""

    COMMERCE = "commerce"
    AMBIENT = "ambient"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened in a room, and when to show it.

    `t` is media time in 90 kHz ticks on broadcast `epoch`; both are None for "on arrival", before the show. `seq`
    counts the commerce lane without gaps and is None on the ambient lane. `ttl` is how many milliseconds after `t`
    the event is still worth showing, None for ever.
    """

    id: str
    epoch: str | None
    t: Ticks | None
    seq: int | None
    kind: str
    lane: Lane
    ttl: int | None
    sender: str | None
    body: Mapping[str, Any]

"""The flood rule (docs/interaction.md): who may say how much, and what of it everybody sees.

Commerce has capacity of its own in every limit that is shared, so no flood of danmaku can hold it up.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from interaction.rates import RateTable, TokenBucket
from interaction.refusal import DUPLICATE, TOO_FAST, TOO_FAST_ADDRESS, TOO_FAST_ROOM, Refusal, Refused
from interaction.settings import RoomSettings
from media.event import Lane

__all__ = ["Draw", "Flood", "Sampler"]

MAX_SENDERS = 20_000
"""Senders and addresses remembered per room and node; a bucket that is forgotten starts full again."""
REPEAT_S = 10.0
"""A sender who says the same within so long is not heard."""
MAX_HELD = 2_000
"""Danmaku that wait for the next tick's draw. More could not raise anybody's chance to be seen."""
SAMPLE_BURST_S = 0.25
"""How much of a second's danmaku may be shown at once."""

T = TypeVar("T")


class Flood:
    """The rates of one room on this node. Every refusal is counted by its name."""

    def __init__(self, settings: RoomSettings, now: float) -> None:
        self.refused: Counter[str] = Counter()
        self._users = RateTable(settings.user_rate, settings.user_burst, limit=MAX_SENDERS)
        self._likes = RateTable(settings.like_rate, settings.like_burst, limit=MAX_SENDERS)
        self._addresses = RateTable(settings.address_rate, settings.address_burst, limit=MAX_SENDERS)
        self._room = TokenBucket(settings.room_rate, settings.room_rate, now)
        self._commerce = TokenBucket(settings.commerce_rate, settings.commerce_burst, now)
        self._said: OrderedDict[tuple[str, str], float] = OrderedDict()

    def admit(self, lane: Lane, kind: str, *, sender: str, address: str, now: float) -> None:
        """Let one message pass. Raises Refused."""
        if lane is Lane.COMMERCE:
            self._demand(self._commerce.take(now), TOO_FAST_ROOM)
            return
        rates = self._likes if kind == "like" else self._users
        self._demand(rates.take(sender, now), TOO_FAST)
        self._demand(self._addresses.take(address, now), TOO_FAST_ADDRESS)
        if kind != "like":  # likes are only added up: any number of them costs the room nothing
            self._demand(self._room.take(now), TOO_FAST_ROOM)

    def admit_words(self, sender: str, text: str, now: float) -> None:
        """Refuse what the same sender has just said. Raises Refused."""
        key = (sender, normalised(text))
        last = self._said.pop(key, None)
        self._said[key] = now
        if len(self._said) > MAX_SENDERS:
            self._said.popitem(last=False)
        self._demand(last is None or now - last >= REPEAT_S, DUPLICATE)

    def _demand(self, allowed: bool, refusal: Refusal) -> None:
        if not allowed:
            self.refused[refusal.name] += 1
            raise Refused(refusal)


@dataclass(frozen=True, slots=True)
class Draw(Generic[T]):
    """What a tick shows of what was held, and why the rest is not shown."""

    shown: list[T]
    sampled: list[T]
    merged: list[T]


class Sampler(Generic[T]):
    """At most `rate` a second are shown to all; what is left out of a tick is chosen at random, not by who came last.

    Nothing is held while there is room: then what is offered is shown at once. `rate` 0 shows everything.
    """

    def __init__(self, rate: float, now: float, *, text: Callable[[T], str], choose: random.Random) -> None:
        self.unlimited = rate <= 0
        self._bucket = TokenBucket(max(rate, 1e-9), max(1.0, rate * SAMPLE_BURST_S), now)
        self._held: list[T] = []
        self._text = text
        self._choose = choose

    @property
    def holding(self) -> bool:
        return bool(self._held)

    def offer(self, item: T, now: float) -> bool:
        """True: show it now. False: it is held until the next `draw`."""
        if self.unlimited or (not self._held and self._bucket.take(now)):
            return True
        self._held.append(item)
        return False

    def full(self) -> bool:
        """Whether so many are held that a draw should not wait for the tick."""
        return len(self._held) >= MAX_HELD

    def draw(self, now: float) -> Draw[T]:
        """Empty what was held. Equal texts are merged into the first of them."""
        held, self._held = self._held, []
        first: dict[str, T] = {}
        merged: list[T] = []
        for item in held:
            if first.setdefault(normalised(self._text(item)), item) is not item:
                merged.append(item)
        unique = list(first.values())
        count = min(len(unique), self._bucket.whole(now))
        self._bucket.take(now, count)
        chosen = set(self._choose.sample(range(len(unique)), count))
        shown = [item for index, item in enumerate(unique) if index in chosen]
        sampled = [item for index, item in enumerate(unique) if index not in chosen]
        return Draw(shown, sampled, merged)


def normalised(text: str) -> str:
    """Texts that differ in case and blanks alone are the same."""
    return "".join(text.casefold().split())

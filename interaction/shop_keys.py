"""The names of a shop's keys. They share the room's hash tag, so that one script may hold all of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHOPS", "ShopKeys"]

SHOPS = "streamer:shops"
"""The rooms that have a shop: reservations run out there whoever is in the room."""


@dataclass(frozen=True, slots=True)
class ShopKeys:
    """`shop` has definitions and counts, `orders` each order by its id, `buyers` units per item and buyer, `timers`
    when something is due, `dirty` what the room is to be told, `stream` the orders for the back end, `hook` where to
    post them.
    """

    room: str

    @property
    def shop(self) -> str:
        return f"{{{self.room}}}:shop"

    @property
    def orders(self) -> str:
        return f"{{{self.room}}}:shop:orders"

    @property
    def buyers(self) -> str:
        return f"{{{self.room}}}:shop:buyers"

    @property
    def timers(self) -> str:
        return f"{{{self.room}}}:shop:timers"

    @property
    def dirty(self) -> str:
        return f"{{{self.room}}}:shop:dirty"

    @property
    def stream(self) -> str:
        return f"{{{self.room}}}:shop:stream"

    @property
    def hook(self) -> str:
        return f"{{{self.room}}}:shop:hook"

    def answer(self, buyer: str, request: str) -> str:
        return f"{{{self.room}}}:shop:answer:{buyer}/{request}"

    def entrants(self, lottery: str) -> str:
        return f"{{{self.room}}}:shop:entrants:{lottery}"

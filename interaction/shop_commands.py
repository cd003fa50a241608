"""What a viewer can ask of the shop, over a room's WebSocket and by POST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from interaction.session import Command, Session
from interaction.shop import Shop
from interaction.tokens import Identity

__all__ = ["BUYER_REQUESTS", "shop_commands"]

BuyerRequest = Callable[[Shop, str, Identity, Mapping[str, Any]], Awaitable[dict[str, Any]]]

BUYER_REQUESTS: Mapping[str, BuyerRequest] = {
    "buy": Shop.buy,
    "cancel": Shop.cancel,
    "order": Shop.order,
    "claim": Shop.claim,
    "enter": Shop.enter,
}


def shop_commands(shop: Shop) -> dict[str, Command]:
    """The same as message types of a session."""
    return {name: _command(shop, request) for name, request in BUYER_REQUESTS.items()}


def _command(shop: Shop, request: BuyerRequest) -> Command:
    async def command(session: Session, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return await request(shop, session.room.name, session.viewer.identity, message)

    return command

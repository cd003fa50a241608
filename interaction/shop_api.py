"""The shop's HTTP: for its back end and for hosts, and for buyers whose network takes no WebSocket."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from interaction.body import IDENTIFIER
from interaction.gateway import Gateway, body_of, response_to
from interaction.kinds import Role
from interaction.refusal import BODY, Refused
from interaction.room import Room
from interaction.shop import Shop, demand, item_to_host
from interaction.shop_commands import BUYER_REQUESTS
from interaction.shop_goods import GOODS, LOTTERY, PRODUCT, Goods
from interaction.shop_webhooks import Webhooks, entry_to_client
from interaction.tokens import Identity

__all__ = ["ShopApi"]

MAX_PAGE = 1_000
ENTRY_ID = re.compile(r"\d{1,19}-\d{1,19}")
SETTLEMENTS = {"confirm": "confirmed", "release": "released"}

Answer = Callable[[web.Request, Room, Identity], Awaitable[dict[str, Any]]]


class ShopApi:
    """`routes()`, below /rooms/{room}/shop."""

    def __init__(self, gateway: Gateway, shop: Shop, webhooks: Webhooks) -> None:
        self._gateway = gateway
        self._shop = shop
        self._webhooks = webhooks

    def routes(self) -> list[web.RouteDef]:
        root = "/rooms/{room}/shop"
        kinds = "{goods:" + "|".join(GOODS) + "}"
        windows = "{goods:" + "|".join(name for name, goods in GOODS.items() if goods.has_window) + "}"
        handlers: list[tuple[str, str, Answer]] = [
            ("GET", root, self._state),
            ("POST", f"{root}/{{request:{'|'.join(BUYER_REQUESTS)}}}", self._buyer),
            ("PUT", f"{root}/{kinds}/{{item}}", self._define),
            ("DELETE", f"{root}/{kinds}/{{item}}", self._remove),
            ("POST", f"{root}/{windows}/{{item}}/close", self._close),
            ("POST", f"{root}/{PRODUCT.plural}/{{item}}/show", self._show),
            ("POST", f"{root}/{PRODUCT.plural}/{{item}}/hide", self._hide),
            ("POST", f"{root}/{LOTTERY.plural}/{{item}}/draw", self._draw),
            ("GET", f"{root}/orders", self._orders),
            ("GET", f"{root}/orders/{{item}}", self._order),
            ("POST", f"{root}/orders/{{item}}/{{settlement:{'|'.join(SETTLEMENTS)}}}", self._settle),
            ("PUT", f"{root}/webhook", self._set_webhook),
            ("GET", f"{root}/webhook", self._webhook),
            ("DELETE", f"{root}/webhook", self._drop_webhook),
            ("POST", f"{root}/reopen", self._reopen),
        ]
        return [web.route(method, path, self._handler(answer)) for method, path, answer in handlers]

    def _handler(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def respond(request: web.Request) -> web.StreamResponse:
            async def inner(room: Room, identity: Identity) -> web.StreamResponse:
                return response_to(request, await answer(request, room, identity))

            return await self._gateway.answered(request, inner)

        return respond

    async def _state(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        demand(identity, Role.HOST)
        now_ms, items = await self._shop.ledger.state(room.name)
        lost = self._shop.ledger.lost.get(room.name)
        return {"wall_ms": now_ms, "items": [item_to_host(item) for item in items], "alarm": lost}

    async def _buyer(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        asked = BUYER_REQUESTS[request.match_info["request"]]
        return await asked(self._shop, room.name, identity, await body_of(request))

    async def _define(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.define(room, identity, _goods(request), _item(request), await body_of(request))

    async def _remove(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.remove(room, identity, _goods(request), _item(request))

    async def _close(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.close(room, identity, _goods(request), _item(request))

    async def _show(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.show(room, identity, _item(request), await _options(request))

    async def _hide(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.hide(room, identity, _item(request), await _options(request))

    async def _draw(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.draw(room, identity, _item(request), await _options(request))

    async def _orders(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        """Entries of the order stream after ?after=ID, at most ?count=."""
        demand(identity, Role.BACKEND)
        after, count = request.query.get("after", "-"), request.query.get("count", "500")
        if after != "-" and not ENTRY_ID.fullmatch(after):
            raise Refused(BODY, "after is an entry's id, as 1767225600000-0")
        if not re.fullmatch(r"\d{1,4}", count) or not 1 <= int(count) <= MAX_PAGE:
            raise Refused(BODY, f"count is 1 to {MAX_PAGE}")
        entries = await self._shop.ledger.stream(room.name, after=after, count=int(count))
        return {"entries": [entry_to_client(entry, fields) for entry, fields in entries]}

    async def _order(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        demand(identity, Role.BACKEND)
        return dict(await self._shop.ledger.order(room.name, _item(request)))

    async def _settle(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        wanted = SETTLEMENTS[request.match_info["settlement"]]
        return await self._shop.settle(room.name, identity, _item(request), wanted)

    async def _set_webhook(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        demand(identity, Role.BACKEND)
        return {"type": "ack", **await self._webhooks.set(room.name, await body_of(request))}

    async def _webhook(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        demand(identity, Role.BACKEND)
        return await self._webhooks.state(room.name)

    async def _drop_webhook(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        demand(identity, Role.BACKEND)
        await self._webhooks.drop(room.name)
        return {"type": "ack"}

    async def _reopen(self, request: web.Request, room: Room, identity: Identity) -> dict[str, Any]:
        return await self._shop.reopen(room.name, identity)


def _goods(request: web.Request) -> Goods:
    return GOODS[request.match_info["goods"]]


def _item(request: web.Request) -> str:
    item = request.match_info["item"]
    if not IDENTIFIER.fullmatch(item):
        raise Refused(BODY, "an id is 1 to 64 of A-Z a-z 0-9 . _ : -")
    return item


async def _options(request: web.Request) -> Mapping[str, Any]:
    """An optional body."""
    return await body_of(request) if request.can_read_body else {}

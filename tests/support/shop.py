"""A shop on a node of rooms, its back end, and its buyers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from interaction.kinds import Role
from interaction.settings import ShopSettings
from tests.support.rooms import Client, Node, client, node

PRODUCT: Mapping[str, Any] = {"title": "A thing", "amount": 1999, "currency": "CNY"}
BUY: Mapping[str, Any] = {"product": "p", "amount": 1999, "currency": "CNY"}
PATIENT = ShopSettings(buyer_rate=10_000, buyer_burst=10_000)
"""A rate that no test meets by accident."""


class Backend:
    """The shop's back end, in room r."""

    def __init__(self, node: Node, *, room: str = "r") -> None:
        self.node = node
        self.room = room
        self._http: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Backend]:
        async with aiohttp.ClientSession() as self._http:
            yield self

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> dict[str, Any]:
        assert self._http is not None
        url = f"{self.node.url}/rooms/{self.room}/shop{'/' if path else ''}{path}"
        bearer = token or self.node.token(Role.BACKEND, sender="backend")
        async with self._http.request(
            method, url, json=body, headers={"Authorization": f"Bearer {bearer}"}
        ) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def get(self, path: str, **given: Any) -> dict[str, Any]:
        return await self.ask("GET", path, **given)

    async def post(self, path: str, body: Any = None, **given: Any) -> dict[str, Any]:
        return await self.ask("POST", path, body, **given)

    async def put(self, path: str, body: Any, **given: Any) -> dict[str, Any]:
        return await self.ask("PUT", path, body, **given)

    async def delete(self, path: str) -> dict[str, Any]:
        return await self.ask("DELETE", path)

    async def product(self, name: str = "p", **fields: Any) -> dict[str, Any]:
        answer = await self.put(f"products/{name}", {**PRODUCT, **fields})
        assert answer["type"] == "product", answer
        return answer

    async def counts(self, name: str = "p") -> tuple[int, int, int]:
        """Left, reserved and sold of an item. Their sum is checked."""
        state = await self.get("")
        item = next(item for item in state["items"] if item[item["type"]] == name)
        assert item["left"] + item["reserved"] + item["sold"] == item["total"], item
        return item["left"], item["reserved"], item["sold"]

    async def orders(self) -> list[dict[str, Any]]:
        """The whole order stream."""
        found: list[dict[str, Any]] = []
        after = "-"
        while True:
            page = (await self.get(f"orders?after={after}&count=1000"))["entries"]
            if not page:
                return found
            found += page
            after = page[-1]["entry"]


@contextlib.asynccontextmanager
async def selling(data: Path, *, shop: ShopSettings = PATIENT, **given: Any) -> AsyncIterator[tuple[Node, Backend]]:
    """A node with a shop, and its back end."""
    async with node(data, shop=shop, **given) as here, Backend(here).session() as backend:
        yield here, backend


@contextlib.asynccontextmanager
async def buyer(node: Node, name: str, room: str = "r") -> AsyncIterator[Client]:
    """A viewer with a token, who may buy."""
    async with client(node, room, token=node.token(Role.VIEWER, sender=name)) as found:
        yield found

"""A shop on a node of rooms, its back end, and its buyers."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from interaction.kinds import Role
from interaction.settings import ShopSettings
from interaction.shop_ledger import Item, Ledger
from tests.support.rooms import Client, Node, client, node

PRODUCT: Mapping[str, Any] = {"title": "A thing", "amount": 1999, "currency": "CNY"}
BUY: Mapping[str, Any] = {"product": "p", "amount": 1999, "currency": "CNY"}
VALID_S = 86_400.0
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
        bearer = token or self.node.token(Role.BACKEND, sender="backend", valid_s=VALID_S)
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
    async with client(node, room, token=node.token(Role.VIEWER, sender=name, valid_s=VALID_S)) as found:
        yield found


@dataclass(frozen=True)
class Books:
    """What the store says of a room's shop: per item its counts, and the order stream by order id."""

    items: Mapping[str, Item]
    stream: Mapping[str, list[Mapping[bytes, bytes]]]


async def audit(ledger: Ledger, room: str = "r") -> Books:
    """Check what must always hold, and give the books.

    left + reserved + sold is the stock of every item and none is negative; each order was reserved once and settled at
    most once; the counts are those that the stream tells; no buyer has more than the limit.
    """
    _, items = await ledger.state(room)
    stream: dict[str, list[Mapping[bytes, bytes]]] = {}
    after = "-"
    while page := await ledger.stream(room, after=after):
        after = page[-1][0]
        for _, fields in page:
            stream.setdefault(fields[b"order"].decode(), []).append(fields)
    units: dict[str, Counter[str]] = {item.name: Counter() for item in items}
    bought: Counter[tuple[str, bytes]] = Counter()
    for order, entries in stream.items():
        kinds = [entry[b"type"] for entry in entries]
        assert kinds[0] == b"reserved", (order, kinds)
        assert len(kinds) <= 2, (order, kinds)
        assert b"reserved" not in kinds[1:], (order, kinds)
        assert (await ledger.order(room, order))["state"] == kinds[-1].decode()
        first = entries[0]
        names = [f"p/{first[b'product'].decode()}"] + ([f"s/{first[b'sale'].decode()}"] if first[b"sale"] else [])
        for name in names:
            units[name][kinds[-1].decode()] += int(first[b"quantity"])
            if kinds[-1] in (b"reserved", b"confirmed"):
                bought[name, first[b"buyer"]] += int(first[b"quantity"])
    seqs = sorted(int(entries[0][b"seq"]) for entries in stream.values())
    assert seqs == list(range(1, len(seqs) + 1))
    for item in items:
        if item.goods in ("p", "s"):
            assert item.left + item.held + item.sold == item.definition["total"], item
            assert min(item.left, item.held, item.sold) >= 0, item
            assert (item.held, item.sold) == (units[item.name]["reserved"], units[item.name]["confirmed"]), item
            limit = item.definition["body"]["limit"]
            assert not limit or all(count <= limit for (name, _), count in bought.items() if name == item.name)
    return Books({item.name: item for item in items}, stream)

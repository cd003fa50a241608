"""A shop's back end for end-to-end tests: products, sales and what a host says, over HTTP with a token of the node."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.support.node import RunningNode, streamer

__all__ = ["Shopkeeper"]


class Shopkeeper:
    """Works in one room."""

    def __init__(self, node: RunningNode, room: str) -> None:
        self._node = node
        self._room = room
        self._token = self.token("backend", "shopkeeper")

    def token(self, role: str, sender: str, *, hours: float = 12.0) -> str:
        data = ("--data", self._node.folder)
        return streamer("token", self._room, "--role", role, "--sender", sender, f"--hours={hours}", *data).strip()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Fails unless the room says yes."""
        url = self._node.url(f"/rooms/{self._room}/{path}")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def product(self, name: str, **fields: Any) -> None:
        body = {"title": name.title(), "amount": 999, "currency": "CNY", "stock": 50, **fields}
        self.ask("PUT", f"shop/products/{name}", body)

    def show(self, product: str) -> None:
        self.ask("POST", f"shop/products/{product}/show")

    def say(self, kind: str, **body: Any) -> dict[str, Any]:
        return self.ask("POST", "events", {"kind": kind, "body": body})

    def left(self, name: str) -> int:
        """Of a product or sale."""
        items = self.ask("GET", "shop")["items"]
        return int(next(item["left"] for item in items if item[item["type"]] == name))

    def orders(self) -> list[dict[str, Any]]:
        return list(self.ask("GET", "shop/orders")["entries"])

"""The kinds of events: who may send one, in which lane it travels, what its body holds, what state it leaves.

A new kind is a dataclass and a row of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from interaction.body import BodyError, choice, identifier, integer, line, parse_body, url
from interaction.packing import pack
from interaction.refusal import BODY, FORBIDDEN, TOO_LARGE, UNKNOWN_KIND, Refused
from media.event import Lane

__all__ = ["KINDS", "Kind", "Role", "kind_for"]

MAX_AMOUNT = 1_000_000_000_000
"""Minor units. Ten billion of a currency with cents; sums of a thousand stay within 2^53, as Lua and scripts count."""
MAX_STOCK = 1_000_000_000


class Role(IntEnum):
    """Who somebody is in a room. Each may do what the one before it may."""

    VIEWER = 0
    MODERATOR = 1
    HOST = 2
    BACKEND = 3


@dataclass(frozen=True, kw_only=True)
class Danmaku:
    text: str = line(200)
    color: int = integer(0, 0xFFFFFF, default=0xFFFFFF)
    mode: str = choice("scroll", "top", "bottom", default="scroll")
    size: int = integer(12, 64, default=25)
    name: str | None = line(40, default=None)


@dataclass(frozen=True, kw_only=True)
class Like:
    count: int = integer(1, 50, default=1)


@dataclass(frozen=True, kw_only=True)
class ProductShow:
    product: str = identifier()
    title: str | None = line(120, default=None)
    image: str | None = url(default=None)
    link: str | None = url(default=None)
    amount: int | None = integer(0, MAX_AMOUNT, default=None)
    currency: str | None = identifier(default=None)
    stock: int | None = integer(0, MAX_STOCK, default=None)


@dataclass(frozen=True, kw_only=True)
class ProductHide:
    product: str | None = identifier(default=None)


@dataclass(frozen=True, kw_only=True)
class Price:
    product: str = identifier()
    amount: int = integer(0, MAX_AMOUNT)
    currency: str = identifier()
    was: int | None = integer(0, MAX_AMOUNT, default=None)


@dataclass(frozen=True, kw_only=True)
class Stock:
    product: str = identifier()
    left: int = integer(0, MAX_STOCK)


@dataclass(frozen=True, kw_only=True)
class Notice:
    text: str = line(500)
    level: str = choice("info", "important", default="info")


@dataclass(frozen=True, kw_only=True)
class Gift:
    gift: str = identifier()
    count: int = integer(1, 10_000, default=1)
    giver: str = identifier()
    name: str | None = line(40, default=None)
    amount: int | None = integer(0, MAX_AMOUNT, default=None)
    currency: str | None = identifier(default=None)


@dataclass(frozen=True, kw_only=True)
class Mute:
    """`sender` is muted until the wall time `until_ms`; 0 ends it. `all` mutes every viewer."""

    sender: str = identifier()
    until_ms: int = integer(0, 1 << 52)


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Take the event `event` off the screens."""

    event: str = identifier()


@dataclass(frozen=True, kw_only=True)
class Sync:
    mode: str = choice("frame", "wall", "frame+hold")


@dataclass(frozen=True)
class Kind:
    """`state_key` names the state that the event replaces, None for none. `ttl` is in ms after `t`."""

    name: str
    lane: Lane
    body: type
    role: Role = Role.HOST
    max_bytes: int = 2_048
    state_key: Callable[[Mapping[str, Any]], str] | None = None
    ttl: int | None = None

    def parse(self, body: Any, role: Role) -> dict[str, Any]:
        """A peer's body, checked. Raises Refused: FORBIDDEN, TOO_LARGE or BODY."""
        if role < self.role:
            raise Refused(FORBIDDEN, f"{self.name} needs {self.role.name.lower()}, not {role.name.lower()}")
        size = len(pack(body))
        if size > self.max_bytes:
            raise Refused(TOO_LARGE, f"{self.name} of {size} bytes exceeds {self.max_bytes}")
        try:
            return parse_body(self.body, body)
        except BodyError as exc:
            raise Refused(BODY, f"{self.name}: {exc}") from exc

    def key_of(self, body: Mapping[str, Any]) -> str | None:
        return None if self.state_key is None else self.state_key(body)


def _constant(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda body: key


def _per(prefix: str, name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda body: f"{prefix}:{body[name]}"


_ALL = (
    Kind("danmaku", Lane.AMBIENT, Danmaku, role=Role.VIEWER, max_bytes=1_024, ttl=8_000),
    Kind("like", Lane.AMBIENT, Like, role=Role.VIEWER, max_bytes=64, ttl=3_000),
    Kind("product.show", Lane.COMMERCE, ProductShow, state_key=_constant("product")),
    Kind("product.hide", Lane.COMMERCE, ProductHide, max_bytes=256, state_key=_constant("product")),
    Kind("price", Lane.COMMERCE, Price, max_bytes=512, state_key=_per("price", "product")),
    Kind("stock", Lane.COMMERCE, Stock, max_bytes=256, state_key=_per("stock", "product")),
    Kind("notice", Lane.COMMERCE, Notice, max_bytes=2_048, state_key=_constant("notice")),
    Kind("gift", Lane.COMMERCE, Gift, role=Role.BACKEND, max_bytes=512, ttl=10_000),
    Kind("mute", Lane.COMMERCE, Mute, role=Role.MODERATOR, max_bytes=256, state_key=_per("mute", "sender")),
    Kind("delete", Lane.COMMERCE, Delete, role=Role.MODERATOR, max_bytes=256),
    Kind("sync", Lane.COMMERCE, Sync, max_bytes=64, state_key=_constant("sync")),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""What clients can send. `likes` (totals) and `presence` are sent by the server alone and are not among them."""


def kind_for(name: Any, kinds: Mapping[str, Kind] = KINDS) -> Kind:
    """The kind called `name`. Raises Refused."""
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Refused(UNKNOWN_KIND, f"there is no kind {str(name)[:64]!r}")
    return kind

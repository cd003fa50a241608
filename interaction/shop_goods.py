"""What a shop has: products, sales, coupons and lotteries, as a host or a back end defines them; and a purchase.

Amounts are whole numbers of minor units (fen, cents) with their currency; there are no fractions anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interaction.body import BodyError, choice, currency, identifier, integer, line, parse_body, url
from interaction.kinds import MAX_AMOUNT, MAX_STOCK
from interaction.packing import pack
from interaction.refusal import BODY, Refused

__all__ = ["COUPON", "GOODS", "LOTTERY", "PRODUCT", "SALE", "Buy", "Definition", "Goods", "defined", "parse"]

MAX_QUANTITY = 1_000
"""Units in one order. With MAX_AMOUNT a total stays below 2^53, up to which Lua counts exactly."""
MAX_VERSION = 1 << 52
MAX_WALL_MS = 1 << 52
MAX_SPAN_MS = 31 * 86_400_000
"""A sale or a lottery lasts a month at most, and is planned a month ahead at most."""
MAX_WINNERS = 100
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Product:
    """`stock` is all there is: left, reserved and sold. `limit`: units per buyer, 0 for any number. `listed`: also sold
    outside sales."""

    title: str = line(120)
    image: str | None = url(default=None)
    link: str | None = url(default=None)
    amount: int = integer(0, MAX_AMOUNT)
    currency: str = currency()
    stock: int = integer(0, MAX_STOCK)
    limit: int = integer(0, MAX_STOCK, default=0)
    listed: bool = choice(True, False, default=True)
    version: int = integer(0, MAX_VERSION, default=0)


@dataclass(frozen=True, kw_only=True)
class Sale:
    """A flash sale of `total` units of a product, drawn from its stock."""

    product: str = identifier()
    amount: int = integer(0, MAX_AMOUNT)
    total: int = integer(0, MAX_STOCK)
    limit: int = integer(0, MAX_STOCK, default=1)
    sync: str = choice("frame", "wall", "frame+hold", default="frame+hold")
    opens_ms: int | None = integer(0, MAX_WALL_MS, default=None)
    opens_in_ms: int | None = integer(0, MAX_SPAN_MS, default=None)
    closes_ms: int | None = integer(0, MAX_WALL_MS, default=None)
    duration_ms: int = integer(1, MAX_SPAN_MS, default=600_000)
    version: int = integer(0, MAX_VERSION, default=0)


@dataclass(frozen=True, kw_only=True)
class Coupon:
    """`off` an order of at least `minimum`, of one product or any. `limit`: per buyer."""

    title: str | None = line(120, default=None)
    product: str | None = identifier(default=None)
    off: int = integer(1, MAX_AMOUNT)
    currency: str = currency()
    minimum: int = integer(0, MAX_AMOUNT, default=0)
    total: int = integer(0, MAX_STOCK)
    limit: int = integer(0, MAX_STOCK, default=1)
    opens_ms: int | None = integer(0, MAX_WALL_MS, default=None)
    opens_in_ms: int | None = integer(0, MAX_SPAN_MS, default=None)
    closes_ms: int | None = integer(0, MAX_WALL_MS, default=None)
    duration_ms: int = integer(1, MAX_SPAN_MS, default=DAY_MS)
    version: int = integer(0, MAX_VERSION, default=0)


@dataclass(frozen=True, kw_only=True)
class Lottery:
    """`winners` are drawn among those who took part, `total` at most."""

    title: str | None = line(120, default=None)
    winners: int = integer(1, MAX_WINNERS, default=1)
    total: int = integer(1, 1_000_000, default=100_000)
    opens_ms: int | None = integer(0, MAX_WALL_MS, default=None)
    opens_in_ms: int | None = integer(0, MAX_SPAN_MS, default=None)
    closes_ms: int | None = integer(0, MAX_WALL_MS, default=None)
    duration_ms: int = integer(1, MAX_SPAN_MS, default=600_000)
    version: int = integer(0, MAX_VERSION, default=0)


@dataclass(frozen=True, kw_only=True)
class Buy:
    """A purchase at the unit price that the buyer saw. `id` makes pressing twice buy once."""

    id: str = identifier()
    product: str = identifier()
    sale: str | None = identifier(default=None)
    quantity: int = integer(1, MAX_QUANTITY, default=1)
    amount: int = integer(0, MAX_AMOUNT)
    currency: str = currency()
    coupon: str | None = identifier(default=None)


@dataclass(frozen=True, slots=True)
class Goods:
    """One sort of item: its letter in the store, its name in addresses and in events."""

    letter: str
    name: str
    plural: str
    form: type
    has_window: bool

    def __repr__(self) -> str:
        return f"Goods({self.name})"


PRODUCT = Goods("p", "product", "products", Product, has_window=False)
SALE = Goods("s", "sale", "sales", Sale, has_window=True)
COUPON = Goods("c", "coupon", "coupons", Coupon, has_window=True)
LOTTERY = Goods("l", "lottery", "lotteries", Lottery, has_window=True)
GOODS: Mapping[str, Goods] = {goods.plural: goods for goods in (PRODUCT, SALE, COUPON, LOTTERY)}

TIMES = ("opens_ms", "opens_in_ms", "closes_ms", "duration_ms")


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition as the store takes it: what clients will see, how much there is, and the window. Of `opens_ms` and
    `opens_in_ms` one is set, if there is a window; the latter counts from the store's now."""

    goods: Goods
    id: str
    body: Mapping[str, Any]
    total: int
    version: int
    opens_ms: int | None = None
    opens_in_ms: int | None = None
    closes_ms: int | None = None
    duration_ms: int | None = None

    @property
    def packed(self) -> bytes:
        return pack(self.body)


def parse(form: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request, checked. Raises Refused: BODY."""
    try:
        return parse_body(form, value)
    except BodyError as exc:
        raise Refused(BODY, f"{form.__name__.lower()}: {exc}") from exc


def defined(goods: Goods, item: str, value: Mapping[str, Any], *, delay_ms: int) -> Definition:
    """A definition from a request's body. One that does not say when it opens does so `delay_ms` from now.

    Raises Refused: BODY.
    """
    fields = parse(goods.form, value)
    version = fields.pop("version")
    times = {name: fields.pop(name) for name in TIMES if name in fields}
    if "opens_ms" in times and "opens_in_ms" in times:
        raise Refused(BODY, f"{goods.name}: opens_ms and opens_in_ms exclude each other")
    if goods.has_window and "opens_ms" not in times:
        times.setdefault("opens_in_ms", delay_ms)
    total = fields.pop("stock") if goods is PRODUCT else fields["total"]
    return Definition(goods, item, fields, total, version, **times)

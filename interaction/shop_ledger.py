"""The ledger: the shop's scripts, one method each.

What it guarantees. Of each item `left + reserved + sold` is its stock after every step, and each accepted order is in
the order stream exactly once, whatever is repeated and whoever dies: there are no two steps. A yes is given only when
the store has it as safely as it was asked to (docs/shop.md).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import msgpack  # type: ignore[import-untyped]

from interaction import refusal
from interaction.broker import RoomKeys
from interaction.placement import Placed
from interaction.refusal import Refusal, Refused
from interaction.script import load_script
from interaction.settings import ShopSettings
from interaction.shop_goods import LOTTERY, MAX_WINNERS, Definition, Goods
from interaction.shop_keys import SHOPS, ShopKeys
from interaction.store import Argument, Entries, Store, entries_of

__all__ = ["Due", "Item", "Known", "Ledger", "Purchase", "Settled", "Swept"]

log = logging.getLogger(__name__)

REFUSAL_KEPT_MS = 600_000
"""A request that was refused stays refused when the network repeats it: nobody waits longer for an answer."""
MAX_ITEMS = 400
"""Products, sales, coupons and lotteries of a room. Each leaves two of the room's 2,000 state keys."""
MAX_TIMERS = 200
"""Reservations that one sweep ends. More are taken at once after it."""
LOG_EVERY_S = 1.0
PAGE = 500
RANDOM_BITS = 48

REFUSALS: Mapping[str, Refusal] = {
    "unknown": refusal.UNKNOWN_ITEM,
    "unknown product": refusal.UNKNOWN_ITEM,
    "unknown sale": refusal.UNKNOWN_ITEM,
    "early": refusal.TOO_EARLY,
    "over": refusal.OVER,
    "sale only": refusal.SALE_ONLY,
    "currency": refusal.CURRENCY,
    "price": refusal.PRICE_CHANGED,
    "limit": refusal.BUYER_LIMIT,
    "sold out": refusal.SOLD_OUT,
    "short": refusal.NOT_ENOUGH,
    "coupon": refusal.COUPON,
    "reused": refusal.REQUEST_REUSED,
    "stale": refusal.STALE,
    "stock": refusal.BELOW_SOLD,
    "full": refusal.SHOP_FULL,
    "window": refusal.BODY,
    "held": refusal.IN_USE,
    "needed": refusal.IN_USE,
}
"""What the scripts answer, as numbers that a client can see."""


@dataclass(frozen=True, slots=True)
class Known:
    """What this node has seen of a shop: its id, and how many orders it had."""

    id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """An accepted order. `state` is what became of it, if it was asked before (`again`)."""

    order: str
    total: int
    expires_ms: int
    now_ms: int
    state: str
    again: bool
    sold_out: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """An order after an attempt to settle it. `done`: by this attempt; `again`: as wanted, but before."""

    order: Mapping[str, Any]
    done: bool
    again: bool


@dataclass(frozen=True, slots=True)
class Item:
    """An item as it is stored. `phase` is soon, open or over, or '' for what has no window."""

    goods: str
    id: str
    definition: Mapping[str, Any]
    left: int
    sold: int
    rev: int
    phase: str = ""
    held: int = 0

    @property
    def name(self) -> str:
        return f"{self.goods}/{self.id}"


@dataclass(frozen=True, slots=True)
class Due:
    """An item of which the room is to be told."""

    item: Item
    define: bool
    count: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found. `wait_ms`: until there is more to do, None if nothing is known."""

    now_ms: int
    overdue: Sequence[str]
    due: Sequence[Due]
    wait_ms: int | None


class Ledger:
    """All shops, in one store."""

    def __init__(self, store: Store, settings: ShopSettings, *, replicas: int = 0) -> None:
        self.store = store
        self.settings = settings
        self.known: dict[str, Known] = {}
        self.lost: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._replicas = replicas
        self._kept_ms = round(settings.order_kept_s * 1000)
        self._answer_kept_ms = self._kept_ms + round(settings.pay_s * 1000)
        self._logged_at = float("-inf")

    async def buy(self, room: str, buyer: str, wanted: Mapping[str, Any]) -> Purchase:
        """Reserve what a `Buy` asks for. Raises Refused; the same request is answered alike."""
        keys, order = ShopKeys(room), secrets.token_hex(10)
        answer = await self._call(
            "shop_buy",
            room,
            (
                keys.shop,
                keys.orders,
                keys.buyers,
                keys.timers,
                keys.dirty,
                keys.stream,
                keys.answer(buyer, wanted["id"]),
            ),
            (
                *(order, buyer, wanted["id"], wanted["product"], wanted.get("sale", ""), wanted["quantity"]),
                *(wanted["amount"], wanted["currency"], wanted.get("coupon", "")),
                *(round(self.settings.pay_s * 1000), self._answer_kept_ms, REFUSAL_KEPT_MS),
            ),
        )
        if answer[0] == b"reused":
            self._refuse("reused", wanted["id"])
        status, _, _, now_ms, packed, state, sold_out = answer
        _, reason, order, total, expires_ms, detail = msgpack.unpackb(packed)
        if reason:
            self._refuse(reason, detail)
        self.counts["bought"] += status == b"taken"
        return Purchase(order, total, expires_ms, now_ms, state.decode(), status == b"again", bool(sold_out))

    async def settle(self, room: str, order: str, wanted: str, *, buyer: str = "") -> Settled:
        """End a reservation: `wanted` is confirmed, released or expired. With `buyer` only if it is theirs.

        Raises Refused: UNKNOWN_ORDER, or ORDER_SETTLED if it has ended otherwise.
        """
        keys = ShopKeys(room)
        names = (keys.shop, keys.orders, keys.buyers, keys.timers, keys.dirty, keys.stream)
        answer = await self._call("shop_settle", room, names, (order, wanted, buyer, self._kept_ms))
        status = answer[0].decode()
        if status == "unknown":
            raise Refused(refusal.UNKNOWN_ORDER)
        found = msgpack.unpackb(answer[4])
        if status == "other":
            raise Refused(refusal.ORDER_SETTLED, f"the order is {found['state']}")
        self.counts[found["state"]] += status == "done"
        return Settled(_public(order, found), status == "done", status == "again")

    async def order(self, room: str, order: str, *, buyer: str = "") -> Mapping[str, Any]:
        """One order. Raises Refused: UNKNOWN_ORDER, also for another buyer's."""
        packed = await self.store.execute("HGET", ShopKeys(room).orders, order)
        found = None if packed is None else msgpack.unpackb(packed)
        if found is None or (buyer and found["buyer"] != buyer):
            raise Refused(refusal.UNKNOWN_ORDER)
        return _public(order, found)

    async def stream(self, room: str, *, after: str = "-", count: int = PAGE) -> Entries:
        """Entries of the order stream after the entry id `after`, in order."""
        start = "-" if after == "-" else f"({after}"
        return entries_of(await self.store.execute("XRANGE", ShopKeys(room).stream, start, "+", "COUNT", count))

    async def define(self, room: str, definition: Definition, placed: Placed) -> Mapping[str, Any]:
        """Define an item. Answers it as it is stored now. Raises Refused."""
        keys = ShopKeys(room)
        await self.store.execute("SADD", SHOPS, room)
        times = (definition.opens_ms, definition.opens_in_ms, definition.closes_ms, definition.duration_ms)
        window = tuple("" if value is None else value for value in times) if definition.goods.has_window else ()
        head = (secrets.token_hex(8), definition.goods.letter, definition.id, definition.packed, definition.total)
        place = (placed.epoch or "", "" if placed.t is None else placed.t)
        answer = await self._call(
            "shop_define",
            room,
            (keys.shop, keys.timers, keys.dirty),
            (*head, definition.version, *place, MAX_ITEMS, *window),
        )
        return self._definition(answer)

    async def close(self, room: str, goods: Goods, item: str) -> Mapping[str, Any]:
        """Close a sale, coupon or lottery now. Raises Refused."""
        keys = ShopKeys(room)
        names = (keys.shop, keys.timers, keys.dirty)
        return self._definition(await self._call("shop_close", room, names, (goods.letter, item)))

    async def remove(self, room: str, goods: Goods, item: str) -> None:
        """Take an item out. Raises Refused: UNKNOWN_ITEM, IN_USE."""
        keys = ShopKeys(room)
        names = (keys.shop, keys.timers, keys.dirty, keys.entrants(item if goods is LOTTERY else ""))
        answer = await self._call("shop_remove", room, names, (goods.letter, item))
        if answer[0] != b"done":
            self._refuse(answer[0].decode(), answer[4])
        await self._forget_buyers(room, answer[4])

    async def claim(self, room: str, coupon: str, buyer: str, request: str) -> bool:
        """Give `buyer` a coupon. True if the same request had got it before. Raises Refused."""
        keys = ShopKeys(room)
        names = (keys.shop, keys.buyers, keys.dirty, keys.answer(buyer, request))
        answer = await self._call("shop_claim", room, names, (coupon, buyer, self._kept_ms))
        return self._again(answer)

    async def enter(self, room: str, lottery: str, entrant: str) -> tuple[int, bool]:
        """Take part in a lottery: the place on its list, and whether that was so before. Raises Refused."""
        keys = ShopKeys(room)
        names = (keys.shop, keys.entrants(lottery), keys.dirty)
        answer = await self._call("shop_enter", room, names, (lottery, entrant))
        return answer[4], self._again(answer)

    async def draw(self, room: str, lottery: str, placed: Placed) -> Mapping[str, Any]:
        """Draw a lottery, once. Answers its definition, with who was drawn. Raises Refused."""
        keys = ShopKeys(room)
        names = (keys.shop, keys.entrants(lottery), keys.timers, keys.dirty)
        place = (placed.epoch or "", "" if placed.t is None else placed.t)
        dice = (secrets.randbits(RANDOM_BITS) for _ in range(MAX_WINNERS))
        return self._definition(await self._call("shop_draw", room, names, (lottery, *place, *dice)))

    async def sweep(self, room: str) -> Swept | None:
        """What is due in a room; None if it has no shop. Raises Refused: SALES_CLOSED."""
        keys = ShopKeys(room)
        names = (keys.shop, keys.orders, keys.timers, keys.dirty, RoomKeys(room).log)
        answer = await self._call("shop_sweep", room, names, (self.settings.tell_ms, MAX_TIMERS), safe=False)
        if answer[0] == b"none":
            return None
        _, _, _, now_ms, overdue, rows, wait_ms = answer
        due = [Due(_item(row[:6]), bool(row[6]), bool(row[7])) for row in rows]
        return Swept(now_ms, [order.decode() for order in overdue], due, None if wait_ms < 0 else wait_ms)

    async def told(self, room: str, due: Due, *, define: bool, log_id: str, seq: int) -> bool:
        """The room was told of the definition (`define`) or of the counts, as event `seq` of log `log_id`.

        False if the item was taken out meanwhile.
        """
        item = due.item
        revs = (item.definition["rev"], "") if define else ("", item.rev)
        arguments = (item.name, *revs, item.left, item.phase, log_id, seq)
        noted: int = await self.store.call(load_script("shop_told"), (ShopKeys(room).shop,), arguments)
        return noted >= 0

    async def state(self, room: str) -> tuple[int, list[Item]]:
        """The store's wall clock in ms, and all items."""
        now_ms, flat = await self.store.call(load_script("shop_state"), (ShopKeys(room).shop,))
        fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        items = [name for name in fields if name[1:2] == "/" and name.count("/") == 1]
        return now_ms, [_stored(name, fields, now_ms) for name in sorted(items)]

    async def reopen(self, room: str) -> Known:
        """Let sales go on after a loss. It does nothing where nothing was lost."""
        known = self.known.get(room)
        if room in self.lost and known is not None:
            keys = (ShopKeys(room).shop,)
            id_, seq = await self.store.call(
                load_script("shop_reopen"), keys, (known.id, secrets.token_hex(8)), **self._safely
            )
            known = self.known[room] = Known(id_.decode(), seq)
            del self.lost[room]
            log.warning("room %s: sales go on after a loss", room)
        return known or Known("", 0)

    async def rooms(self) -> list[str]:
        """The rooms that have a shop."""
        return [name.decode() for name in await self.store.execute("SMEMBERS", SHOPS)]

    async def trim(self, room: str) -> int:
        """Trim the order stream of what is old and acknowledged."""
        gone: int = await self.store.call(load_script("shop_trim"), (ShopKeys(room).stream,), (self._kept_ms,))
        return gone

    @property
    def _safely(self) -> dict[str, Any]:
        return {"replicas": self._replicas, "strict": True}

    async def _call(
        self, script: str, room: str, keys: Sequence[str], arguments: Sequence[Argument], *, safe: bool = True
    ) -> Any:
        known = self.known.get(room)
        head = ("", 0) if known is None else (known.id, known.seq)
        safely = self._safely if safe else {}
        answer = await self.store.call(load_script(script), keys, (*head, *arguments), **safely)
        id_, seq = answer[1].decode(), answer[2]
        if answer[0] == b"lost":
            self._alarm(room, head, id_, seq)
        self._learn(room, id_, seq)
        return answer

    def _learn(self, room: str, id_: str, seq: int) -> None:
        if not id_:
            return
        known = self.known.get(room)
        if known is None or known.id != id_ or known.seq < seq:
            self.known[room] = Known(id_, seq)
        self.lost.pop(room, None)

    def _alarm(self, room: str, known: tuple[str, int], id_: str, seq: int) -> NoReturn:
        """The store has forgotten something. Raises Refused."""
        what = f"shop {known[0]} had {known[1]} orders; now there is {f'{id_} with {seq}' if id_ else 'nothing'}"
        if room not in self.lost or time.monotonic() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = time.monotonic()
            log.critical("room %s: the store has lost orders, sales are closed: %s", room, what)
        self.lost[room] = what
        self.counts["closed"] += 1
        raise Refused(refusal.SALES_CLOSED)

    def _refuse(self, reason: str, detail: Any) -> NoReturn:
        found = REFUSALS[reason]
        self.counts[f"refused: {found.name}"] += 1
        shown = detail.decode() if isinstance(detail, bytes) else str(detail)
        raise Refused(found, f"{found.text} ({reason}: {shown})" if shown != "0" else "")

    def _again(self, answer: Sequence[Any]) -> bool:
        if answer[0] not in (b"done", b"again"):
            self._refuse(answer[0].decode(), answer[4])
        return bool(answer[0] == b"again")

    def _definition(self, answer: Sequence[Any]) -> Mapping[str, Any]:
        if answer[0] not in (b"done", b"again"):
            self._refuse(answer[0].decode(), answer[4] if len(answer) > 4 else 0)
        found: Mapping[str, Any] = msgpack.unpackb(answer[4])
        return found

    async def _forget_buyers(self, room: str, number: int) -> None:
        """The counts per buyer of an item that is gone. Nothing reads them any more: the number is not given again."""
        cursor, key = b"0", ShopKeys(room).buyers
        while True:
            cursor, flat = await self.store.execute("HSCAN", key, cursor, "MATCH", f"{number}/*", "COUNT", PAGE)
            if fields := list(flat)[::2] if isinstance(flat, list) else list(flat):
                await self.store.execute("HDEL", key, *fields)
            if int(cursor) == 0:
                return


def _item(row: Sequence[Any]) -> Item:
    name, packed, left, sold, rev, phase = row
    goods, _, item = name.decode().partition("/")
    return Item(goods, item, msgpack.unpackb(packed), left, sold, rev, phase.decode())


def _stored(name: str, fields: Mapping[str, bytes], now_ms: int) -> Item:
    goods, _, item = name.partition("/")
    definition = msgpack.unpackb(fields[name])
    left, sold, held, rev = (int(fields[f"{name}/{count}"]) for count in ("left", "sold", "held", "rev"))
    opens_ms, closes_ms = definition["body"].get("opens_ms"), definition["body"].get("closes_ms")
    phase = "" if opens_ms is None else "soon" if now_ms < opens_ms else "open" if now_ms < closes_ms else "over"
    return Item(goods, item, definition, left, sold, rev, phase, held)


def _public(order: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """An order without what only the scripts need."""
    inner = ("by_product", "by_sale", "voucher")
    return {"order": order, **{name: value for name, value in found.items() if name not in inner}}

"""The shop of every room on this node: what buyers and back ends ask, and the work that nobody asks for.

Every node sweeps every shop: reservations run out, sales open and close, and the room is told of what has changed, at
most twice a second an item and of "sold out" at once. Scripts see to it that each of these happens once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from interaction import refusal
from interaction.body import IDENTIFIER
from interaction.broker import Broker
from interaction.kinds import Role
from interaction.placement import Placed, place
from interaction.rates import RateTable
from interaction.refusal import BODY, FORBIDDEN, TOO_FAST, Refused
from interaction.room import Room
from interaction.rooms import Rooms
from interaction.settings import ShopSettings
from interaction.shop_goods import GOODS, PRODUCT, SALE, Buy, Goods, defined, parse
from interaction.shop_ledger import Due, Item, Ledger, Purchase
from interaction.timelines import Clock
from interaction.tokens import Identity
from media.event import Event, Lane
from media.ticks import TICKS_PER_MS, Ticks

__all__ = ["Shop", "item_to_host"]

log = logging.getLogger(__name__)

SENDER = "shop"
"""Who shop events come from. They are told by the server; no client can send one."""
LOOK_S = 5.0
"""How often a node looks for shops that it does not know, and sweeps one where nothing is due."""
TRIM_S = 60.0
MAX_BUYERS = 50_000
"""Buyers whose rate is remembered."""
SWEEPS_AT_ONCE = 16
NAMES = {goods.letter: goods for goods in GOODS.values()}


class Shop:
    """`run()` must be running for reservations to end and for rooms to be told."""

    def __init__(self, rooms: Rooms, broker: Broker, ledger: Ledger, settings: ShopSettings, *, clock: Clock) -> None:
        self.ledger = ledger
        self.settings = settings
        self._rooms = rooms
        self._broker = broker
        self._clock = clock
        self._rates = RateTable(settings.buyer_rate, settings.buyer_burst, limit=MAX_BUYERS)
        self._due_at: dict[str, float] = {}
        self._trimmed_at: dict[str, float] = {}
        self._swept_at: dict[str, float] = {}
        self._wake = asyncio.Event()

    # What buyers ask. Each raises Refused.

    async def buy(self, room: str, identity: Identity, message: Mapping[str, Any]) -> dict[str, Any]:
        """Reserve what a message {id, product, sale?, quantity?, amount, currency, coupon?} asks for."""
        self._admit(identity)
        wanted = parse(Buy, _fields(message))
        bought = await self.ledger.buy(room, identity.sender, wanted)
        self._stir(room, at_once=bought.sold_out)
        return _bought(wanted, bought)

    async def cancel(self, room: str, identity: Identity, message: Mapping[str, Any]) -> dict[str, Any]:
        """Give back one's own reservation {order}."""
        self._admit(identity)
        settled = await self.ledger.settle(room, _name(message, "order"), "released", buyer=identity.sender)
        self._stir(room)
        return {"type": "order", **settled.order, "duplicate": settled.again}

    async def order(self, room: str, identity: Identity, message: Mapping[str, Any]) -> dict[str, Any]:
        """What became of one's own order {order}."""
        self._admit(identity)
        return {"type": "order", **await self.ledger.order(room, _name(message, "order"), buyer=identity.sender)}

    async def claim(self, room: str, identity: Identity, message: Mapping[str, Any]) -> dict[str, Any]:
        """Take a coupon {coupon, id}."""
        self._admit(identity)
        coupon, request = _name(message, "coupon"), _name(message, "id")
        again = await self.ledger.claim(room, coupon, identity.sender, request)
        self._stir(room)
        return {"type": "coupon", "coupon": coupon, "id": request, "duplicate": again}

    async def enter(self, room: str, identity: Identity, message: Mapping[str, Any]) -> dict[str, Any]:
        """Take part in a lottery {lottery}."""
        self._admit(identity)
        lottery = _name(message, "lottery")
        place_, again = await self.ledger.enter(room, lottery, identity.sender)
        self._stir(room)
        return {"type": "entry", "lottery": lottery, "place": place_, "duplicate": again}

    # What hosts and back ends ask. Each raises Refused.

    async def define(
        self, room: Room, identity: Identity, goods: Goods, item: str, message: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Define or change an item; `at` in the message says where on the timeline it is shown."""
        demand(identity, Role.HOST)
        fields = dict(message)
        placed = self._place(room, identity, fields.pop("at", None), fields.pop("epoch", None))
        sync = fields.get("sync", "frame+hold") if goods is SALE else "frame"
        definition = defined(goods, item, fields, delay_ms=self._delay_ms(room, placed, sync))
        if sync == "wall":
            placed = Placed(None, None)  # the card is for the moment of opening, whatever a viewer's picture shows
        found = await self.ledger.define(room.name, definition, placed)
        self._stir(room.name, at_once=True)
        return {"type": goods.name, goods.name: item, **found["body"]}

    async def close(self, room: Room, identity: Identity, goods: Goods, item: str) -> dict[str, Any]:
        """Close a sale, coupon or lottery at once."""
        demand(identity, Role.HOST)
        found = await self.ledger.close(room.name, goods, item)
        self._stir(room.name, at_once=True)
        return {"type": goods.name, goods.name: item, **found["body"]}

    async def remove(self, room: Room, identity: Identity, goods: Goods, item: str) -> dict[str, Any]:
        """Take an item out of the shop."""
        demand(identity, Role.HOST)
        await self.ledger.remove(room.name, goods, item)
        return {"type": "ack", **await self._publish_removed(room.name, goods, item)}

    async def draw(self, room: Room, identity: Identity, lottery: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Draw a lottery; `at` says where on the timeline the winners are shown."""
        demand(identity, Role.HOST)
        found = await self.ledger.draw(
            room.name, lottery, self._place(room, identity, message.get("at"), message.get("epoch"))
        )
        self._stir(room.name, at_once=True)
        return {"type": "lottery", "lottery": lottery, **_definition_body("lottery", lottery, found)}

    async def show(self, room: Room, identity: Identity, product: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Show a product's card: it is the one that is being explained."""
        demand(identity, Role.HOST)
        _, items = await self.ledger.state(room.name)
        found = next((item for item in items if item.name == f"{PRODUCT.letter}/{product}"), None)
        if found is None:
            raise Refused(refusal.UNKNOWN_ITEM, f"the shop has no product {product}")
        shown = {name: found.definition["body"].get(name) for name in ("title", "image", "link", "amount", "currency")}
        body = {"product": product, **{name: value for name, value in shown.items() if value is not None}}
        return await self._tell(room, identity, "product.show", {**body, "stock": found.left}, message)

    async def hide(self, room: Room, identity: Identity, product: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Take a product's card away."""
        demand(identity, Role.HOST)
        return await self._tell(room, identity, "product.hide", {"product": product}, message)

    async def settle(self, room: str, identity: Identity, order: str, wanted: str) -> dict[str, Any]:
        """Confirm or release a reservation."""
        demand(identity, Role.BACKEND)
        settled = await self.ledger.settle(room, order, wanted)
        self._stir(room)
        return {"type": "order", **settled.order, "duplicate": settled.again}

    async def reopen(self, room: str, identity: Identity) -> dict[str, Any]:
        """Let sales go on after the store had lost orders."""
        demand(identity, Role.HOST)
        known = await self.ledger.reopen(room)
        return {"type": "ack", "shop": known.id, "orders": known.seq}

    # What nobody asks for.

    async def run(self) -> None:
        """Sweep the shops until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            group.create_task(self._sweep_all())

    async def sweep(self, room: str) -> None:
        """Do what is due in one room, and note when there will be more. Raises Refused."""
        self._swept_at[room] = self._clock.now()
        self._due_at[room] = self._clock.now() + LOOK_S
        swept = await self.ledger.sweep(room)
        if swept is None:
            return
        for order in swept.overdue:
            await self._expire(room, order)
        for due in swept.due:
            await self._announce(room, due)
        wait_s = LOOK_S if swept.wait_ms is None else swept.wait_ms / 1000
        self._due(room, self._clock.now() + min(LOOK_S, wait_s))
        if swept.overdue:
            self._stir(room)
        await self._trim(room)

    async def _expire(self, room: str, order: str) -> None:
        try:
            await self.ledger.settle(room, order, "expired")
        except Refused as refused:
            if refused.refusal not in (refusal.ORDER_SETTLED, refusal.UNKNOWN_ORDER):
                raise  # else another was first

    async def _announce(self, room: str, due: Due) -> None:
        """Tell the room, then the store that it was told. Who dies in between has it told twice, never not at all."""
        item, goods = due.item, NAMES[due.item.goods]
        if due.define:
            t = item.definition["t"]
            placed = Placed(item.definition["epoch"] or None, Ticks(int(t)) if t != "" else None)
            body = _definition_body(goods.name, item.id, item.definition)
            taken = await self._publish(room, f"shop.{goods.name}", body, f"shop.{goods.name}:{item.id}", placed)
            if not await self.ledger.told(room, due, define=True, log_id=taken[0], seq=taken[1]):
                await self._publish_removed(room, goods, item.id)  # or the definition would stand behind its removal
                return
        if due.count:
            key = f"shop.stock:{goods.name}:{item.id}"
            taken = await self._publish(room, "shop.stock", _count_body(goods, item), key, Placed(None, None))
            await self.ledger.told(room, due, define=False, log_id=taken[0], seq=taken[1])

    async def _publish_removed(self, room: str, goods: Goods, item: str) -> dict[str, Any]:
        body = {goods.name: item, "removed": True}
        await self._publish(room, f"shop.{goods.name}", body, f"shop.{goods.name}:{item}", Placed(None, None))
        return body

    async def _tell(
        self, room: Room, identity: Identity, kind: str, body: dict[str, Any], message: Mapping[str, Any]
    ) -> dict[str, Any]:
        placed = self._place(room, identity, message.get("at"), message.get("epoch"))
        log_id, seq = await self._publish(room.name, kind, body, "product", placed, event_id=message.get("id"))
        return {"type": "ack", "kind": kind, "epoch": placed.epoch, "t": placed.t, "log": log_id, "seq": seq}

    async def _publish(
        self, room: str, kind: str, body: dict[str, Any], key: str, placed: Placed, *, event_id: Any = None
    ) -> tuple[str, int]:
        if event_id is not None and not (isinstance(event_id, str) and IDENTIFIER.fullmatch(event_id)):
            raise Refused(BODY, "id must be 1 to 64 of A-Z a-z 0-9 . _ : -")
        id_ = event_id or f"{SENDER}-{secrets.token_hex(8)}"
        event = Event(id_, placed.epoch, placed.t, None, kind, Lane.COMMERCE, None, SENDER, body)
        open_room = self._rooms.open_rooms.get(room)
        timeline = None if open_room is None else open_room.timeline
        edge = None if timeline is None else timeline.live_edge()
        taken = await self._broker.publish(room, event, state_key=key, live_edge=edge, bound_ms=placed.bound_ms)
        return taken.log, taken.seq or 0

    async def _trim(self, room: str) -> None:
        now = self._clock.now()
        if now - self._trimmed_at.get(room, float("-inf")) >= TRIM_S:
            self._trimmed_at[room] = now
            await self.ledger.trim(room)

    async def _look(self) -> None:
        while True:
            try:
                for room in await self.ledger.rooms():
                    if room not in self._due_at:
                        self._due(room, self._clock.now())
            except Refused:
                pass  # the store counts and logs its failures
            await asyncio.sleep(LOOK_S)

    async def _sweep_all(self) -> None:
        while True:
            now = self._clock.now()
            due = [room for room, at in self._due_at.items() if at <= now]
            for first in range(0, len(due), SWEEPS_AT_ONCE):
                await asyncio.gather(*(self._try_sweep(room) for room in due[first : first + SWEEPS_AT_ONCE]))
            next_at = min(self._due_at.values(), default=now + LOOK_S)
            self._wake.clear()
            try:
                async with asyncio.timeout(max(0.0, next_at - self._clock.now())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _try_sweep(self, room: str) -> None:
        try:
            await self.sweep(room)
        except Refused:
            self._due(room, self._clock.now() + self.settings.tell_ms / 1000)  # the ledger and the store log it

    def _stir(self, room: str, *, at_once: bool = False) -> None:
        """Something has changed: look soon, or at once."""
        now = self._clock.now()
        pause = 0.0 if at_once else self.settings.tell_ms / 1000
        self._due(room, max(now, self._swept_at.get(room, float("-inf")) + pause))

    def _due(self, room: str, at: float) -> None:
        if at < self._due_at.get(room, float("inf")):
            self._due_at[room] = at
            self._wake.set()

    def _admit(self, identity: Identity) -> None:
        if identity.sender.startswith("anon-") and not self.settings.anonymous:
            raise Refused(FORBIDDEN, "buying needs a token")
        if not identity.may_send:
            raise Refused(FORBIDDEN, "viewers without a token may watch only")
        if not self._rates.take(identity.sender, self._clock.now()):
            raise Refused(TOO_FAST, "too many requests from this buyer")

    def _place(self, room: Room, identity: Identity, at: Any, epoch: Any) -> Placed:
        wall_s = self._clock.wall()
        return place(at, role=identity.role, epoch=epoch, timeline=room.timeline, delay=room.delay, wall_s=wall_s)

    def _delay_ms(self, room: Room, placed: Placed, sync: str) -> int:
        """From now until a sale opens that does not say when: when its frame is broadcast, with a hold later."""
        timeline, ahead_ms = room.timeline, 0
        if placed.t is not None and timeline is not None:
            ahead_ms = max(0, (placed.t - timeline.to_media(self._clock.wall())) // TICKS_PER_MS)
        return ahead_ms + (round(self.settings.hold_s * 1000) if sync == "frame+hold" else 0)


def demand(identity: Identity, role: Role) -> None:
    """Raises Refused: FORBIDDEN."""
    if identity.role < role:
        raise Refused(FORBIDDEN, f"this needs {role.name.lower()}, not {identity.role.name.lower()}")


def item_to_host(item: Item) -> dict[str, Any]:
    """An item with all its counts: left + reserved + sold is what there is."""
    goods = NAMES[item.goods]
    body = _definition_body(goods.name, item.id, item.definition)
    counts = {"left": item.left, "reserved": item.held, "sold": item.sold, "total": item.definition["total"]}
    return {"type": goods.name, **body, **counts, "phase": item.phase, "version": item.definition["version"]}


def _bought(wanted: Mapping[str, Any], bought: Purchase) -> dict[str, Any]:
    asked = {
        name: wanted[name] for name in ("id", "product", "sale", "quantity", "currency", "coupon") if name in wanted
    }
    return {
        "type": "order",
        **asked,
        "order": bought.order,
        "total": bought.total,
        "state": bought.state,
        "expires_ms": bought.expires_ms,
        "wall_ms": bought.now_ms,
        "duplicate": bought.again,
    }


def _definition_body(name: str, item: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    body = {name: item, **definition["body"], "rev": definition["rev"]}
    drawn = definition.get("drawn")
    if drawn:
        body |= {"entrants": drawn["entrants"], "drawn": drawn["names"].split()}
    return body


def _count_body(goods: Goods, item: Item) -> dict[str, Any]:
    body: dict[str, Any] = {goods.name: item.id, "left": item.left, "rev": item.rev}
    if item.phase:
        body["phase"] = item.phase
    return body


def _fields(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without what belongs to its transport."""
    return {name: value for name, value in message.items() if name not in ("type", "ref")}


def _name(message: Mapping[str, Any], field: str) -> str:
    value = message.get(field)
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise Refused(BODY, f"{field} must be 1 to 64 of A-Z a-z 0-9 . _ : -")
    return value

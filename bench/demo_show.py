"""The demo's show: products, a flash sale, danmaku and likes around the demo host's picture, all labelled as a demo.

It speaks to the node as any shop's back end does, over HTTP with a token, and keeps to a timetable that repeats.
"""

from __future__ import annotations

import http.client
import itertools
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["DemoShow", "Product"]

log = logging.getLogger(__name__)

CYCLE_S = 60.0
BEAT_S = 0.5
"""How finely the timetable is kept, and how often likes come."""
PAID_AFTER_S = 20.0
"""The demo's buyers pay by themselves: an order is confirmed so long after it was made."""
LOOK_FOR_ORDERS_S = 2.0
TIMEOUT_S = 5.0
AGAIN_S = 2.0
"""The node may not be ready, or not live yet."""
CURRENCY = "CNY"
SALE = "demo-flash"
SALE_UNITS = 20
SALE_MS = 25_000
LIKES_SHARE = 0.6
MAX_LIKES = 4
TALK_S = 1.5
LINES = (
    "Hello from the demo 👋",
    "主播好！",
    "Is this picture live?",
    "弹幕跟着画面走 🎉",
    "The clock in the picture says when it was made",
    "这个颜色好看",
    "How much is the tea?",
    "已经下单了 🛒",
    "What a bouncy ball",
    "哈哈哈哈",
    "❤️❤️❤️",
    "Does it come in red?",
    "等秒杀",
    "No delay at all here",
    "第一次来，关注了",
    "Sold out already? 😮",
    "666",
    "Show the cup again please",
    "手机上看很清楚 📱",
    "Good evening everyone",
)
NAMES = ("Ada", "小林", "Grace", "阿明", "Linus", "橙子", "Edith", "老王")
COLOURS = (0xFFFFFF, 0xFFFFFF, 0xFFFFFF, 0xFFD166, 0x8CE0FF, 0xFFA3B5)
NOTICE = "Demo: a scripted show, nothing is really sold. 演示：脚本直播，不产生真实交易。"


@dataclass(frozen=True, slots=True)
class Product:
    """`left` is how many there are again at the start of each round; `price` is in minor units."""

    id: str
    title: str
    price: int
    left: int
    limit: int = 0
    image: str = ""

    def to_body(self, *, taken: int) -> dict[str, Any]:
        body = {"title": self.title, "amount": self.price, "currency": CURRENCY, "stock": taken + self.left}
        return {**body, "limit": self.limit, **({"image": self.image} if self.image else {})}


# The pictures are served as the page's own files are, to be kept for ever: a changed one needs another name.
def _demo(name: str, title: str, price: int, left: int, limit: int = 0) -> Product:
    return Product(f"demo-{name}", f"Demo: {title}", price, left, limit, f"/web/assets/demo-{name}.svg")


TEA = _demo("tea", "mountain tea, 250 g · 高山茶", 6_800, 200)
CUP = _demo("cup", "porcelain cup · 白瓷杯", 3_900, 12, limit=2)
LAMP = _demo("lamp", "paper lamp · 纸灯", 15_900, 0)
KETTLE = _demo("kettle", "cast-iron kettle · 铸铁壶", 29_900, 80)
PRODUCTS = (TEA, CUP, LAMP, KETTLE)


class DemoShow:
    """Runs until it is stopped. `url` is the room's: http://HOST:PORT/rooms/ROOM; `token` one of role backend."""

    def __init__(self, url: str, token: str, *, choose: random.Random | None = None) -> None:
        self._desk = Desk(url, token)
        self._choose = choose or random.Random()
        self._stop = threading.Event()
        self._orders_after = "-"
        self._unpaid: dict[str, float] = {}
        self._lines = itertools.cycle(self._shuffled())

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Blocks. Whatever the node refuses is left out; a node that is away is waited for."""
        try:
            while not self._stop.is_set():
                try:
                    self._play_round()
                except OSError as error:
                    log.debug("the show waits for the node: %s", error)
                    self._stop.wait(AGAIN_S)
        finally:
            self._desk.close()

    def _play_round(self) -> None:
        due = self._timetable()
        at, act = next(due)
        begun = time.monotonic()
        while not self._stop.wait(max(0.0, begun + at - time.monotonic())):
            act()
            following = next(due, None)
            if following is None:
                return
            at, act = following

    def _timetable(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Seconds from the start of a round, and what is done then, in order."""
        once: list[tuple[float, Callable[[], None]]] = [
            (0.0, self.stock_up),
            (0.5, lambda: self._tell("notice", {"text": NOTICE})),
            (1.0, lambda: self._show(TEA)),
            (16.0, lambda: self._show(CUP)),
            (28.0, self._open_sale),
            (29.0, lambda: self._show(KETTLE)),
            (34.0, self._give),
            (54.0, self._hide),
        ]
        beats = [(n * BEAT_S, self._like) for n in range(1, int(CYCLE_S / BEAT_S))]
        talk = [(n * TALK_S + 0.7, self._talk) for n in range(int(CYCLE_S / TALK_S))]
        look = [(n * LOOK_FOR_ORDERS_S + 0.9, self.take_payments) for n in range(int(CYCLE_S / LOOK_FOR_ORDERS_S))]
        end: list[tuple[float, Callable[[], None]]] = [(CYCLE_S, lambda: None)]
        yield from sorted([*once, *beats, *talk, *look, *end], key=lambda entry: entry[0])

    def stock_up(self) -> None:
        """Everything is there again: what was sold and is reserved stays counted."""
        taken = {_key(item): item["reserved"] + item["sold"] for item in self._state()}
        for product in PRODUCTS:
            body = product.to_body(taken=taken.get(("product", product.id), 0))
            self._desk.ask("PUT", f"shop/products/{product.id}", {**body, "version": _version()})
        coupon = {"title": "Demo coupon · 演示券", "off": 500, "currency": CURRENCY, "minimum": 3_000}
        total = taken.get(("coupon", "demo-five"), 0) + 500
        self._desk.ask("PUT", "shop/coupons/demo-five", {**coupon, "total": total, "version": _version()})

    def take_payments(self) -> None:
        """Confirm what has waited long enough, as a shop does once it has the money."""
        answer = self._desk.ask("GET", f"shop/orders?after={self._orders_after}&count=1000") or {}
        now = time.monotonic()
        for entry in answer.get("entries", ()):
            self._orders_after = entry["entry"]
            if entry["type"] == "reserved":
                self._unpaid.setdefault(entry["order"], now)
            else:
                self._unpaid.pop(entry["order"], None)
        for order in [order for order, since in self._unpaid.items() if now - since >= PAID_AFTER_S]:
            del self._unpaid[order]
            self._desk.ask("POST", f"shop/orders/{order}/confirm")

    def _state(self) -> list[dict[str, Any]]:
        return list((self._desk.ask("GET", "shop") or {}).get("items", ()))

    def _show(self, product: Product) -> None:
        self._desk.ask("POST", f"shop/products/{product.id}/show")

    def _hide(self) -> None:
        self._desk.ask("POST", f"shop/products/{KETTLE.id}/hide")

    def _open_sale(self) -> None:
        taken = {_key(item): item["reserved"] + item["sold"] for item in self._state()}
        units = taken.get(("sale", SALE), 0) + SALE_UNITS
        sale = {"product": KETTLE.id, "amount": KETTLE.price // 2, "total": units, "limit": 0}
        self._desk.ask("PUT", f"shop/sales/{SALE}", {**sale, "duration_ms": SALE_MS, "version": _version()})

    def _talk(self) -> None:
        body = {"text": next(self._lines), "name": f"{self._choose.choice(NAMES)} (demo)"}
        self._tell("danmaku", {**body, "color": self._choose.choice(COLOURS)})

    def _like(self) -> None:
        if self._choose.random() < LIKES_SHARE:
            self._tell("like", {"count": self._choose.randint(1, MAX_LIKES)})

    def _give(self) -> None:
        name = f"{self._choose.choice(NAMES)} (demo)"
        self._tell("gift", {"gift": "rose", "count": 9, "giver": "demo-audience", "name": name})

    def _tell(self, kind: str, body: Mapping[str, Any]) -> None:
        self._desk.ask("POST", "events", {"kind": kind, "body": body})

    def _shuffled(self) -> list[str]:
        return self._choose.sample(LINES, len(LINES))


class Desk:
    """Requests to one room, one at a time over one connection."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._root = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The answer; None where the node says no. Raises OSError when it is away or not ready."""
        data = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, f"{self._root}/{path}", data, self._headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise OSError(f"{method} {path}: {exc}") from exc
        if response.status in (404, 503):
            raise OSError(f"{method} {path}: {response.status}")
        if response.status >= 400:
            log.debug("%s %s: %d %s", method, path, response.status, content[:200].decode(errors="replace"))
            return None
        answer: dict[str, Any] = json.loads(content)
        return answer


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    sort = item["type"]
    return sort, item[sort]


def _version() -> int:
    """Grows with each definition, also over restarts."""
    return time.time_ns() // 1_000_000

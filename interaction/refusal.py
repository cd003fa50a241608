"""Why a message or a request was refused: the numbers that a client can see.

As with close codes (media/reasons.py), the lower hundred may be tried again as it is, the upper may not.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BELOW_SOLD",
    "BODY",
    "BUYER_LIMIT",
    "COUPON",
    "CURRENCY",
    "DUPLICATE",
    "EPOCH",
    "FORBIDDEN",
    "FUTURE",
    "IN_USE",
    "JOIN_FIRST",
    "MALFORMED",
    "MUTED",
    "NOT_ENOUGH",
    "NO_TIMELINE",
    "ORDER_SETTLED",
    "OVER",
    "PRICE_CHANGED",
    "REQUEST_REUSED",
    "SALES_CLOSED",
    "SALE_ONLY",
    "SHOP_FULL",
    "SOLD_OUT",
    "STALE",
    "STATE_FULL",
    "TOKEN",
    "TOO_EARLY",
    "TOO_FAST",
    "TOO_FAST_ADDRESS",
    "TOO_FAST_ROOM",
    "TOO_LARGE",
    "UNAVAILABLE",
    "UNKNOWN_COMMAND",
    "UNKNOWN_ITEM",
    "UNKNOWN_KIND",
    "UNKNOWN_ORDER",
    "Refusal",
    "Refused",
]

FIRST_FINAL = 1100


@dataclass(frozen=True, slots=True)
class Refusal:
    """One numbered refusal, with the HTTP status that goes with it."""

    code: int
    name: str
    text: str
    status: int

    @property
    def may_retry(self) -> bool:
        return self.code < FIRST_FINAL

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class Refused(Exception):
    """A message cannot be taken. `detail` carries the numbers and is fit for the sender's eyes."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(f"{refusal}: {detail}" if detail else str(refusal))
        self.refusal = refusal
        self.detail = detail or refusal.text

    def to_client(self) -> dict[str, object]:
        refusal = self.refusal
        return {"code": refusal.code, "name": refusal.name, "text": self.detail, "may_retry": refusal.may_retry}


UNAVAILABLE = Refusal(1001, "unavailable", "the store does not answer: try again", 503)
TOO_FAST = Refusal(1002, "too fast", "too many messages from this sender", 429)
TOO_FAST_ADDRESS = Refusal(1003, "too fast from address", "too many messages from this address", 429)
TOO_FAST_ROOM = Refusal(1004, "too fast in room", "too many messages in this room", 429)
SALES_CLOSED = Refusal(
    1010, "sales closed", "the store has lost orders: sales are closed until the shop is put right", 503
)
TOO_EARLY = Refusal(1011, "too early", "it is not open yet", 409)

MALFORMED = Refusal(1100, "malformed", "the message cannot be read", 400)
TOO_LARGE = Refusal(1101, "too large", "the message is too large", 413)
UNKNOWN_COMMAND = Refusal(1102, "unknown command", "there is no such type of message", 400)
UNKNOWN_KIND = Refusal(1103, "unknown kind", "there is no such kind of event", 400)
BODY = Refusal(1104, "body", "the event's body is not right", 422)
FORBIDDEN = Refusal(1105, "forbidden", "this sender may not do that", 403)
EPOCH = Refusal(1106, "foreign epoch", "the event belongs to another broadcast", 409)
FUTURE = Refusal(1107, "future", "the event is too far ahead of the picture", 422)
DUPLICATE = Refusal(1108, "repeated", "the sender has just said the same", 409)
MUTED = Refusal(1109, "muted", "the sender is muted", 403)
TOKEN = Refusal(1110, "token", "the token is not valid for this room", 401)
STATE_FULL = Refusal(1111, "state full", "the room has too many state keys", 409)
NO_TIMELINE = Refusal(1112, "no timeline", "the room has no broadcast now", 409)
JOIN_FIRST = Refusal(1113, "join first", "the first message must be a join", 400)

UNKNOWN_ITEM = Refusal(1120, "unknown item", "the shop has no such product, sale, coupon or lottery", 404)
SOLD_OUT = Refusal(1121, "sold out", "there is none left", 409)
NOT_ENOUGH = Refusal(1122, "not enough", "there are fewer left than asked for", 409)
BUYER_LIMIT = Refusal(1123, "limit", "this buyer has had as many as one may have", 409)
OVER = Refusal(1124, "over", "it is over", 409)
PRICE_CHANGED = Refusal(1125, "price", "the price is another one", 409)
CURRENCY = Refusal(1126, "currency", "the price is in another currency", 422)
COUPON = Refusal(1127, "coupon", "the coupon cannot be used here", 409)
REQUEST_REUSED = Refusal(1128, "request reused", "this id belongs to another request", 409)
ORDER_SETTLED = Refusal(1129, "order settled", "the order has ended otherwise", 409)
STALE = Refusal(1130, "stale", "a later version is there", 409)
BELOW_SOLD = Refusal(1131, "below sold", "more than that is sold or reserved", 409)
SHOP_FULL = Refusal(1132, "shop full", "the shop has too many items", 409)
IN_USE = Refusal(1133, "in use", "it is reserved, or another item needs it", 409)
UNKNOWN_ORDER = Refusal(1134, "unknown order", "there is no such order", 404)
SALE_ONLY = Refusal(1135, "sale only", "the product is sold in a sale only", 409)

"""Every setting of the event layer: its default, its unit, its bounds, and one sentence about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["RedisSettings", "RoomSettings", "ShopSettings"]

KIB = 1024


def _setting(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    return field(
        default=default,
        metadata={"doc": doc, "unit": unit, "low": low, "high": high, "choices": choices, "secret": secret},
    )


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where events are stored. Without a URL the node starts a Valkey server of its own below the data directory."""

    url: str = _setting(
        "",
        "An outside Redis or Valkey, 7 or newer: `redis://`, `rediss://` or `unix://` for one server,"
        " `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE`, or `redis+cluster://HOST:PORT,HOST:PORT`.",
        secret=True,  # it may hold a password
    )
    timeout_s: float = _setting(
        2.0,
        "A command that is not answered by then has failed, and whoever asked may retry.",
        unit="s",
        low=0.1,
        high=60,
    )
    retry_s: float = _setting(
        5.0, "For how long a failed command is tried again before the asker hears of it.", unit="s", low=0, high=60
    )
    replicas: int = _setting(
        0, "How many replicas must have a commerce event (`WAIT`, 50 ms) before its publisher hears yes.", low=0, high=8
    )


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """Rooms: who may speak, how much, and how it is spread."""

    token_keys: str = _setting(
        "",
        "Secrets that sign tokens, separated by commas. The first signs; all are accepted. Empty: the node makes one"
        " and keeps it in the data folder.",
        secret=True,
    )
    anonymous: str = _setting(
        "send",
        "What a viewer without a token may do.",
        choices=("refused", "watch", "send"),
    )
    sync: str = _setting(
        "frame", "When an event takes effect, unless the room says otherwise.", choices=("frame", "wall", "frame+hold")
    )
    commerce_kept_s: float = _setting(
        86_400.0, "How long commerce events are kept, for recovery and export.", unit="s", low=3600, high=31_536_000
    )
    ambient_kept: int = _setting(1_000, "Danmaku and the like that are kept per room.", low=10, high=1_000_000)
    recent_danmaku: int = _setting(50, "Danmaku that a newcomer is given.", low=0, high=1_000)
    danmaku_per_second: float = _setting(
        20.0,
        "Danmaku shown per room. Beyond it they are sampled, per tick. 0 turns sampling off.",
        unit="/s",
        low=0,
        high=10_000,
    )
    user_rate: float = _setting(1.0, "Danmaku from one sender, sustained.", unit="/s", low=0.01, high=10_000)
    user_burst: float = _setting(5.0, "Danmaku from one sender, at once.", low=1, high=10_000)
    like_rate: float = _setting(
        4.0, "Messages with likes from one sender, sustained.", unit="/s", low=0.01, high=10_000
    )
    like_burst: float = _setting(10.0, "Messages with likes from one sender, at once.", low=1, high=10_000)
    address_rate: float = _setting(
        50.0, "Messages from one address, sustained. A whole office may share one.", unit="/s", low=0.1, high=100_000
    )
    address_burst: float = _setting(200.0, "Messages from one address, at once.", low=1, high=100_000)
    room_rate: float = _setting(
        500.0, "Danmaku taken per room and node before sampling.", unit="/s", low=1, high=100_000
    )
    commerce_rate: float = _setting(
        100.0,
        "Commerce events per room and node: capacity of its own that danmaku cannot use up.",
        unit="/s",
        low=1,
        high=10_000,
    )
    commerce_burst: float = _setting(500.0, "Commerce events per room and node, at once.", low=1, high=100_000)
    tick_ms: int = _setting(
        0,
        "How often a room's events are sent. 0: 50 up to 500 viewers, 100 up to 2,000, 200 above.",
        unit="ms",
        low=0,
        high=2_000,
    )
    ambient_backlog_bytes: int = _setting(
        64 * KIB,
        "A connection with more unsent bytes gets no ambient events.",
        unit="bytes",
        low=KIB,
        high=64 * KIB * KIB,
    )
    commerce_backlog_bytes: int = _setting(
        512 * KIB,
        "A connection with more unsent bytes is closed; it recovers by reconnecting.",
        unit="bytes",
        low=4 * KIB,
        high=64 * KIB * KIB,
    )
    max_message_bytes: int = _setting(
        16 * KIB, "The largest message from a client.", unit="bytes", low=KIB, high=1024 * KIB
    )
    max_bad_messages: int = _setting(1_000, "Unusable messages that cost the connection.", low=1, high=1_000_000)
    heartbeat_s: float = _setting(
        20.0,
        "How often a connection is pinged; silent for two and a half times as long, it is closed.",
        unit="s",
        low=0.05,
        high=300,
    )
    join_timeout_s: float = _setting(
        10.0, "A WebSocket that has not joined by then is closed.", unit="s", low=0.05, high=300
    )
    poll_s: float = _setting(25.0, "How long a long poll waits for events.", unit="s", low=0.05, high=120)
    max_connections: int = _setting(10_000, "Connections to one room on this node.", low=1, high=1_000_000)
    idle_s: float = _setting(60.0, "How long a room without viewers is kept open.", unit="s", low=0, high=3_600)


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """The shop: how long things are kept and held, and how often one buyer may press."""

    pay_s: float = _setting(
        300.0, "How long a buyer has to pay before a reservation is given back.", unit="s", low=0.1, high=86_400
    )
    hold_s: float = _setting(
        5.0,
        "`frame+hold`: from the frame that shows a sale to the moment when everybody may buy. Longer than the slowest"
        " viewer is behind.",
        unit="s",
        low=0,
        high=600,
    )
    anonymous: bool = _setting(
        False, "Let viewers without a token buy. They can be somebody new for each purchase. `demo.enabled` implies it."
    )
    buyer_rate: float = _setting(5.0, "Requests from one buyer, sustained.", unit="/s", low=0.1, high=10_000)
    buyer_burst: float = _setting(20.0, "Requests from one buyer, at once.", low=1, high=10_000)
    tell_ms: int = _setting(
        500, "How often at most everybody is told of one item's stock.", unit="ms", low=50, high=60_000
    )
    order_kept_s: float = _setting(
        604_800.0,
        "How long settled orders, entries of the order stream that are acknowledged, and answers are kept.",
        unit="s",
        low=3_600,
        high=31_536_000,
    )
    webhook_timeout_s: float = _setting(10.0, "How long a webhook's receiver may take.", unit="s", low=0.1, high=30)
    webhooks_at_once: int = _setting(8, "Webhooks under way per room and node.", low=1, high=100)

"""Webhooks: every entry of the order stream, signed, posted to the shop's back end until it is taken.

What is pending, how often it was tried and by whom is in the stream's consumer group, so any node goes on where another
stopped. An entry that a node was given belongs to it for a lease; after a failure the lease ends when the next try is
due.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from interaction.refusal import BODY, Refused
from interaction.script import load_script
from interaction.settings import ShopSettings
from interaction.shop_keys import ShopKeys
from interaction.shop_ledger import Ledger
from interaction.store import Entries, entries_of
from interaction.timelines import Clock

__all__ = ["Webhooks", "entry_to_client", "signature"]

log = logging.getLogger(__name__)

GROUP = "webhooks"
LEASE_MS = 60_000
"""Longer than a receiver may take, and the longest wait between two tries. What a dead node had is posted after it."""
FIRST_WAIT_MS = 1_000
LOOK_S = 0.5
IDLE_LOOK_S = 5.0
"""How often a room without a webhook is looked at."""
MIN_SECRET, MAX_SECRET = 16, 256
LOG_EVERY_S = 10.0
NUMBERS = ("seq", "quantity", "total", "at_ms", "expires_ms")


@dataclass(frozen=True, slots=True)
class _Delivery:
    room: str
    url: str
    secret: bytes
    entry: str
    tries: int
    body: bytes


class Webhooks:
    """`run()` posts, for every room that has a webhook."""

    def __init__(self, ledger: Ledger, settings: ShopSettings, *, node: str, clock: Clock) -> None:
        self.counts: Counter[str] = Counter()
        self._ledger = ledger
        self._store = ledger.store
        self._settings = settings
        self._node = node
        self._clock = clock
        self._logged_at = float("-inf")
        self._changed = asyncio.Event()

    async def set(self, room: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """Post the room's orders to {url, secret}, beginning with the oldest that is stored. Raises Refused."""
        url, secret = message.get("url"), message.get("secret")
        if not isinstance(url, str) or len(url) > 512 or not url.startswith(("http://", "https://")):
            raise Refused(BODY, "url must be http or https, of at most 512 characters")
        if not isinstance(secret, str) or not MIN_SECRET <= len(secret) <= MAX_SECRET:
            raise Refused(BODY, f"secret must be text of {MIN_SECRET} to {MAX_SECRET} characters")
        await self._store.execute("HSET", ShopKeys(room).hook, "url", url, "secret", secret)
        self._changed.set()
        return {"url": url}

    async def state(self, room: str) -> dict[str, Any]:
        """Where to, and how many are pending. Never the secret."""
        keys = ShopKeys(room)
        url = await self._store.execute("HGET", keys.hook, "url")
        if url is None:
            return {"url": None}
        groups = await self._groups(room)
        group = groups.get(GROUP.encode(), {})
        return {"url": url.decode(), "pending": group.get(b"pending", 0), "behind": group.get(b"lag")}

    async def drop(self, room: str) -> None:
        """Post no more. What was pending is forgotten, and no longer keeps the stream from being trimmed."""
        keys = ShopKeys(room)
        await self._store.execute("DEL", keys.hook)
        if GROUP.encode() in await self._groups(room):
            await self._store.execute("XGROUP DESTROY", keys.stream, GROUP)

    async def run(self) -> None:
        """Post until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self._settings.webhook_timeout_s)
        no_cookies = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=no_cookies) as session,
            asyncio.TaskGroup() as group,
        ):
            tasks: dict[str, asyncio.Task[None]] = {}
            while True:
                self._changed.clear()
                for room in await self._rooms():
                    if room not in tasks:
                        tasks[room] = group.create_task(self._serve(room, session))
                await _at_most(self._changed.wait(), IDLE_LOOK_S)

    async def _rooms(self) -> list[str]:
        try:
            return await self._ledger.rooms()
        except Refused:
            return []  # the store counts and logs its failures

    async def _serve(self, room: str, session: aiohttp.ClientSession) -> None:
        failures = 0
        while True:
            deliveries, is_set = await self._take(room, 1 if failures else self._settings.webhooks_at_once)
            if deliveries:
                taken = await asyncio.gather(*(self._deliver(delivery, session) for delivery in deliveries))
                failures = 0 if any(taken) else failures + 1
                # A receiver that takes nothing is asked with one entry at a time, ever more seldom.
                if failures:
                    await asyncio.sleep(_wait_ms(failures) / 1000)
            elif is_set:
                await asyncio.sleep(LOOK_S)
            else:
                await _at_most(self._changed.wait(), IDLE_LOOK_S)

    async def _take(self, room: str, most: int) -> tuple[list[_Delivery], bool]:
        """What this node is to post now, and whether the room has a webhook at all."""
        keys = ShopKeys(room)
        arguments = (GROUP, self._node, most, LEASE_MS)
        try:
            found = await self._store.call(load_script("shop_hooks"), (keys.stream, keys.hook), arguments)
        except Refused:
            return [], True
        if not found:
            return [], False
        flat, *rows = found
        target = dict(zip(flat[::2], flat[1::2], strict=True))
        url, secret = target[b"url"].decode(), target[b"secret"]
        tries = [row[1] for row in rows]
        entries: Entries = entries_of([(row[0], row[2]) for row in rows])
        return [
            _Delivery(room, url, secret, entry, count, _body(room, entry, fields))
            for (entry, fields), count in zip(entries, tries, strict=True)
        ], True

    async def _deliver(self, delivery: _Delivery, session: aiohttp.ClientSession) -> bool:
        """Post one entry, and note how it went. Whether it was taken."""
        problem = await self._post(delivery, session)
        self.counts["taken" if problem is None else "failed"] += 1
        if problem is not None and self._clock.now() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = self._clock.now()
            log.warning("room %s: webhook %s, try %d: %s", delivery.room, delivery.entry, delivery.tries, problem)
        run_ms = "" if problem is None else str(max(0, LEASE_MS - _wait_ms(delivery.tries)))
        keys = (ShopKeys(delivery.room).stream,)
        try:
            await self._store.call(load_script("shop_hooked"), keys, (GROUP, self._node, delivery.entry, run_ms))
        except Refused:
            return problem is None  # it is posted again after its lease: at least once
        return problem is None

    async def _post(self, delivery: _Delivery, session: aiohttp.ClientSession) -> str | None:
        """None if the receiver took it, else why not."""
        stamp = str(int(self._clock.wall()))
        id_ = f"{delivery.room}/{delivery.entry}"
        headers = {
            "Content-Type": "application/json",
            "Streamer-Id": id_,
            "Streamer-Timestamp": stamp,
            "Streamer-Signature": signature(delivery.secret, id_, stamp, delivery.body),
        }
        try:
            async with session.post(
                delivery.url, data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                return None if 200 <= response.status < 300 else f"status {response.status}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return type(exc).__name__

    async def _groups(self, room: str) -> dict[bytes, dict[bytes, Any]]:
        stream = ShopKeys(room).stream
        if not await self._store.execute("EXISTS", stream):
            return {}
        rows = await self._store.execute("XINFO GROUPS", stream)
        found = [row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
        named = [{_bytes(name): value for name, value in row.items()} for row in found]
        return {_bytes(row[b"name"]): row for row in named}


def signature(secret: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA-256, hexadecimal, of `ID.TIMESTAMP.BODY`."""
    return "v1=" + hmac.new(secret, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def entry_to_client(entry: str, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """An entry of the order stream, with numbers as numbers and without what is empty."""
    named = {name.decode(): value.decode() for name, value in fields.items()}
    values = {name: int(value) if name in NUMBERS else value for name, value in named.items() if value != ""}
    return {"entry": entry, **values}


def _body(room: str, entry: str, fields: Mapping[bytes, bytes]) -> bytes:
    return json.dumps({"room": room, **entry_to_client(entry, fields)}, separators=(",", ":")).encode()


def _wait_ms(tries: int) -> int:
    """1 s, 2 s, 4 s, ... up to the lease; up to a quarter is left out at random, so that they spread."""
    whole = min(LEASE_MS, FIRST_WAIT_MS << min(tries - 1, 16))
    return whole - secrets.randbelow(whole // 4)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


async def _at_most(wait: Awaitable[Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wait
    except TimeoutError:
        return

"""The event layer as the roof joins it: store, rooms, shop and gateway, with one lifecycle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from interaction.broker import Broker
from interaction.gateway import Gateway
from interaction.intake import Intake
from interaction.kinds import KINDS, Kind
from interaction.rooms import Rooms
from interaction.session import Command
from interaction.settings import RedisSettings, RoomSettings, ShopSettings
from interaction.shop import Shop
from interaction.shop_api import ShopApi
from interaction.shop_commands import shop_commands
from interaction.shop_ledger import Ledger
from interaction.shop_webhooks import Webhooks
from interaction.store import Store
from interaction.timelines import Clock, Timelines
from interaction.tokens import Tokens
from interaction.valkey_server import ValkeyServer

__all__ = ["InteractionLayer"]


class InteractionLayer:
    """Build it, hang `gateway.routes()` into the application, and keep `run()` running.

    With an empty `redis.url` it starts a Valkey server of its own in `data / "valkey"`; then `run()` belongs on the
    main thread. `ready` is set once rooms can be opened.
    """

    def __init__(
        self,
        redis: RedisSettings,
        rooms: RoomSettings,
        *,
        data: Path,
        clock: Clock,
        timelines: Timelines,
        kinds: Mapping[str, Kind] = KINDS,
        commands: Mapping[str, Command] | None = None,
        knows: Callable[[str], bool] | None = None,
        peer: Callable[[web.BaseRequest], str] | None = None,
        node: str | None = None,
        choose: random.Random | None = None,
        shop: ShopSettings | None = None,
    ) -> None:
        self.server = None if redis.url else ValkeyServer(data / "valkey")
        self.store = Store(redis.url, timeout_s=redis.timeout_s, retry_s=redis.retry_s)
        self.broker = Broker(
            self.store, commerce_kept_s=rooms.commerce_kept_s, ambient_kept=rooms.ambient_kept, replicas=redis.replicas
        )
        self.rooms = Rooms(self.broker, rooms, clock=clock, timelines=timelines, node=node, choose=choose)
        self.tokens = Tokens([key.strip() for key in rooms.token_keys.split(",")])
        self.intake = Intake(self.rooms, clock=clock, kinds=kinds)
        selling = shop or ShopSettings()
        ledger = Ledger(self.store, selling, replicas=redis.replicas)
        self.shop = Shop(self.rooms, self.broker, ledger, selling, clock=clock)
        self.webhooks = Webhooks(ledger, selling, node=self.rooms.node, clock=clock)
        self.gateway = Gateway(
            self.rooms,
            self.intake,
            settings=rooms,
            tokens=self.tokens,
            clock=clock,
            commands={**shop_commands(self.shop), **(commands or {})},
            knows=knows,
            peer=peer,
        )
        self.gateway.more_routes += ShopApi(self.gateway, self.shop, self.webhooks).routes()
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled: viewers are told first, then the store's connection ends, then the store."""
        async with asyncio.TaskGroup() as group:
            if self.server is None:
                await self._run_rooms()
                return
            serving = group.create_task(self.server.run())
            ready = group.create_task(self.server.ready())
            await asyncio.wait((ready,), return_when=asyncio.FIRST_COMPLETED)
            self.store.url = f"unix://{self.server.socket}"
            try:
                await self._run_rooms()
            finally:
                serving.cancel()

    async def _run_rooms(self) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self.store.run())
            working = [group.create_task(part) for part in (self.shop.run(), self.webhooks.run())]
            self.ready.set()
            try:
                await self.rooms.run()
            finally:
                self.ready.clear()
                for task in (*working, sending):
                    task.cancel()

"""A node that serves rooms and nothing else, and clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
from aiohttp import web

from interaction.kinds import Role
from interaction.layer import InteractionLayer
from interaction.settings import RedisSettings, RoomSettings
from interaction.tokens import Identity
from media.event import Event
from media.ticks import TICKS_PER_SECOND, Ticks

QUIET = RoomSettings(user_rate=1000, user_burst=1000, address_rate=10_000, address_burst=10_000, idle_s=60)
"""Rates that no test meets by accident."""


class RealClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class RunningTimeline:
    """A broadcast that began `age_s` ago and has run since; its live edge is now."""

    def __init__(self, epoch: str = "e1", *, age_s: float = 60.0) -> None:
        self.epoch = epoch
        self.began = time.time() - age_s
        self.announced: list[Event] = []

    def live_edge(self) -> Ticks:
        return self.to_media(time.time())

    def to_media(self, wall_s: float) -> Ticks:
        return Ticks(round((wall_s - self.began) * TICKS_PER_SECOND))

    def announce(self, event: Event) -> None:
        self.announced.append(event)


class LocalTimelines:
    """The broadcasts of one node."""

    def __init__(self, **timelines: RunningTimeline) -> None:
        self.held: dict[str, RunningTimeline] = dict(timelines)

    def timeline(self, room: str) -> RunningTimeline | None:
        return self.held.get(room)

    def rooms(self) -> Iterable[str]:
        return tuple(self.held)


class Node:
    """A running node, and what tests ask of it."""

    def __init__(self, layer: InteractionLayer, timelines: LocalTimelines, port: int) -> None:
        self.layer = layer
        self.timelines = timelines
        self.url = f"http://127.0.0.1:{port}"

    def token(self, role: Role = Role.HOST, *, sender: str = "host", room: str = "*", valid_s: float = 60) -> str:
        return self.layer.tokens.sign(Identity(sender, role), room=room, expires=time.time() + valid_s)

    def bearer(self, role: Role = Role.HOST, **given: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(role, **given)}"}


@contextlib.asynccontextmanager
async def node(
    data: Path,
    *,
    url: str = "",
    settings: RoomSettings = QUIET,
    redis: RedisSettings | None = None,
    timelines: LocalTimelines | None = None,
    port: int = 0,
    **given: Any,
) -> AsyncIterator[Node]:
    """A node with its own Valkey below `data`, or on the store at `url`."""
    held = timelines or LocalTimelines()
    store = redis or RedisSettings(url=url, timeout_s=5.0, retry_s=8.0)
    layer = InteractionLayer(store, settings, data=data, clock=RealClock(), timelines=held, **given)
    app = web.Application()
    app.add_routes(layer.gateway.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    task = asyncio.ensure_future(layer.run())
    try:
        ready = asyncio.ensure_future(layer.ready.wait())
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield Node(layer, held, runner.addresses[0][1])
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await runner.cleanup()


class Client:
    """A viewer's side of a room's WebSocket. It remembers every message, and joins without holes."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, form: str) -> None:
        self.socket = socket
        self.form = form
        self.messages: list[Mapping[str, Any]] = []
        self.events: list[Mapping[str, Any]] = []
        self.hello: Mapping[str, Any] = {}
        self.close_code: int | None = None
        self._arrived = asyncio.Condition()
        self._task = asyncio.ensure_future(self._read())
        self._ref = 0

    async def send(self, message: Mapping[str, Any]) -> None:
        if self.form == "msgpack":
            await self.socket.send_bytes(msgpack.packb(message))
        else:
            await self.socket.send_str(json.dumps(message))

    async def ask(self, **message: Any) -> Mapping[str, Any]:
        """Send one message and give its answer."""
        self._ref += 1
        ref = self._ref
        await self.send({"ref": ref, **message})
        return await self.message(lambda answer: answer.get("ref") == ref)

    async def say(self, kind: str, body: Mapping[str, Any], **given: Any) -> Mapping[str, Any]:
        return await self.ask(type="send", kind=kind, body=body, **given)

    async def message(self, wanted: Any, *, timeout: float = 10.0) -> Mapping[str, Any]:
        """The first message, past or to come, that `wanted` says yes to."""
        async with asyncio.timeout(timeout), self._arrived:
            while True:
                for message in self.messages:
                    if wanted(message):
                        return message
                if self.close_code is not None:
                    raise AssertionError(f"closed with {self.close_code}: {self.messages[-3:]}")
                await self._arrived.wait()

    async def event(self, wanted: Any, *, timeout: float = 10.0) -> Mapping[str, Any]:
        async with asyncio.timeout(timeout), self._arrived:
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                await self._arrived.wait()

    async def closed(self, *, timeout: float = 10.0) -> int | None:
        async with asyncio.timeout(timeout):
            await asyncio.wait((self._task,))
        return self.close_code

    async def leave(self) -> None:
        await self.socket.close()
        await asyncio.wait((self._task,))

    @property
    def since(self) -> dict[str, Any]:
        """What a client says when it comes back."""
        commerce = [event for event in self.events if event["lane"] == "commerce"]
        log = next(message["log"] for message in reversed(self.messages) if "log" in message)
        if commerce:
            return {"log": log, "seq": commerce[-1]["seq"], "id": commerce[-1]["id"]}
        return {"log": log, "seq": self.hello["seq"]}

    async def _read(self) -> None:
        async for received in self.socket:
            text = received.data
            message = msgpack.unpackb(text) if isinstance(text, bytes) else json.loads(text)
            async with self._arrived:
                self.messages.append(message)
                if message["type"] in ("hello", "reset"):
                    self.hello = message
                    if message["type"] == "reset":
                        self.events.clear()
                if message["type"] in ("events", "hello", "reset"):
                    self.events.extend(message["events"])
                self._arrived.notify_all()
        async with self._arrived:
            self.close_code = self.socket.close_code
            self._arrived.notify_all()


@contextlib.asynccontextmanager
async def client(
    node: Node,
    room: str = "r",
    *,
    form: str = "msgpack",
    token: str | None = None,
    since: Any = None,
    join: bool = True,
) -> AsyncIterator[Client]:
    """A joined client."""
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{node.url}/rooms/{room}/ws", protocols=(form,), max_msg_size=0)
        peer = Client(socket, form)
        if join:
            await peer.send({"type": "join", "token": token, "since": since})
            await peer.message(lambda message: message["type"] in ("hello", "error"))
        try:
            yield peer
        finally:
            await peer.leave()

"""`streamer token` and `streamer events export`: what they do and what they print."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack, suppress
from typing import BinaryIO

from interaction.broker import Broker
from interaction.export import export
from interaction.kinds import Role
from interaction.settings import RedisSettings
from interaction.store import Store, Unreachable
from interaction.tokens import Identity, Tokens
from interaction.valkey_server import ValkeyError, ValkeyServer, answers
from streamer.config import Config
from streamer.event_layer import VALKEY_FOLDER, with_token_key

__all__ = ["EventsError", "export_events", "make_token"]


class EventsError(Exception):
    """It could not be done. The message says why."""


def make_token(config: Config, room: str, *, sender: str, role: str, seconds: float) -> int:
    """Print a token for `room`, signed with the node's key."""
    rooms = with_token_key(config.rooms, config.data.dir)
    tokens = Tokens([key.strip() for key in rooms.token_keys.split(",")])
    identity = Identity(sender, Role[role.upper()])
    sys.stdout.write(f"{tokens.sign(identity, room=room, expires=time.time() + seconds)}\n")
    return 0


def export_events(config: Config, room: str, form: str, *, epoch: str | None, out: BinaryIO | None = None) -> int:
    """Write the stored events of `room` to `out`, stdout by default. Raises EventsError."""
    try:
        return asyncio.run(_export(config, room, form, epoch, out or sys.stdout.buffer))
    except (ValkeyError, Unreachable) as exc:
        raise EventsError(str(exc)) from exc


async def _export(config: Config, room: str, form: str, epoch: str | None, out: BinaryIO) -> int:
    async with AsyncExitStack() as stack:
        store = Store(await _store_url(config, stack), timeout_s=config.redis.timeout_s, retry_s=config.redis.retry_s)
        running = asyncio.create_task(store.run())
        stack.push_async_callback(_end, running)
        async for piece in export(_broker(config, store), room, form, epoch=epoch):
            out.write(piece)
    out.flush()
    return 0


def _broker(config: Config, store: Store) -> Broker:
    return Broker(store, commerce_kept_s=config.rooms.commerce_kept_s, ambient_kept=config.rooms.ambient_kept)


async def _store_url(config: Config, stack: AsyncExitStack) -> str:
    """The configured store; else the server of the node that runs, or, when none does, one for the time being."""
    redis: RedisSettings = config.redis
    if redis.url:
        return redis.url
    server = ValkeyServer(config.data.dir / VALKEY_FOLDER)
    if not await answers(server.socket):
        serving = asyncio.create_task(server.run())
        stack.push_async_callback(_end, serving)
        ready = asyncio.create_task(server.ready())
        await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
    return f"unix://{server.socket}"


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

"""Reading the rooms' streams: each room once per node, all rooms in one blocking call (one call each on a cluster)."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from interaction.broker import Broker, Opened, Position, RoomKeys
from interaction.history import Gap
from interaction.record import Record
from interaction.store import Entries, StoreError, Unreachable
from interaction.timelines import Clock
from media.event import Lane

__all__ = ["ReadRoom", "Reader"]

log = logging.getLogger(__name__)

BLOCK_MS = 1_000
"""How long a read waits for news. It must stay below the store's timeout, which is cut to half for it."""
READ_COUNT = 500
"""Entries per stream and read; more are read at once afterwards."""
VERIFY_S = 5.0
"""How often a history is compared although no connection broke: somebody may have emptied the store."""
FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0
WAKE_KEPT_S = 3_600


class ReadRoom(Protocol):
    """What a reader feeds."""

    @property
    def name(self) -> str: ...

    @property
    def position(self) -> Position: ...

    def take(self, commerce: list[Record], ambient: list[Record]) -> None: ...

    def reload(self, opened: Opened) -> None: ...


class Reader:
    """Reads streams until cancelled. A failing store is tried again for ever, and then every history is verified."""

    def __init__(self, broker: Broker, *, node: str, clock: Clock, recent: int) -> None:
        self.rooms: dict[str, ReadRoom] = {}
        self.failures = 0
        self.reopened = 0
        self.connected = False
        self._broker = broker
        self._clock = clock
        self._recent = recent
        self._wake_key = f"streamer:wake:{node}"
        self._wake_position = "0-0"
        self._changed = asyncio.Event()
        self._verified_at = clock.now()
        self._pause = FIRST_PAUSE_S

    def add(self, room: ReadRoom) -> None:
        """Read `room` from its position on."""
        self.rooms[room.name] = room
        self._changed.set()

    def remove(self, room: ReadRoom) -> None:
        self.rooms.pop(room.name, None)
        self._changed.set()

    def suspect(self) -> None:
        """Verify all histories before the next read."""
        self._verified_at = float("-inf")
        self._changed.set()

    async def run(self) -> None:
        if self._broker.store.clustered:
            await self._run_each()
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_together())
                group.create_task(self._run_waker())

    async def _run_together(self) -> None:
        while not _is_cancelled():
            await self._once(tuple(self.rooms.values()), with_wake=True)

    async def _run_waker(self) -> None:
        """A blocked read hears of a new room through a stream of the node's own."""
        store = self._broker.store
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await store.execute("XADD", self._wake_key, "MAXLEN", 1, "*", "w", "1")
                await store.execute("EXPIRE", self._wake_key, WAKE_KEPT_S)
            except Unreachable:
                await asyncio.sleep(LAST_PAUSE_S)  # the blocked read fails too, and takes the new rooms up

    async def _run_each(self) -> None:
        """On a cluster a call cannot span rooms: one reader per room."""
        async with asyncio.TaskGroup() as group:
            tasks: dict[str, tuple[ReadRoom, asyncio.Task[None]]] = {}
            while True:
                for name, (room, task) in tuple(tasks.items()):
                    if self.rooms.get(name) is not room:
                        task.cancel()
                        del tasks[name]
                for name, room in self.rooms.items():
                    if name not in tasks:
                        tasks[name] = (room, group.create_task(self._run_one(room)))
                self._changed.clear()
                await self._changed.wait()

    async def _run_one(self, room: ReadRoom) -> None:
        while not _is_cancelled():
            await self._once((room,), with_wake=False)

    async def _once(self, rooms: tuple[ReadRoom, ...], *, with_wake: bool) -> None:
        try:
            if self._clock.now() - self._verified_at > VERIFY_S:
                await self._verify(rooms)
            await self._read(rooms, with_wake=with_wake)
        except Unreachable as exc:
            await self._failed(exc)
        except StoreError as exc:
            log.error("reading failed: %s", exc)
            await self._failed(exc)
        else:
            self.connected = True
            self._pause = FIRST_PAUSE_S

    async def _failed(self, exc: Exception) -> None:
        self.failures += 1
        if self.connected:
            log.warning("the store is away: %s", exc)
        self.connected = False
        self._verified_at = float("-inf")
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LAST_PAUSE_S)

    async def _verify(self, rooms: tuple[ReadRoom, ...]) -> None:
        same = await asyncio.gather(*(self._broker.verify(room.name, room.position) for room in rooms))
        for room, is_same in zip(rooms, same, strict=True):
            if not is_same:
                await self._reopen(room)
        self._verified_at = self._clock.now()

    async def _reopen(self, room: ReadRoom) -> None:
        self.reopened += 1
        room.reload(await self._broker.open(room.name, recent=self._recent))

    async def _read(self, rooms: tuple[ReadRoom, ...], *, with_wake: bool) -> None:
        positions = {self._wake_key: self._wake_position} if with_wake else {}
        for room in rooms:
            keys, position = RoomKeys(room.name), room.position
            positions[keys.commerce] = f"{position.seq}-0"
            positions[keys.ambient] = position.ambient
        store = self._broker.store
        block_ms = int(min(BLOCK_MS, store.timeout_s * 500))
        found = await store.read(positions, block_ms=block_ms, count=READ_COUNT)
        if woken := found.pop(self._wake_key, None):
            self._wake_position = woken[-1][0]
        for room in rooms:
            await self._give(room, found)

    async def _give(self, room: ReadRoom, found: dict[str, Entries]) -> None:
        keys = RoomKeys(room.name)
        commerce, ambient = found.get(keys.commerce), found.get(keys.ambient)
        if not commerce and not ambient:
            return
        if self.rooms.get(room.name) is not room:
            return
        try:
            room.take(
                self._broker.records(commerce or [], Lane.COMMERCE), self._broker.records(ambient or [], Lane.AMBIENT)
            )
        except Gap as gap:
            log.warning("room %s: %s", room.name, gap)
            await self._reopen(room)


def _is_cancelled() -> bool:
    """A cancellation that meets a timeout of the client library's own comes out as that timeout, and would be lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

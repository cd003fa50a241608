"""All rooms of this node: opened when somebody comes, kept up to date, let go when idle."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections.abc import Coroutine
from typing import Any

from interaction.broker import Broker, Position, RoomKeys
from interaction.reader import Reader
from interaction.record import Record
from interaction.refusal import TOO_FAST_ROOM, UNAVAILABLE, Refused
from interaction.room import ANCHOR_S, Room
from interaction.script import load_script
from interaction.settings import RoomSettings
from interaction.timelines import Clock, HostDelay, Timelines, remote_timeline
from media.event import Lane

__all__ = ["Rooms", "is_room_name"]

ROOM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""No braces: a room's name is the hash tag of its keys."""
MAX_ROOMS = 10_000
"""Rooms open at once on a node. Anybody can ask for any name."""
CLOCK_S = 1.0
TURN_S = 0.25
"""How soon everybody hears that a broadcast has begun or ended here; of one elsewhere the clock tells, each second."""
COUNT_S = 0.5
"""How often likes and presence go to the store, which tells them at its own pace."""
PRESENCE_AGAIN_S = 5.0
"""How often an unchanged number of viewers is said again, so that the node counts as alive."""
MAX_RECOVERED = 5_000
"""Commerce events that somebody who comes back is sent at most; who missed more begins anew."""


def is_room_name(name: str) -> bool:
    return ROOM_NAME.fullmatch(name) is not None


class Rooms:
    """Rooms by name. `run()` keeps them; `enter()` gives one that is open."""

    def __init__(
        self,
        broker: Broker,
        settings: RoomSettings,
        *,
        clock: Clock,
        timelines: Timelines,
        node: str | None = None,
        choose: random.Random | None = None,
    ) -> None:
        self.broker = broker
        self.settings = settings
        self.node = node or secrets.token_hex(4)
        self.open_rooms: dict[str, Room] = {}
        self._delivered = 0
        self.reader = Reader(broker, node=self.node, clock=clock, recent=settings.recent_danmaku)
        self._clock = clock
        self._timelines = timelines
        self._choose = choose or random.Random()
        self._opening: dict[str, asyncio.Task[Room | Refused]] = {}
        self._spreads: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._presence_at: dict[str, float] = {}

    @property
    def deliveries(self) -> int:
        """Events handed to viewers since the start, those of rooms that were let go included."""
        return self._delivered + sum(room.spread.deliveries for room in self.open_rooms.values())

    async def run(self) -> None:
        """Until cancelled; then everybody is told that the server goes away."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self.reader.run())
                for step, period in (
                    (self._clocks, CLOCK_S),
                    (self._counts, COUNT_S),
                    (self._let_go, 1.0),
                    (self._open_local, 1.0),
                    (self._turns, TURN_S),
                ):
                    group.create_task(self._every(period, step))
                group.create_task(self._anchors())
                group.create_task(self._heartbeats())
        finally:
            self._group = None
            for room in self.open_rooms.values():
                room.close()

    async def enter(self, name: str) -> Room:
        """The room, opened if it is not. Raises Refused."""
        room = self.open_rooms.get(name)
        if room is not None:
            room.touch()
            return room
        if self._group is None:
            raise Refused(UNAVAILABLE, "the rooms are not running")
        if len(self.open_rooms) + len(self._opening) >= MAX_ROOMS:
            raise Refused(TOO_FAST_ROOM, f"{MAX_ROOMS} rooms are open")
        task = self._opening.get(name)
        if task is None:
            task = self._opening[name] = self._group.create_task(self._open(name))
        opened = await asyncio.shield(task)
        if isinstance(opened, Refused):
            raise opened
        return opened

    async def missed(self, room: Room, known: Position) -> list[Record] | None:
        """The commerce events after `known`, from memory or the store; None if only a new beginning is honest.

        Whoever tells them must not await anything between this and taking part in the room.
        """
        found = room.history.since(known)
        if found is not None:
            return list(found)
        if not room.history.continues(known) or room.history.seq - known.seq > MAX_RECOVERED:
            return None
        limit = room.history.seq - known.seq
        after = f"{known.seq}-0"
        stored = [record async for record in self.broker.history(room.name, Lane.COMMERCE, after=after, limit=limit)]
        # Nothing is awaited from here on: what came while the store was asked is told from memory.
        whole = [record.event.seq for record in stored] == list(range(known.seq + 1, known.seq + 1 + limit))
        if not whole or room.history.log != known.log:
            return None
        return [*stored, *(record for record in room.history.commerce if (record.event.seq or 0) > known.seq + limit)]

    async def set_host_delay(self, room: Room, delay: HostDelay) -> None:
        """Keep a host's delay, for all nodes. Raises Refused."""
        arguments = (delay.ms, delay.bound_ms, self.broker.room_kept_ms)
        await self.broker.store.call(load_script("host_delay"), (RoomKeys(room.name).clock,), arguments)
        room.delay = delay

    async def _open(self, name: str) -> Room | Refused:
        try:
            opened = await self.broker.open(name, recent=self.settings.recent_danmaku)
        except Refused as refused:
            return refused
        finally:
            del self._opening[name]
        room = Room(
            name,
            opened,
            settings=self.settings,
            clock=self._clock,
            timelines=self._timelines,
            choose=self._choose,
        )
        self.open_rooms[name] = room
        self.reader.add(room)
        self._spreads[name] = self._start(self._spread(room))
        await self._clock_of(room)
        room.tell_time()  # newcomers have it in their greeting
        return room

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work)

    async def _spread(self, room: Room) -> None:
        """Tell what is new: at once after a pause, and then once per tick."""
        told_at = float("-inf")
        while True:
            await room.wake.wait()
            wait = told_at + room.tick_s - self._clock.now()
            if wait > 0:
                await asyncio.sleep(wait)
            room.wake.clear()
            told_at = self._clock.now()
            commerce, ambient = room.tick()
            if commerce or ambient:
                await room.spread.events(room.viewers, *room.messages(commerce, ambient))

    async def _every(self, period: float, step: Any) -> None:
        """Do `step` each `period`. A store that is away fails a step, and the next one tries again."""
        while True:
            await asyncio.sleep(period)
            try:
                await step()
            except Refused:
                continue  # the store counts and logs its failures

    async def _open_local(self) -> None:
        """A room whose stream is here is read even without viewers: its events go into the stream."""
        for name in tuple(self._timelines.rooms()):
            if name not in self.open_rooms and is_room_name(name):
                await self.enter(name)

    async def _clocks(self) -> None:
        await asyncio.gather(*(self._clock_of(room) for room in tuple(self.open_rooms.values())))

    async def _clock_of(self, room: Room) -> None:
        """Write the clock of a stream that is here; read that of one that is elsewhere."""
        local = self._timelines.timeline(room.name)
        wall = self._clock.wall()
        epoch, t, edge = ("", 0, 0) if local is None else (local.epoch, local.to_media(wall), local.live_edge())
        keys = (RoomKeys(room.name).clock,)
        try:
            answer = await self.broker.store.call(
                load_script("clock"), keys, (epoch, t, edge, self.broker.room_kept_ms)
            )
        except Refused:
            room.remote = None  # an old clock would place events wrongly
            return
        store_ms, flat = answer
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        try:
            remote, room.delay = remote_timeline(fields, store_ms=store_ms, wall_s=self._clock.wall())
        except ValueError:  # somebody else wrote into the key
            remote = None
        room.remote = None if local is not None else remote

    async def _counts(self) -> None:
        for room in tuple(self.open_rooms.values()):
            await self._likes(room)
            await self._presence(room)

    async def _likes(self, room: Room) -> None:
        count, room.likes = room.likes, 0
        if not count and room.likes_told:
            return
        try:
            _, room.likes_told = await self.broker.like(room.name, count, f"likes-{secrets.token_hex(8)}")
        except Refused:
            room.likes += count
            raise

    async def _presence(self, room: Room) -> None:
        now, viewers = self._clock.now(), len(room.viewers) + room.polls
        again = now - self._presence_at.get(room.name, float("-inf")) >= PRESENCE_AGAIN_S
        if viewers == room.presence and not room.presence_due and not (again and viewers):
            return
        _, told = await self.broker.presence(room.name, self.node, viewers)
        self._presence_at[room.name] = now
        room.presence, room.presence_due = viewers, not told

    async def _let_go(self) -> None:
        now = self._clock.now()
        for name, room in tuple(self.open_rooms.items()):
            if room.is_idle(now):
                del self.open_rooms[name]
                self._delivered += room.spread.deliveries
                self._presence_at.pop(name, None)
                self._spreads.pop(name).cancel()
                self.reader.remove(room)
                room.close()

    async def _anchors(self) -> None:
        while True:
            await asyncio.sleep(ANCHOR_S)
            for room in tuple(self.open_rooms.values()):
                room.tell_time()
                await asyncio.sleep(0)

    async def _turns(self) -> None:
        for room in tuple(self.open_rooms.values()):
            if room.has_turned:
                room.tell_time()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self.settings.heartbeat_s)
            for room in tuple(self.open_rooms.values()):
                await room.spread.heartbeat(room.viewers, self._clock.now())

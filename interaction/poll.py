"""Long polling: the same rooms for clients whose network takes no WebSocket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from interaction.broker import Position
from interaction.record import to_client
from interaction.refusal import MALFORMED, Refused
from interaction.room import Room, cursor_of, position_of
from interaction.tokens import Identity

if TYPE_CHECKING:
    from interaction.gateway import Gateway

__all__ = ["poll"]

MAX_AMBIENT = 200
"""Ambient events in one answer: ten seconds of a full room. Older ones are past."""


async def poll(gateway: Gateway, cursor: str | None, room: Room, identity: Identity) -> dict[str, Any]:
    """What has happened since `cursor`; waits until something has, or the time is up. Without a cursor: the beginning.

    Raises Refused for a cursor that is none of ours.
    """
    if cursor is None:
        return {**gateway.greeting(room, identity), **room.beginning()}
    known = position_of(cursor)
    if known is None:
        raise Refused(MALFORMED, "the cursor is none of this server's")
    news = await _news(gateway, room, known)
    if news is None:
        room.polls += 1
        try:
            await _wait(room, gateway.settings.poll_s)
        finally:
            room.polls -= 1
            room.touch()
        news = await _news(gateway, room, known)
    return {**(news or _events(room, cursor_of(room.position), [])), **room.now()}


async def _news(gateway: Gateway, room: Room, known: Position) -> dict[str, Any] | None:
    """None if nothing has happened."""
    missed = await gateway.rooms.missed(room, known)
    if missed is None:
        return {"type": "reset", **room.beginning()}
    ambient = room.history.ambient_since(known.ambient)[-MAX_AMBIENT:]
    if not missed and not ambient:
        return None
    reached = Position(known.log, known.seq + len(missed), None, room.position.ambient)
    return _events(room, cursor_of(reached), [to_client(record) for record in (*missed, *ambient)])


def _events(room: Room, cursor: str, events: list[Any]) -> dict[str, Any]:
    return {"type": "events", "log": room.history.log, "seq": room.history.seq, "cursor": cursor, "events": events}


async def _wait(room: Room, seconds: float) -> None:
    """Until the next batch, or for so long. The future is shared by all who wait."""
    await asyncio.wait((room.next_batch(),), timeout=seconds)

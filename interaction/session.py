"""A viewer's session: the commands that a client can send over its connection. A new command is a row of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interaction.broker import Position
from interaction.intake import Intake
from interaction.packing import unpack_map
from interaction.refusal import MALFORMED, UNKNOWN_COMMAND, Refused
from interaction.room import Room
from interaction.rooms import Rooms
from interaction.timelines import Clock
from interaction.viewer import Viewer
from media.reasons import PROTOCOL

__all__ = ["COMMANDS", "Command", "Session", "known_position"]


@dataclass(slots=True)
class Session:
    """One joined connection."""

    room: Room
    viewer: Viewer
    rooms: Rooms
    intake: Intake
    clock: Clock
    commands: Mapping[str, Command]

    async def receive(self, data: bytes | str) -> None:
        """One message from the client. Whatever is wrong with it is answered by number, and counts against it."""
        ref = None
        try:
            limit = self.room.settings.max_message_bytes
            message = unpack_map(data, self.viewer.framing.form, limit=limit)
            ref = message.get("ref")
            if ref is not None and not isinstance(ref, int | str):
                ref = None
                raise Refused(MALFORMED, "ref must be an integer or text")
            answer = await self._command(message)(self, message)
        except Refused as refused:
            self._refuse(refused, ref)
            return
        if answer is not None:
            self.viewer.send(answer if ref is None else {**answer, "ref": ref})

    def _command(self, message: Mapping[str, Any]) -> Command:
        name = message.get("type")
        command = self.commands.get(name) if isinstance(name, str) else None
        if command is None:
            raise Refused(UNKNOWN_COMMAND, f"there is no message of type {str(name)[:64]!r}")
        return command

    def _refuse(self, refused: Refused, ref: int | str | None) -> None:
        self.viewer.send({"type": "error", "ref": ref, **refused.to_client()})
        if refused.refusal.may_retry:
            return
        self.viewer.bad += 1
        if self.viewer.bad >= self.room.settings.max_bad_messages:
            self.viewer.close(PROTOCOL)


Command = Callable[[Session, Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
"""Answers what the client is told, None for nothing. Raises Refused."""


async def _send(session: Session, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    viewer = session.viewer
    return await session.intake.take(session.room, viewer.identity, address=viewer.address, message=message)


async def _ping(session: Session, _: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return {"type": "pong", "wall_ms": round(session.clock.wall() * 1000)}


async def _now(session: Session, _: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return {"type": "time", **session.room.now()}


async def _calibrate(session: Session, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return await session.intake.calibrate(session.room, session.viewer.identity, message)


COMMANDS: Mapping[str, Command] = {"send": _send, "ping": _ping, "time": _now, "calibrate": _calibrate}


def known_position(since: Any) -> Position | None:
    """What a client says it has: {log, seq, id?}. None for a newcomer. Raises Refused."""
    if since is None:
        return None
    if not isinstance(since, Mapping):
        raise Refused(MALFORMED, "since must be {log, seq, id}")
    log, seq, event_id = since.get("log"), since.get("seq"), since.get("id")
    if not isinstance(log, str) or isinstance(seq, bool) or not isinstance(seq, int):
        raise Refused(MALFORMED, "since needs log, a text, and seq, an integer")
    return Position(log, seq, event_id if isinstance(event_id, str) else None)

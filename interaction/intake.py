"""Taking an event in: checked, rated, placed on the timeline, published, acknowledged."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

from interaction.body import IDENTIFIER
from interaction.kinds import KINDS, Kind, Role, kind_for
from interaction.placement import MAX_HOST_DELAY_MS, Placed, calibrated, place
from interaction.refusal import BODY, FORBIDDEN, MALFORMED, MUTED, NO_TIMELINE, Refused
from interaction.room import Room
from interaction.rooms import Rooms
from interaction.timelines import Clock, HostDelay
from interaction.tokens import Identity
from media.event import Event, Lane

__all__ = ["Intake"]

Ack = dict[str, Any]


class Intake:
    """The one way for an event into a room, whatever transport it came by."""

    def __init__(self, rooms: Rooms, *, clock: Clock, kinds: Mapping[str, Kind] = KINDS) -> None:
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._rooms = rooms
        self._clock = clock
        self._kinds = kinds

    async def take(self, room: Room, identity: Identity, *, address: str, message: Mapping[str, Any]) -> Ack:
        """Take {kind, body, id?, at?, epoch?} and answer its acknowledgement.

        `shown` in it is "room", or "self" where the flood rule shows the event to its sender alone: clients draw their
        own events from the acknowledgement. Raises Refused, which is counted.
        """
        try:
            kind = kind_for(message.get("kind"), self._kinds)
            event, bound_ms = self._check(room, identity, kind, message, address=address)
            ack = await self._pass(room, kind, event, bound_ms)
        except Refused as refused:
            self.refused[refused.refusal.name] += 1
            raise
        self.taken[kind.name] += 1
        return ack

    async def calibrate(self, room: Room, identity: Identity, message: Mapping[str, Any]) -> Ack:
        """Set a host's delay: {"samples": [...]} as `calibrated` takes them, or {"host_delay_ms", "bound_ms"}.

        Raises Refused.
        """
        if identity.role < Role.HOST:
            raise Refused(FORBIDDEN, "only a host or a back end may set the host's delay")
        if "samples" in message:
            timeline = room.timeline
            if timeline is None:
                raise Refused(NO_TIMELINE)
            delay = calibrated(message["samples"], timeline)
        else:
            delay = HostDelay(*(_milliseconds(message, name) for name in ("host_delay_ms", "bound_ms")))
        await self._rooms.set_host_delay(room, delay)
        return {"type": "ack", "host_delay_ms": delay.ms, "bound_ms": delay.bound_ms}

    def _check(
        self, room: Room, identity: Identity, kind: Kind, message: Mapping[str, Any], *, address: str
    ) -> tuple[Event, int | None]:
        """Everything that needs no store: an event that may pass, and how exactly its `t` is known."""
        sender, now = identity.sender, self._clock.now()
        if not identity.may_send:
            raise Refused(FORBIDDEN, "viewers without a token may watch only")
        room.flood.admit(kind.lane, kind.name, sender=sender, address=address, now=now)
        if identity.role is Role.VIEWER and room.is_muted(sender):
            raise Refused(MUTED)
        body = kind.parse(message.get("body"), identity.role)
        placed, event_id = self._place(room, identity, message), _event_id(message)
        if kind.name == "danmaku":
            room.flood.admit_words(sender, body["text"], now)
            if identity.name is not None:
                body["name"] = identity.name
        event = Event(event_id, placed.epoch, placed.t, None, kind.name, kind.lane, kind.ttl, sender, body)
        return event, placed.bound_ms

    def _place(self, room: Room, identity: Identity, message: Mapping[str, Any]) -> Placed:
        return place(
            message.get("at"),
            role=identity.role,
            epoch=message.get("epoch"),
            timeline=room.timeline,
            delay=room.delay,
            wall_s=self._clock.wall(),
        )

    async def _pass(self, room: Room, kind: Kind, event: Event, bound_ms: int | None) -> Ack:
        ack: Ack = {"type": "ack", "id": event.id, "kind": event.kind, "epoch": event.epoch, "t": event.t}
        if kind.name == "like":
            room.likes += event.body["count"]
            return {**ack, "shown": "room"}
        if kind.lane is Lane.AMBIENT and not await room.hold(event):
            return {**ack, "shown": "self"}
        timeline = room.timeline
        taken = await self._rooms.broker.publish(
            room.name,
            event,
            state_key=kind.key_of(event.body),
            live_edge=None if timeline is None else timeline.live_edge(),
            bound_ms=bound_ms,
        )
        if taken.log != room.history.log:
            self._rooms.reader.suspect()
        known = {"shown": "room", "log": taken.log, "seq": taken.seq, "duplicate": taken.duplicate}
        return {**ack, **known, "bound_ms": bound_ms}


def _event_id(message: Mapping[str, Any]) -> str:
    """The sender's own, which makes repeating safe, else a new one."""
    given = message.get("id")
    if given is None:
        return secrets.token_hex(8)
    if not isinstance(given, str) or not IDENTIFIER.fullmatch(given):
        raise Refused(MALFORMED, "id must be 1 to 64 of A-Z a-z 0-9 . _ : -")
    return given


def _milliseconds(message: Mapping[str, Any], name: str) -> int:
    value = message.get(name, 0 if name == "bound_ms" else None)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_HOST_DELAY_MS:
        raise Refused(BODY, f"{name} must be 0 to {MAX_HOST_DELAY_MS}")
    return value

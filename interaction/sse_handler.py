"""Server-sent events: the same ticks for `EventSource`, one way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from interaction.framing import JSON_SSE
from interaction.room import Room, position_of
from interaction.tokens import Identity
from interaction.viewer import Viewer
from media.reasons import FULL

if TYPE_CHECKING:
    from interaction.gateway import Gateway

__all__ = ["serve_events"]

LOOK_S = 1.0
"""How often it is looked whether the peer has gone; it sends nothing that would tell."""


async def serve_events(gateway: Gateway, request: web.Request, room: Room, identity: Identity) -> web.StreamResponse:
    """One EventSource, until it goes. `Last-Event-ID` is the cursor that it has reached."""
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8", hdrs.CACHE_CONTROL: "no-store"}
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    viewer = Viewer(transport, JSON_SSE, identity, address=gateway.peer(request), now=gateway.clock.now())
    if len(room.viewers) >= gateway.settings.max_connections:
        viewer.close(FULL)
        return response
    known = position_of(request.headers.get("Last-Event-ID", ""))
    missed = None if known is None else await gateway.rooms.missed(room, known)
    beginning = room.beginning() if missed is None else room.continuation(missed)
    viewer.send({**gateway.greeting(room, identity), **beginning})
    room.enter(viewer)
    try:
        while viewer.closed is None and not transport.is_closing():  # noqa: ASYNC110 - a transport has no event for it
            await asyncio.sleep(LOOK_S)
    finally:
        room.leave(viewer)
    return response

"""A room's WebSocket: join, hello, then commands one way and ticks the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from interaction.framing import JSON_WS, MSGPACK_WS
from interaction.packing import Format, unpack_map
from interaction.refusal import JOIN_FIRST, TOKEN, UNAVAILABLE, Refused
from interaction.room import Room
from interaction.session import Session, known_position
from interaction.tokens import Identity
from interaction.viewer import Outlet, Viewer
from media import reasons
from media.reasons import Reason
from wire.websocket import encode_close, encode_pong

if TYPE_CHECKING:
    from interaction.gateway import Gateway

__all__ = ["serve_socket"]

CLOSED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
REASONS = {TOKEN: reasons.TOKEN_REFUSED, UNAVAILABLE: reasons.UNAVAILABLE}
"""Close codes for a refused join; any other refusal is a breach of protocol."""


async def serve_socket(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """One connection, from its handshake to its end."""
    # No compression: a frame is made once for everybody. Pings are ours, pongs are signs of life.
    socket = web.WebSocketResponse(
        protocols=(Format.MSGPACK.value, Format.JSON.value),
        autoping=False,
        autoclose=False,
        compress=False,
        max_msg_size=gateway.settings.max_message_bytes,
    )
    await socket.prepare(request)
    transport = request.transport
    if transport is None:
        return socket
    framing = MSGPACK_WS if socket.ws_protocol == Format.MSGPACK.value else JSON_WS
    viewer = Viewer(transport, framing, Identity(""), address=gateway.peer(request), now=gateway.clock.now())
    room = await _join(gateway, request.match_info["room"], socket, viewer)
    try:
        if room is not None:
            session = Session(room, viewer, gateway.rooms, gateway.intake, gateway.clock, gateway.commands)
            await _converse(session, socket, transport)
        await _part(viewer, socket)
    finally:
        if room is not None:
            room.leave(viewer)
        transport.close()
    return socket


async def _join(gateway: Gateway, name: str, socket: web.WebSocketResponse, viewer: Viewer) -> Room | None:
    """The first message: who it is, and what it has seen. None if the connection was closed instead."""
    if not gateway.exists(name):
        viewer.close(reasons.NOT_FOUND)
        return None
    try:
        message = await _first(gateway, socket, viewer)
        if message is None:
            return None
        viewer.identity = gateway.identify(message.get("token"), room=name)
        room = await gateway.rooms.enter(name)
        if len(room.viewers) >= gateway.settings.max_connections:
            viewer.close(reasons.FULL)
            return None
        await _hello(gateway, room, viewer, message.get("since"))
    except Refused as refused:
        viewer.send({"type": "error", **refused.to_client()})
        viewer.close(_reason(refused))
        return None
    return room


async def _first(gateway: Gateway, socket: web.WebSocketResponse, viewer: Viewer) -> Mapping[str, Any] | None:
    try:
        async with asyncio.timeout(gateway.settings.join_timeout_s):
            received = await socket.receive()
    except TimeoutError:
        viewer.close(reasons.IDLE)
        return None
    if received.type in CLOSED:
        _heard_close(viewer)
        return None
    if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
        raise Refused(JOIN_FIRST)
    message = unpack_map(received.data, viewer.framing.form, limit=gateway.settings.max_message_bytes)
    if message.get("type") != "join":
        raise Refused(JOIN_FIRST, f"the first message is {str(message.get('type'))[:64]!r}, not 'join'")
    return message


async def _hello(gateway: Gateway, room: Room, viewer: Viewer, since: Any) -> None:
    """Tell where the room is, and from then on all that happens, with nothing in between."""
    known = known_position(since)
    missed = None if known is None else await gateway.rooms.missed(room, known)
    beginning = room.beginning() if missed is None else room.continuation(missed)
    viewer.send({**gateway.greeting(room, viewer.identity), **beginning})
    room.enter(viewer)


async def _converse(session: Session, socket: web.WebSocketResponse, transport: Outlet) -> None:
    viewer = session.viewer
    handlers: Mapping[WSMsgType, Callable[[Any], None]] = {
        WSMsgType.PING: lambda data: transport.write(encode_pong(bytes(data))),
        WSMsgType.PONG: lambda data: None,
    }
    while viewer.closed is None:
        received = await socket.receive()
        if received.type in CLOSED:
            _heard_close(viewer)
            return
        viewer.heard_at = session.clock.now()
        control = handlers.get(received.type)
        if control is not None:
            control(received.data)
        else:
            await session.receive(received.data)


def _heard_close(viewer: Viewer) -> None:
    """The peer went first: answer it (RFC 6455, 5.5.1), and wait for nothing."""
    if viewer.closed is None:
        viewer.closed = reasons.VANISHED
        if not viewer.transport.is_closing():
            viewer.transport.write(encode_close(1000))


async def _part(viewer: Viewer, socket: web.WebSocketResponse) -> None:
    """After our close frame: what else the peer had sent is read and ignored, up to its own close frame."""
    if viewer.closed is reasons.VANISHED:
        return
    while (await socket.receive()).type not in CLOSED:
        continue


def _reason(refused: Refused) -> Reason:
    return REASONS.get(refused.refusal, reasons.PROTOCOL)

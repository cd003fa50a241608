"""The rooms' doors: WebSocket, long polling, server-sent events, and POST for back ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import hdrs, web

from interaction.export import EXPORTS, export
from interaction.intake import Intake
from interaction.kinds import Role
from interaction.packing import Format, pack, unpack_map
from interaction.poll import poll
from interaction.refusal import BODY, FORBIDDEN, MALFORMED, TOKEN, TOO_LARGE, Refused
from interaction.room import Room
from interaction.rooms import Rooms, is_room_name
from interaction.session import COMMANDS, Command
from interaction.settings import RoomSettings
from interaction.sse_handler import serve_events
from interaction.timelines import Clock
from interaction.tokens import Identity, Tokens, anonymous
from interaction.ws_handler import serve_socket
from media.event import Lane

__all__ = ["Gateway", "body_of", "response_to"]

MSGPACK_TYPES = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
MAX_EVENTS = 100
"""Events in one POST."""
MAX_POST_BYTES = 256 * 1024
ANONYMOUS_TOKEN_S = 86_400.0
"""How long a viewer without a token keeps the name that they were given."""
RETRY_AFTER_S = 1


class Gateway:
    """What the roof hangs into its HTTP application: `routes()`.

    `commands` adds message types to the sessions. `knows` says whether a room exists; without it every name is a room.
    `peer` says whose address counts, for a node behind a proxy.
    """

    def __init__(
        self,
        rooms: Rooms,
        intake: Intake,
        *,
        settings: RoomSettings,
        tokens: Tokens,
        clock: Clock,
        commands: Mapping[str, Command] | None = None,
        knows: Callable[[str], bool] | None = None,
        peer: Callable[[web.BaseRequest], str] | None = None,
    ) -> None:
        self.rooms = rooms
        self.intake = intake
        self.settings = settings
        self.tokens = tokens
        self.clock = clock
        self.commands = {**COMMANDS, **(commands or {})}
        self.more_routes: list[web.RouteDef] = []
        self._knows = knows or (lambda name: True)
        self._peer = peer or (lambda request: request.remote or "")

    def routes(self) -> list[web.RouteDef]:
        """GET /rooms/{room}/ws, /poll, /sse and /events (export); POST /rooms/{room}/events and /host-delay; and what
        else is served below /rooms/{room}, `more_routes`."""
        return [
            web.get("/rooms/{room}/ws", self._ws, allow_head=False),
            web.get("/rooms/{room}/poll", self._poll, allow_head=False),
            web.get("/rooms/{room}/sse", self._sse, allow_head=False),
            web.get("/rooms/{room}/events", self._export, allow_head=False),
            web.post("/rooms/{room}/events", self._events),
            web.post("/rooms/{room}/host-delay", self._host_delay),
            *self.more_routes,
        ]

    def exists(self, name: str) -> bool:
        return is_room_name(name) and self._knows(name)

    def peer(self, request: web.BaseRequest) -> str:
        return self._peer(request)

    def identify(self, token: Any, *, room: str) -> Identity:
        """Who has this token; without one, a new anonymous viewer where the settings allow it. Raises Refused."""
        if token is not None:
            identity = self.tokens.verify(token, room=room, wall=self.clock.wall())
            if identity.sender.startswith("anon-"):
                return Identity(identity.sender, may_send=self.settings.anonymous == "send")
            return identity
        if self.settings.anonymous == "refused":
            raise Refused(TOKEN, "this server has no anonymous viewers: a token is needed")
        return anonymous(may_send=self.settings.anonymous == "send")

    def greeting(self, room: Room, identity: Identity) -> dict[str, Any]:
        """A hello's head; an anonymous viewer gets a token, to come back as the same."""
        greeting = room.greeting(identity)
        if identity.sender.startswith("anon-"):
            expires = self.clock.wall() + ANONYMOUS_TOKEN_S
            greeting["you"]["token"] = self.tokens.sign(identity, room=room.name, expires=expires)
        return greeting

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await serve_socket(self, request)

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        return await self.answered(request, lambda room, identity: serve_events(self, request, room, identity))

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        async def answer(room: Room, identity: Identity) -> web.StreamResponse:
            return response_to(request, await poll(self, request.query.get("cursor"), room, identity))

        return await self.answered(request, answer)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        async def answer(room: Room, identity: Identity) -> web.StreamResponse:
            message = await body_of(request)
            if "events" not in message:
                return response_to(request, await self._take(request, room, identity, message))
            events = message["events"]
            if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
                raise Refused(BODY, f"events must be a list of 1 to {MAX_EVENTS}")
            return response_to(
                request, {"results": [await self._try(request, room, identity, item) for item in events]}
            )

        return await self.answered(request, answer)

    async def _host_delay(self, request: web.Request) -> web.StreamResponse:
        async def answer(room: Room, identity: Identity) -> web.StreamResponse:
            return response_to(request, await self.intake.calibrate(room, identity, await body_of(request)))

        return await self.answered(request, answer)

    async def _export(self, request: web.Request) -> web.StreamResponse:
        """Everything that is stored, for hosts: ?format=jsonl|msgpack|xml&lane=commerce|ambient&epoch=..."""

        async def answer(room: Room, identity: Identity) -> web.StreamResponse:
            if identity.role < Role.HOST:
                raise Refused(FORBIDDEN, "only a host or a back end may export")
            query = request.query
            name, lane, epoch = query.get("format", "jsonl"), query.get("lane"), query.get("epoch")
            if name not in EXPORTS or (lane is not None and lane not in tuple(Lane)):
                raise Refused(BODY, f"format is one of {', '.join(EXPORTS)}; lane is commerce or ambient")
            response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: EXPORTS[name].content_type})
            await response.prepare(request)
            async for piece in export(
                self.rooms.broker, room.name, name, lane=Lane(lane) if lane else None, epoch=epoch
            ):
                await response.write(piece)
            await response.write_eof()
            return response

        return await self.answered(request, answer)

    async def _take(self, request: web.Request, room: Room, identity: Identity, message: Any) -> dict[str, Any]:
        if not isinstance(message, dict):
            raise Refused(MALFORMED, "an event must be a map")
        return await self.intake.take(room, identity, address=self.peer(request), message=message)

    async def _try(self, request: web.Request, room: Room, identity: Identity, message: Any) -> dict[str, Any]:
        try:
            return await self._take(request, room, identity, message)
        except Refused as refused:
            return {"type": "error", **refused.to_client()}

    async def answered(self, request: web.Request, answer: Callable[[Room, Identity], Any]) -> web.StreamResponse:
        """The common frame of plain requests: room, Bearer token, and refusals as numbered answers."""
        name = request.match_info["room"]
        if not self.exists(name):
            raise web.HTTPNotFound
        try:
            identity = self.identify(_bearer(request), room=name)
            response: web.StreamResponse = await answer(await self.rooms.enter(name), identity)
        except Refused as refused:
            return _refusal(request, refused)
        return response


def _bearer(request: web.Request) -> str | None:
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(TOKEN, "Authorization must be Bearer")
    return token.strip()


async def body_of(request: web.Request) -> Mapping[str, Any]:
    """The request's body, JSON or msgpack as it says. Raises Refused."""
    length = request.content_length
    if length is not None and length > MAX_POST_BYTES:
        raise Refused(TOO_LARGE, f"body of {length} bytes exceeds {MAX_POST_BYTES}")
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge as exc:
        raise Refused(TOO_LARGE, f"body exceeds {request.client_max_size} bytes") from exc
    form = Format.MSGPACK if request.content_type in MSGPACK_TYPES else Format.JSON
    return unpack_map(data, form, limit=MAX_POST_BYTES)


def response_to(request: web.Request, message: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """`message` in the form that the request accepts."""
    accept = request.headers.get(hdrs.ACCEPT, "")
    form = Format.MSGPACK if any(name in accept for name in MSGPACK_TYPES) else Format.JSON
    content_type = MSGPACK_TYPES[0] if form is Format.MSGPACK else "application/json"
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=status, body=pack(message, form), content_type=content_type, headers=headers)


def _refusal(request: web.Request, refused: Refused) -> web.Response:
    response = response_to(request, {"type": "error", **refused.to_client()}, status=refused.refusal.status)
    if refused.refusal.may_retry:
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_S)
    if refused.refusal is TOKEN:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response

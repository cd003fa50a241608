"""The operator's API: does what the table of operations says."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any

from aiohttp import web

from media.hub import Hub
from media.reasons import NOT_FOUND, STOPPED
from media.stream import Stream
from relay.flv_handler import FlvRelay
from relay.whep_handler import WhepRelay
from streamer.api_answers import RenditionsAnswer, StreamAnswer, StreamsAnswer, ViewerAnswer, ViewersAnswer
from streamer.api_description import describe_api
from streamer.api_operations import OPERATIONS, PREFIX, Operation, Query, Who
from streamer.api_views import ApiViews
from streamer.http_errors import Problem
from streamer.operator_access import OperatorAccess

__all__ = ["Api"]

_log = logging.getLogger(__name__)

Answer = Any
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Api:
    """One method for each operation; each gets the request and its numbers, and gives an answer or None."""

    def __init__(self, hub: Hub, flv: FlvRelay, whep: WhepRelay, *, views: ApiViews, access: OperatorAccess) -> None:
        self._hub = hub
        self._flv = flv
        self._whep = whep
        self._views = views
        self._access = access
        self._description = describe_api()

    def routes(self) -> Iterator[web.RouteDef]:
        """All operations, each behind its check."""
        for operation in OPERATIONS:
            yield web.route(operation.method, PREFIX + operation.path, self._handler(operation))

    def describe(self, request: web.Request) -> dict[str, Any]:
        return self._description

    def list_streams(self, request: web.Request) -> StreamsAnswer:
        return self._views.streams()

    def get_stream(self, request: web.Request) -> StreamAnswer:
        return self._views.stream(self._stream(request))

    def end_stream(self, request: web.Request, *, block: float | None) -> None:
        room = request.match_info["room"]
        if block is not None:
            self._hub.block(room, block)
            _log.info("an operator blocks it for %g s", block, extra={"room": room, "peer": request.remote})
        if not self._hub.end(room, STOPPED) and block is None:
            raise _no_stream(room)

    def list_stream_viewers(self, request: web.Request, *, limit: int) -> ViewersAnswer:
        return self._views.viewers(self._stream(request).key, limit)

    def list_stream_renditions(self, request: web.Request) -> RenditionsAnswer:
        return self._views.renditions(self._stream(request))

    def list_viewers(self, request: web.Request, *, limit: int) -> ViewersAnswer:
        return self._views.viewers(None, limit)

    def get_viewer(self, request: web.Request) -> ViewerAnswer:
        viewer = self._views.viewer(request.match_info["id"])
        if viewer is None:
            raise _no_viewer(request)
        return viewer

    def close_viewer(self, request: web.Request) -> None:
        name = request.match_info["id"]
        for room, _, viewer in self._flv.viewers():
            if viewer.id == name:
                _log.info("an operator closes viewer %s", name, extra={"room": room, "peer": request.remote})
                viewer.finish(STOPPED)
                return
        for session in self._whep.sessions():
            if session.id == name:
                room = session.stream.key
                _log.info("an operator closes viewer %s", name, extra={"room": room, "peer": request.remote})
                session.end(STOPPED)
                return
        raise _no_viewer(request)

    def _stream(self, request: web.Request) -> Stream:
        room = request.match_info["room"]
        stream = self._hub.get(room)
        if stream is None:
            raise _no_stream(room)
        return stream

    def _handler(self, operation: Operation) -> Handler:
        act = getattr(self, operation.id)

        async def handle(request: web.Request) -> web.Response:
            if operation.who is not Who.ANYONE:
                room = request.match_info["room"] if operation.who is Who.HOST else None
                self._access.check(request, room=room)
            numbers = {query.name: _number(request, query) for query in operation.query}
            answer = act(request, **numbers)
            headers = {"Cache-Control": "no-store"}
            if answer is None:
                return web.Response(status=204, headers=headers)
            document = answer if isinstance(answer, dict) else asdict(answer)
            return web.Response(text=json.dumps(document), content_type="application/json", headers=headers)

        return handle


def _number(request: web.Request, query: Query) -> float | None:
    text = request.query.get(query.name)
    if text is None:
        return query.default
    try:
        value = int(text) if query.whole else float(text)
    except ValueError:
        value = math.nan
    if not query.low <= value <= query.high:
        kind = "a whole number" if query.whole else "a number"
        raise Problem(400, f"{query.name} needs {kind} from {query.low:g} to {query.high:g}")
    return value


def _no_stream(room: str) -> Problem:
    return Problem(404, f"{room[:64]} is not live.", code=NOT_FOUND.code)


def _no_viewer(request: web.Request) -> Problem:
    return Problem(404, f"There is no viewer {request.match_info['id'][:64]}.", code=NOT_FOUND.code)

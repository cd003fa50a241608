"""The HTTP side of the node: the application that answers, and the site that listens."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiohttp import web

from streamer.address import Address
from streamer.config import HttpSettings
from streamer.http_errors import answer_errors, read_bodies
from streamer.http_guard import ConnectionGuard
from streamer.http_headers import ResponseHeaders
from streamer.http_static import BuiltPages
from streamer.observe import CONTENT_TYPE, Metrics
from streamer.origins import Origins
from streamer.pages import STYLE_PATH, StreamSummary, index_page

__all__ = ["HttpSite", "ListenError", "Sources", "build_app"]

BACKLOG = 1024
"""A show begins, and everybody comes at once; the kernel caps it at net.core.somaxconn."""

_STYLE = Path(__file__).with_name("pages.css")
_log = logging.getLogger(__name__)


class ListenError(Exception):
    """An address cannot be listened on. The message names it."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the application asks the node. `ready()` is False from the moment the node stops."""

    metrics: Metrics = field(default_factory=Metrics)
    streams: Callable[[], Iterable[StreamSummary]] = tuple
    ready: Callable[[], bool] = lambda: True


def build_app(
    settings: HttpSettings,
    sources: Sources,
    *,
    routes: Iterable[web.AbstractRouteDef] = (),
    pages: BuiltPages | None = None,
) -> web.Application:
    """The whole application. `routes` come from the floors below: `web.get("/live/{room}.flv", handler)`.

    A handler of them may raise `streamer.http_errors.Problem` or any aiohttp HTTPException; what other sites may
    use gets CORS headers on each prepared response, and a request body is in memory before the handler runs.
    """
    headers = ResponseHeaders(Origins(settings.origins))
    app = web.Application(
        middlewares=[answer_errors, headers.guard, read_bodies(settings.body_timeout_s)],
        client_max_size=settings.max_body_bytes,
    )
    app.on_response_prepare.append(headers.set)
    pages = pages or BuiltPages()
    own = OwnRoutes(sources)
    app.add_routes(routes)
    app.add_routes(
        [
            web.get("/", own.index),
            web.get(STYLE_PATH, own.style),
            web.get("/healthz", own.healthz),
            web.get("/readyz", own.readyz),
            web.get("/metrics", own.metrics),
            web.get("/watch/{room}", pages.watch),
            web.get("/studio/{room}", pages.studio),
            web.get("/console", pages.console),
            web.get("/web/assets/{name:.+}", pages.asset),
            web.get("/web/sdk.js", pages.sdk),
            web.get("/web/sdk/{name}", pages.sdk_file),
        ]
    )
    return app


class OwnRoutes:
    """What the node answers about itself."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._style = _STYLE.read_text(encoding="utf-8")

    async def index(self, request: web.Request) -> web.Response:
        return web.Response(
            text=index_page(self._sources.streams()), content_type="text/html", headers={"Cache-Control": "no-cache"}
        )

    async def style(self, request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css", headers={"Cache-Control": "max-age=3600"})

    async def healthz(self, request: web.Request) -> web.Response:
        """The process answers, so it is alive."""
        return _json({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether new viewers should be sent here."""
        ready = self._sources.ready()
        return _json({"status": "ready" if ready else "stopping"}, status=200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        body = self._sources.metrics.render().encode()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


class HttpSite:
    """The listeners, plain and TLS, in front of one application. `async with` sets it up and closes it.

    Closing stops the listeners first, lets requests finish for `shutdown_timeout_s`, then cancels them.
    """

    def __init__(self, app: web.Application, settings: HttpSettings) -> None:
        self._settings = settings
        # aiohttp waits twice: for the handlers as they are, and again once it has taken their requests away.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=settings.shutdown_timeout_s / 2, handler_cancellation=True
        )
        self._listeners: list[asyncio.Server] = []
        self._guard: ConnectionGuard | None = None

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        assert self._runner.server is not None
        self._guard = ConnectionGuard(self._runner.server, self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.close()
        await self._runner.cleanup()

    @property
    def guard(self) -> ConnectionGuard:
        """The connections of all listeners."""
        assert self._guard is not None, "the site is not set up"
        return self._guard

    async def listen(self, address: Address, *, tls: ssl.SSLContext | None = None) -> Address:
        """Listen on one more address. Returns it with the port that was bound. Raises ListenError."""
        timeout = self._settings.header_timeout_s if tls else None
        try:
            listener = await asyncio.get_running_loop().create_server(
                self.guard,
                address.host,
                address.port,
                ssl=tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=timeout,
            )
        except OSError as exc:
            raise ListenError(f"cannot listen on {address}: {exc.strerror or exc}") from exc
        self._listeners.append(listener)
        bound = listener.sockets[0].getsockname()
        return Address(address.host, bound[1])


def _json(value: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers={"Cache-Control": "no-store"})

"""Who may hold an HTTP connection: limits in number and in time, below aiohttp's own request handling."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

from aiohttp import web

from streamer.address import peer_group
from streamer.config import HttpSettings
from streamer.observe import Sample

__all__ = ["ConnectionGuard", "GuardedConnection"]

MAX_LINE_BYTES = 8190
"""Request line. Browsers and proxies agree on about 8 KiB."""
MAX_FIELD_BYTES = 8190
"""One header field, for the same reason."""
MAX_HEADERS = 64
"""Browsers send about 20."""
LOG_INTERVAL_S = 1.0
"""Refusals are logged at most so often: a flood must not become a flood of lines."""
SERVER_NAME = "Streamer"

_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Server: Streamer\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
)
_log = logging.getLogger(__name__)


class ConnectionGuard:
    """Counts the connections of all HTTP listeners, and makes the protocol object of each."""

    def __init__(self, server: web.Server, settings: HttpSettings) -> None:
        self._server = server
        self.settings = settings
        self._by_address: Counter[str] = Counter()
        self.open = 0
        self.accepted = 0
        self.refused = 0
        self.too_slow = 0
        self._logged_at = float("-inf")

    def __call__(self) -> GuardedConnection:
        return GuardedConnection(self, self._server)

    def enter(self, address: str) -> bool:
        """Count one connection in; False, and nothing counted, when a limit is reached."""
        settings = self.settings
        if self.open >= settings.max_connections:
            return self._refuse(address, f"all {settings.max_connections} connections are taken")
        if self._by_address[address] >= settings.max_connections_per_address:
            return self._refuse(address, f"it has {settings.max_connections_per_address} connections already")
        self._by_address[address] += 1
        self.open += 1
        self.accepted += 1
        return True

    def leave(self, address: str) -> None:
        """Count one connection out."""
        self.open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def samples(self) -> Iterator[Sample]:
        """For Metrics."""
        yield Sample("streamer_http_connections", "gauge", "Open HTTP connections, viewers included", self.open)
        yield Sample("streamer_http_accepted_total", "counter", "HTTP connections accepted", self.accepted)
        yield Sample("streamer_http_refused_total", "counter", "HTTP connections over a limit", self.refused)
        yield Sample(
            "streamer_http_too_slow_total", "counter", "Connections closed before a whole request head", self.too_slow
        )

    def _refuse(self, address: str, why: str) -> bool:
        self.refused += 1
        if not self._by_address[address]:
            del self._by_address[address]  # the look-up made an entry
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            _log.warning("refused a connection: %s (%d refused so far)", why, self.refused, extra={"peer": address})
        return False


class GuardedConnection(web.RequestHandler):
    """aiohttp's connection, with a limit on their number and on the time to the first whole request head.

    aiohttp's own keep-alive timer also ends a connection that never sends a head, and a later head that never ends,
    but only after the keep-alive time.
    """

    __slots__ = ("_address", "_entered", "_guard", "_head_timer")

    def __init__(self, guard: ConnectionGuard, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=guard.settings.keepalive_timeout_s,
            access_log=None,  # type: ignore[arg-type]  # None turns it off, the annotation forgets it
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
            lingering_time=guard.settings.body_timeout_s,
        )
        self._guard = guard
        self._entered = False
        self._address = ""
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's own transports do not inherit from it
        peer = transport.get_extra_info("peername")
        self._address = peer_group(str(peer[0])) if isinstance(peer, tuple) else "local"
        self._entered = self._guard.enter(self._address)
        if not self._entered:
            transport.write(_REFUSAL)
            transport.close()
            return
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._guard.settings.header_timeout_s, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        if not self._entered:
            return
        super().data_received(data)
        if self._head_timer is not None and self._messages:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._entered:
            return
        self._entered = False
        self._guard.leave(self._address)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be parsed never reaches the application: answer without a page, and log without a traceback.

        A client that left before its response began is no bug and gets no answer.

        Raises:
            ConnectionError: the connection is over, or holds the beginning of a response; aiohttp ends it then.
        """
        if isinstance(exc, ConnectionError) and (self.transport is None or self.transport.is_closing()):
            _log.debug("the client left before the response began: %s", exc, extra={"peer": self._address})
            raise exc
        if status >= 500:  # a bug below the application's own error pages
            _log.error("request failed below the application", exc_info=exc, extra={"peer": self._address})
        else:
            reason = str(message or exc or "").partition("\n")[0]
            _log.info("closed: bad request: %s", reason, extra={"peer": self._address})
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun already")
        response = web.Response(status=status, text=f"{status}\n", headers={"Server": SERVER_NAME})
        response.force_close()
        return response

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._guard.too_slow += 1
        self.force_close()

"""Headers that every response carries: what a browser may do with it, and who may read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from streamer.http_errors import Problem
from streamer.http_guard import SERVER_NAME
from streamer.origins import Origins
from wire.whip import EXPOSED_HEADERS, FRAGMENT_TYPE, SDP_TYPE

__all__ = ["ResponseHeaders"]

OPEN_PREFIXES = ("/live/", "/whep/", "/whip/", "/rooms/", "/web/sdk.js", "/web/sdk/", "/web/assets/")
"""What a page of another site needs to embed a room. There are no cookies that a foreign page could abuse."""
_OFFER_PREFIXES = ("/whep/", "/whip/")
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",  # Media Source Extensions play from a blob address
        "connect-src 'self' ws: wss:",  # 'self' does not name WebSockets in every browser
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
PREFLIGHT_MAX_AGE_S = 86_400
"""Browsers cap it lower by themselves."""


class ResponseHeaders:
    """`set` is for `app.on_response_prepare`, `guard` a middleware."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    async def set(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Who may read it, and what a browser may do with it."""
        headers = response.headers
        headers["Server"] = SERVER_NAME
        headers.setdefault("X-Content-Type-Options", "nosniff")
        if request.path.startswith(OPEN_PREFIXES):
            headers.update(self._origins.cors(request.headers))
            headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if response.content_type == "text/html":
            headers["Content-Security-Policy"] = POLICY
            headers["Referrer-Policy"] = "no-referrer"

    @web.middleware
    def guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Awaitable[web.StreamResponse]:
        """Answer OPTIONS on any open path by itself (Fetch standard, CORS-preflight request), and refuse a WebSocket
        to the page of a site that may not use this node.

        No coroutine of its own: one would live, and cost memory, as long as each viewer does.
        """
        if request.method == "OPTIONS" and request.path.startswith(OPEN_PREFIXES):
            return _preflight(request.path)
        if request.headers.get("Upgrade", "").lower() == "websocket" and not self._origins.admits(request.headers):
            return _foreign()
        return handler(request)


async def _preflight(path: str) -> web.Response:
    # RFC 9725, 4.2: what may be posted
    accepts = {"Accept-Post": SDP_TYPE, "Accept-Patch": FRAGMENT_TYPE} if path.startswith(_OFFER_PREFIXES) else {}
    return web.Response(
        status=204,
        headers={
            **accepts,
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, Range, Last-Event-ID",
            "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
        },
    )


async def _foreign() -> web.Response:
    raise Problem(403, "The pages of this site may not use this server: see http.origins.")

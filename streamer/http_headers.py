"""Headers that every response carries: what a browser may do with it, and who may read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from streamer.http_guard import SERVER_NAME
from wire.whip import EXPOSED_HEADERS, FRAGMENT_TYPE, SDP_TYPE

__all__ = ["answer_preflight", "set_headers"]

MEDIA_PREFIXES = ("/live/", "/whep/", "/whip/")
"""Media is for every player on every site: without cookies there is nothing that a foreign page could abuse."""
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


async def set_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """For `app.on_response_prepare`."""
    headers = response.headers
    headers["Server"] = SERVER_NAME
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.path.startswith(MEDIA_PREFIXES):
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if response.content_type == "text/html":
        headers["Content-Security-Policy"] = POLICY
        headers["Referrer-Policy"] = "no-referrer"


@web.middleware
def answer_preflight(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Answer OPTIONS on any media path by itself: Fetch standard, CORS-preflight request.

    No coroutine of its own: one would live, and cost memory, as long as each viewer does.
    """
    if request.method != "OPTIONS" or not request.path.startswith(MEDIA_PREFIXES):
        return handler(request)
    return _preflight(request.path)


async def _preflight(path: str) -> web.Response:
    # RFC 9725, 4.2: what may be posted
    accepts = {"Accept-Post": SDP_TYPE, "Accept-Patch": FRAGMENT_TYPE} if path.startswith(_OFFER_PREFIXES) else {}
    return web.Response(
        status=204,
        headers={
            **accepts,
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, Range",
            "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
        },
    )

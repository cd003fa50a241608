"""What a client sees when something is wrong: problem details for programs, a plain page for people."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Middleware

from streamer.pages import error_page

__all__ = ["Problem", "answer_errors", "is_program_path", "read_bodies"]

PROGRAM_PREFIXES = ("/api/", "/live/", "/whip/", "/whep/", "/rooms/", "/metrics", "/healthz", "/readyz")
"""Paths that programs ask for. People see pages on all others."""
PROBLEM_TYPE = "application/problem+json"
"""RFC 9457, 3."""

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """A request that is refused: HTTP status, and a sentence that the client may read."""

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, code: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.code = code
        """The number of a `media.reasons.Reason`, when there is one."""


def is_program_path(path: str) -> bool:
    """Whether errors on this path are for programs."""
    return path.startswith(PROGRAM_PREFIXES)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into an answer of the right form. A bug is logged with its traceback and answered 500."""
    try:
        return await handler(request)
    except Problem as exc:
        return _answer(request, exc.status, exc.detail, exc.headers, exc.code)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        kept = {name: value for name, value in exc.headers.items() if not name.lower().startswith("content-")}
        return _answer(request, exc.status, _detail_of(exc), kept)
    except ConnectionError:
        raise  # the peer is gone, nobody is left to answer
    except Exception:  # noqa: BLE001  whatever a handler may do, the client gets an answer
        _log.exception("request failed: %s %s", request.method, request.path)
        if request.writer.output_size > 0:
            raise ConnectionResetError("the response has begun already") from None
        return _answer(request, 500, _plain_detail(500), {})


def read_bodies(timeout_s: float) -> Middleware:
    """A middleware that reads each body whole, in time, before its handler runs. Handlers then find it in memory.

    The size is bounded by the application's `client_max_size`; beyond it aiohttp answers 413.
    """

    @web.middleware
    def read_body(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        return read_first(request, handler) if request.can_read_body else handler(request)

    async def read_first(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(timeout_s):
                await request.read()
        except TimeoutError:
            raise Problem(408, f"the body was not complete after {timeout_s:g} s", headers=_CLOSE) from None
        return await handler(request)

    return read_body


_CLOSE = {"Connection": "close"}


def _answer(
    request: web.Request, status: int, detail: str, headers: dict[str, str], code: int | None = None
) -> web.Response:
    if is_program_path(request.path):
        return _problem(status, detail, headers, code)
    page = error_page(status, _title(status), detail)
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)


def _problem(status: int, detail: str, headers: dict[str, str], code: int | None) -> web.Response:
    members: dict[str, object] = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail}
    if code is not None:
        members["code"] = code
    return web.Response(status=status, text=json.dumps(members), content_type=PROBLEM_TYPE, headers=headers)


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


def _detail_of(exc: web.HTTPException) -> str:
    """The handler's own sentence, where it gave one; aiohttp's default only repeats the status."""
    own = exc.text if exc.text != f"{exc.status}: {exc.reason}" else None
    return own or _plain_detail(exc.status)


def _plain_detail(status: int) -> str:
    return _DETAILS.get(status, HTTPStatus(status).description or _title(status))


_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The body is larger than this server takes.",
    500: "The server made a mistake. Its log says more.",
}

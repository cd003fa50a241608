"""Refusals over HTTP: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from media.reasons import Reason

__all__ = ["problem"]


def problem(
    status: int, detail: str, *, reason: Reason | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`detail` is for people; `reason` adds its number for programs."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": reason.name if reason else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if reason is not None:
        members["code"] = reason.code
    return web.json_response(members, status=status, content_type="application/problem+json", headers=headers)

"""Refusals over HTTP: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from media.problem import PROBLEM_TYPE, problem_members
from media.reasons import Reason

__all__ = ["problem"]


def problem(
    status: int, detail: str, *, reason: Reason | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`detail` is for people; `reason` adds its number for programs."""
    members = problem_members(status, detail, reason)
    return web.json_response(members, status=status, content_type=PROBLEM_TYPE, headers=headers)

"""Refusals of WHIP over HTTP, as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from media.problem import PROBLEM_TYPE, problem_members
from media.reasons import Reason

__all__ = ["Refused"]


class Refused(Exception):
    """A request that is not granted. `detail` is for people, `reason` has a number for programs."""

    def __init__(
        self, status: int, detail: str, *, reason: Reason | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.headers = headers

    def response(self) -> web.Response:
        members = problem_members(self.status, self.detail, self.reason)
        return web.json_response(members, status=self.status, content_type=PROBLEM_TYPE, headers=self.headers)

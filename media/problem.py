"""What a refusal over HTTP tells programs: problem details (RFC 9457), whatever serves them."""

from __future__ import annotations

from http import HTTPStatus

from media.reasons import Reason

__all__ = ["PROBLEM_TYPE", "problem_members"]

PROBLEM_TYPE = "application/problem+json"
"""RFC 9457, 3."""


def problem_members(status: int, detail: str, reason: Reason | None = None) -> dict[str, object]:
    """`detail` is for people; `reason` adds its number for programs."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": reason.name if reason else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if reason is not None:
        members["code"] = reason.code
    return members

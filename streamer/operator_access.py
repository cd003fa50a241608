"""Who may use the API: the operator's key for everything, a room's stream key for looking at that room."""

from __future__ import annotations

import math

from aiohttp import web

from media.clock import Clock
from media.reasons import KEY_REFUSED
from streamer.access import Backoff
from streamer.http_errors import Problem
from streamer.keys import KeyStore

__all__ = ["OperatorAccess"]

CHALLENGE = 'Bearer realm="streamer"'
"""RFC 6750, 3."""


class OperatorAccess:
    """Checks Bearer keys. Wrong ones make an address wait, as those of publishers do, and on the same account."""

    def __init__(self, keys: KeyStore, backoff: Backoff, clock: Clock) -> None:
        self._keys = keys
        self._backoff = backoff
        self._clock = clock
        self.granted = 0
        self.refused = 0

    def check(self, request: web.Request, *, room: str | None = None) -> None:
        """Raise Problem unless the key is the operator's, or that of `room` where one is given."""
        try:
            self._check(request, room)
        except Problem:
            self.refused += 1
            raise
        self.granted += 1

    def _check(self, request: web.Request, room: str | None) -> None:
        address = request.remote or ""
        scheme, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise _unauthorized("This needs the operator's key: Authorization: Bearer KEY.", CHALLENGE)
        wait = self._backoff.wait_s(address, self._clock.now())
        if wait:
            retry = {"Retry-After": str(math.ceil(wait))}
            raise Problem(429, f"After wrong keys this address must wait {wait:.1f} s.", headers=retry)
        if self._is_allowed(secret.strip(), room):
            self._backoff.right(address)
            return
        if self._keys.is_any(secret.strip()):
            challenge = {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'}
            text = "A stream key only opens its own room's state."
            raise Problem(403, text, headers=challenge, code=KEY_REFUSED.code)
        self._backoff.wrong(address, self._clock.now())
        raise _unauthorized("The key is not valid.", f'{CHALLENGE}, error="invalid_token"')

    def _is_allowed(self, secret: str, room: str | None) -> bool:
        operator = self._keys.is_operator(secret)
        return (room is not None and self._keys.is_valid(room, secret)) or operator


def _unauthorized(text: str, challenge: str) -> Problem:
    return Problem(401, text, headers={"WWW-Authenticate": challenge}, code=KEY_REFUSED.code)

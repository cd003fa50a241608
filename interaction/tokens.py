"""Tokens: who somebody is in a room, signed.

    v1.PAYLOAD.SIGNATURE        both base64url without padding
    PAYLOAD    JSON: {"sub": sender, "room": room or "*", "role": role, "exp": Unix seconds, "name": to show, or absent}
    SIGNATURE  HMAC-SHA-256 of "v1.PAYLOAD" with a key of the configuration

Any back end can sign one; several keys are accepted, so that they can be changed without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interaction.body import IDENTIFIER
from interaction.kinds import Role
from interaction.refusal import TOKEN, Refused

__all__ = ["Identity", "Tokens", "anonymous"]

VERSION = "v1"
MAX_TOKEN = 1_024
"""Characters. A token holds five short fields."""
MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is. `sender` is the name under which everybody sees their events."""

    sender: str
    role: Role = Role.VIEWER
    name: str | None = None
    may_send: bool = True


def anonymous(*, may_send: bool) -> Identity:
    """A viewer without a token: a new sender for each connection."""
    return Identity(f"anon-{secrets.token_hex(5)}", may_send=may_send)


class Tokens:
    """Signs with the first key, accepts all of them."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = [key.encode() for key in keys if key] or [secrets.token_bytes(32)]

    def sign(self, identity: Identity, *, room: str, expires: float) -> str:
        """A token for `room` (or "*" for all rooms) that is valid until the Unix time `expires`."""
        claims: dict[str, Any] = {
            "sub": identity.sender,
            "room": room,
            "role": identity.role.name.lower(),
            "exp": int(expires),
        }
        if identity.name is not None:
            claims["name"] = identity.name
        head = f"{VERSION}.{_encode(json.dumps(claims, ensure_ascii=False).encode())}"
        return f"{head}.{_encode(_signature(self._keys[0], head))}"

    def verify(self, token: Any, *, room: str, wall: float) -> Identity:
        """Who the token says. Raises Refused; the token itself is never quoted."""
        claims = self._open(token)
        role = _role(claims.get("role"))
        sender, name, expires = claims.get("sub"), claims.get("name"), claims.get("exp")
        if claims.get("room") not in (room, "*"):
            raise Refused(TOKEN, "the token is for another room")
        if not isinstance(expires, int | float) or isinstance(expires, bool):
            raise Refused(TOKEN, "the token has no expiry")
        if expires <= wall:
            raise Refused(TOKEN, f"the token expired {wall - expires:.0f} s ago")
        if not isinstance(sender, str) or not IDENTIFIER.fullmatch(sender):
            raise Refused(TOKEN, "the token's sub is not 1 to 64 of A-Z a-z 0-9 . _ : -")
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()):
            raise Refused(TOKEN, f"the token's name is not 1 to {MAX_NAME} printable characters")
        return Identity(sender, role, name)

    def _open(self, token: Any) -> dict[str, Any]:
        if not isinstance(token, str) or len(token) > MAX_TOKEN or not token.isascii():
            raise Refused(TOKEN, f"the token is not text of at most {MAX_TOKEN} characters")
        head, _, signature = token.rpartition(".")
        version, _, payload = head.partition(".")
        if version != VERSION:
            raise Refused(TOKEN, f"the token is not of version {VERSION}")
        given = _decode(signature)
        if not any(hmac.compare_digest(given, _signature(key, head)) for key in self._keys):
            raise Refused(TOKEN, "the token's signature is wrong")
        try:
            claims = json.loads(_decode(payload))
        except (ValueError, RecursionError) as exc:
            raise Refused(TOKEN, "the token's payload is no JSON") from exc
        if not isinstance(claims, dict):
            raise Refused(TOKEN, "the token's payload is no JSON object")
        return claims


def _role(value: Any) -> Role:
    try:
        return Role[str(value).upper()]
    except KeyError as exc:
        raise Refused(TOKEN, "the token's role is none of viewer, moderator, host, backend") from exc


def _signature(key: bytes, head: str) -> bytes:
    return hmac.new(key, head.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as exc:
        raise Refused(TOKEN, "the token is not base64url") from exc

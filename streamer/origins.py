"""Which sites' pages may use this node: play, join rooms, load the SDK (Fetch standard, RFC 6454)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType
from urllib.parse import urlsplit

__all__ = ["ANY", "OriginList", "Origins", "parse_origin"]

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}

OriginList = NewType("OriginList", tuple[str, ...])
"""Origins as browsers write them, or `*` for every one."""


def parse_origin(text: str) -> str:
    """`SCHEME://HOST[:PORT]` as browsers write it, or `*`. Raises ValueError with a sentence."""
    text = text.strip()
    if text == ANY:
        return ANY
    parts = urlsplit(text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"needs origins such as https://shop.example or http://localhost:3000, and {text!r} is none")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    has_port = parts.port is not None and parts.port != DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}:{parts.port}" if has_port else f"{parts.scheme}://{host}"


@dataclass(frozen=True, slots=True)
class Origins:
    """The rule. The node's own pages may always; a request without an origin is no browser's page, and may too."""

    allowed: OriginList = OriginList((ANY,))

    def cors(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that let a page of another site read the answer; none where it may not.

        Never with credentials: nothing here lives in cookies, so a foreign page can abuse nothing that is not its own.
        """
        if ANY in self.allowed:
            return {"Access-Control-Allow-Origin": ANY}
        origin = headers.get("Origin")
        if origin in self.allowed:
            return {"Access-Control-Allow-Origin": str(origin), "Vary": "Origin"}
        return {"Vary": "Origin"}

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a page may open a WebSocket, which no CORS protects (RFC 6455, 10.2)."""
        origin = headers.get("Origin")
        if origin is None or ANY in self.allowed or origin in self.allowed:
            return True
        return urlsplit(origin).netloc == headers.get("Host")

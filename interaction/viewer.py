"""One connection to a room: a bound on what it may owe, commerce before ambient."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from interaction.framing import Framing
from interaction.tokens import Identity
from media.reasons import Reason

__all__ = ["Outlet", "Viewer"]

CLOSE_GRACE_S = 5.0
"""How long a closed connection may take to read its last bytes."""


class Outlet(Protocol):
    """What a viewer needs of an asyncio transport."""

    def write(self, data: bytes) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def is_closing(self) -> bool: ...

    def abort(self) -> None: ...


class Viewer:
    """A remote player's events connection. Writing never blocks: what does not fit is dropped or closes it."""

    __slots__ = ("address", "bad", "closed", "framing", "heard_at", "identity", "transport")

    def __init__(self, transport: Outlet, framing: Framing, identity: Identity, *, address: str, now: float) -> None:
        self.transport = transport
        self.framing = framing
        self.identity = identity
        self.address = address
        self.heard_at = now
        self.bad = 0
        self.closed: Reason | None = None

    def __repr__(self) -> str:
        return f"Viewer({self.identity.sender} {self.framing.name} owes {self.transport.get_write_buffer_size()})"

    def send(self, message: Mapping[str, Any]) -> None:
        """One message to this viewer alone."""
        if self.closed is None and not self.transport.is_closing():
            self.transport.write(self.framing.frame(message))

    def close(self, reason: Reason) -> None:
        """Say why, and go: when the peer has answered, or at the latest after 5 s. Idempotent."""
        if self.closed is not None:
            return
        self.closed = reason
        if self.transport.is_closing():
            return
        self.transport.write(self.framing.close(reason))
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.transport.abort)

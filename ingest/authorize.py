"""Who may publish: asked of the floor above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Authorize", "Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in words for the host's screen, and after how many seconds it is worth trying again (None: never)."""

    text: str
    retry_after: float | None = None


class Authorize(Protocol):
    def __call__(self, room: str, secret: str, address: str) -> Refusal | None:
        """May whoever holds `secret` publish to `room` from this IP address? None when they may."""

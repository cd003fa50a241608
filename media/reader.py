"""Who reads a stream inside the node."""

from __future__ import annotations

from typing import Protocol

from media.event import Event
from media.reasons import Reason
from media.unit import AccessUnit

__all__ = ["Reader"]


class Reader(Protocol):
    """Attached to a stream. Every method returns at once: none may block or wait."""

    def push(self, unit: AccessUnit) -> None:
        """The next unit of a track that this reader attached to, in decoding order."""

    def on_event(self, event: Event) -> None:
        """A commerce event of the stream, as early as it is known."""

    def end(self, reason: Reason) -> None:
        """The last call: the reader is detached already."""

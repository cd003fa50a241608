"""What a host's tools say to a room: events, and where its camera's pictures really are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from bench.children import ChildError
from bench.sync_figures import TICKS_PER_MS, Posted

__all__ = ["Poster"]

ANSWER_S = 10.0


class Poster:
    """Posts to one room as a host. ChildError for what the server refuses, or does not answer."""

    def __init__(self, session: ClientSession, base: str, room: str, token: str) -> None:
        self._session = session
        self._room = f"{base}/rooms/{room}"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def now(self, event_id: str) -> Posted:
        """In front of the camera at this instant."""
        sent = time.time()
        return await self._event(event_id, "now", "now", sent, sent)

    async def wall(self, event_id: str) -> Posted:
        """The same, but the sender names the instant, in whole milliseconds."""
        sent = time.time()
        wall_ms = round(1000 * sent)
        return await self._event(event_id, "wall", {"wall_ms": wall_ms}, sent, wall_ms / 1000)

    async def place(self, event_id: str, t: int) -> Posted:
        """At a place on the timeline, in ticks."""
        return await self._event(event_id, "t", {"t": t}, time.time(), None)

    async def mode(self, mode: str) -> None:
        """Set the room's rule of when events take effect: frame, wall, frame+hold."""
        await self.ask("events", {"kind": "sync", "body": {"mode": mode}})

    async def calibrate(self, samples: Sequence[tuple[float, float]]) -> tuple[int, int]:
        """From pairs of a capture's Unix second and its place in ms: the host's delay and its bound, in ms."""
        pairs = [{"wall_ms": round(1000 * wall), "t": round(t_ms * TICKS_PER_MS)} for wall, t_ms in samples]
        answer = await self.ask("host-delay", {"samples": pairs})
        return answer["host_delay_ms"], answer["bound_ms"]

    async def ask(self, path: str, message: dict[str, Any], *, method: str = "POST") -> dict[str, Any]:
        """The JSON answer of the room."""
        try:
            async with self._session.request(
                method,
                f"{self._room}/{path}",
                json=message,
                headers=self._headers,
                timeout=ClientTimeout(ANSWER_S),
            ) as response:
                answer: dict[str, Any] = await response.json()
        except (ClientError, TimeoutError) as exc:
            raise ChildError(f"{method} {path}: no answer: {exc}") from exc
        if response.status >= 300:
            raise ChildError(f"{method} {path}: {response.status} {answer}")
        return answer

    async def _event(self, event_id: str, how: str, at: object, sent: float, wall: float | None) -> Posted:
        body = {"product": event_id, "title": f"Product {event_id}"}
        answer = await self.ask("events", {"kind": "product.show", "id": event_id, "at": at, "body": body})
        if answer["t"] is None:
            raise ChildError(f"{event_id} has no place: the room has no broadcast")
        return Posted(event_id, how, sent, wall, answer["t"] / TICKS_PER_MS)

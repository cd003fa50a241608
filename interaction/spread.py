"""Telling a room's viewers: one buffer per transport and tick, written to each connection as it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from interaction.framing import Framing
from interaction.settings import RoomSettings
from interaction.viewer import Viewer
from media.reasons import IDLE, TOO_SLOW

__all__ = ["Spread", "tick_s"]

SLICE = 250
"""Viewers written to before others get the loop: about 3 ms, so that pictures are not held up."""
TICKS = ((500, 0.050), (2_000, 0.100))
"""Up to so many viewers, so long a tick. A write costs about 10 µs however much is in it, so a larger room gains most
from telling more at once."""
LONGEST_TICK_S = 0.200
SILENT_HEARTBEATS = 2.5


def tick_s(viewers: int, settings: RoomSettings) -> float:
    """How often `viewers` are written to."""
    if settings.tick_ms:
        return settings.tick_ms / 1000
    return next((seconds for most, seconds in TICKS if viewers <= most), LONGEST_TICK_S)


class Spread:
    """Writes to many viewers, and counts."""

    def __init__(self, settings: RoomSettings) -> None:
        self.deliveries = 0
        self.writes = 0
        self.bytes = 0
        self.dropped: Counter[str] = Counter()
        self._settings = settings

    async def events(
        self, viewers: Collection[Viewer], commerce: Mapping[str, Any], ambient: Mapping[str, Any]
    ) -> None:
        """One tick's events to all, in slices. A viewer that owes much gets commerce alone; one that owes more goes."""
        counts = (len(commerce["events"]), len(ambient["events"]))
        framed: dict[str, tuple[bytes, bytes]] = {}
        everybody = tuple(viewers)
        for start in range(0, len(everybody), SLICE):
            if start:
                await asyncio.sleep(0)
            self._slice(everybody[start : start + SLICE], commerce, ambient, framed, counts)

    async def heartbeat(self, viewers: Collection[Viewer], now: float) -> None:
        """Ping everybody, and close who has been silent for two and a half heartbeats."""
        silent_since = now - self._settings.heartbeat_s * SILENT_HEARTBEATS
        for number, viewer in enumerate(tuple(viewers)):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if viewer.framing.answers_pings and viewer.heard_at < silent_since:
                self.dropped["silent"] += 1
                viewer.close(IDLE)
            elif viewer.closed is None and not viewer.transport.is_closing():
                viewer.transport.write(viewer.framing.ping)

    def _slice(
        self,
        viewers: Collection[Viewer],
        commerce: Mapping[str, Any],
        ambient: Mapping[str, Any],
        framed: dict[str, tuple[bytes, bytes]],
        counts: tuple[int, int],
    ) -> None:
        settings = self._settings
        ambient_bound, commerce_bound = settings.ambient_backlog_bytes, settings.commerce_backlog_bytes
        both = sum(counts)
        for viewer in viewers:
            transport = viewer.transport
            if viewer.closed is not None or transport.is_closing():
                continue
            buffers = framed.get(viewer.framing.name)
            if buffers is None:
                buffers = framed[viewer.framing.name] = _buffers(viewer.framing, commerce, ambient)
            owed = transport.get_write_buffer_size()
            if owed <= ambient_bound:
                data, count = buffers[1], both
            elif owed <= commerce_bound:
                data, count = buffers[0], counts[0]
                self.dropped["slow"] += counts[1]
            else:
                self.dropped["too slow"] += 1
                viewer.close(TOO_SLOW)
                continue
            if data:
                transport.write(data)
                self.deliveries += count
                self.writes += 1
                self.bytes += len(data)


def _buffers(framing: Framing, commerce: Mapping[str, Any], ambient: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Commerce alone, and everything."""
    first = framing.frame(commerce) if commerce["events"] else b""
    return first, first + framing.frame(ambient) if ambient["events"] else first

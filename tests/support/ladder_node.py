"""A whole node with a ladder that needs no worker, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from media.rung import Rendition
from streamer.address import Address
from tests.support.ladder import FPS, Ladder, SourceFilm
from tests.support.whep_node import ROOM, LiveNode, config, whep_node

__all__ = ["LadderNode", "ladder_node"]


@dataclass
class LadderNode:
    live: LiveNode
    ladder: Ladder

    @property
    def base(self) -> str:
        return self.live.base

    async def steps(self, count: int) -> None:
        """Until the ladder has made so many more steps."""
        until = self.ladder.sent + count
        while self.ladder.sent < until:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def ladder_node(
    data: Path,
    film: SourceFilm,
    rungs: Sequence[Rendition],
    *,
    host: str = "127.0.0.1",
    lag: int = 2,
    grain: int = 8,
    sound: bool = True,
) -> AsyncIterator[LadderNode]:
    """Live until the block ends; the first second of it is there at once."""
    settings = config(data)
    where = Address(host, 0)
    settings = replace(
        settings, http=replace(settings.http, listen=where), webrtc=replace(settings.webrtc, listen=where)
    )
    async with whep_node(settings) as live:
        live.hub.on_open = lambda stream: None
        publisher = live.hub.claim(ROOM, peer="tester", on_displaced=lambda reason: None)
        ladder = Ladder(publisher, film, rungs, lag=lag, grain=grain, sound=sound)
        ladder.step(FPS + 5)
        task = asyncio.create_task(_play(ladder))
        try:
            yield LadderNode(live, ladder)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            publisher.release(clean=True)


async def _play(ladder: Ladder) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        ladder.step()
        due = max(due + 1 / FPS, loop.time())  # what a stall holds up comes later, and not all at once

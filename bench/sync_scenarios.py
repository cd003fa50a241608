"""What happens while events are posted: nothing, a host's blip, a background tab, a late joiner, another rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bench.figures import Spread
from bench.sync_figures import Firing, instants
from bench.sync_run import SyncRun

__all__ = ["SCENARIOS", "Scenario"]


class Scenario:
    """Nothing happens. `before` is called once the pages play, `at` before each event."""

    def __init__(self, run: SyncRun) -> None:
        self.run = run
        self._tasks: list[asyncio.Task[None]] = []

    async def before(self) -> None:
        return

    async def at(self, number: int) -> None:
        return

    async def end(self) -> None:
        """What goes on beside the events must be over, and may not have failed."""
        await asyncio.gather(*self._tasks)

    def found(self) -> dict[str, Any]:
        """What this scenario has to say beyond the figures of every run."""
        return {}

    def _begin(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _is_third(self, number: int) -> bool:
        """After a third of the events."""
        return number == self.run.options.events // 3


class Blip(Scenario):
    """The host is killed, and another one with a clock of its own is back within the resume window."""

    async def before(self) -> None:
        self.run.new_host()

    async def at(self, number: int) -> None:
        if self._is_third(number):
            self._begin(self._blip())

    async def _blip(self) -> None:
        first, second = self.run.hosts[0], self.run.hosts[1]
        first.kill()
        await asyncio.sleep(self.run.options.outage)
        await self.run.start(second)
        await self.run.wait_for(second)


class BackgroundTab(Scenario):
    """All windows go into the background and come back."""

    async def at(self, number: int) -> None:
        if self._is_third(number):
            self._begin(self._leave())

    async def _leave(self) -> None:
        for viewer in self.run.viewers:
            await viewer.window.hide()
        await asyncio.sleep(self.run.options.hidden)
        for viewer in self.run.viewers:
            await viewer.window.show()


class LateJoiner(Scenario):
    """A second viewer by each way joins in the middle, and nothing may come early to them."""

    async def at(self, number: int) -> None:
        if self._is_third(number):
            for via in self.run.options.via:
                await self.run.open_viewer(via, f"{via}, late")


class Wall(Scenario):
    """Everybody at one instant: what counts is how far apart the pages are."""

    async def before(self) -> None:
        await self.run.poster.mode("wall")

    def found(self) -> dict[str, Any]:
        pages: list[dict[str, Firing]] = [{f.id: f for f in viewer.firings} for viewer in self.run.viewers]
        return {"between_pages_ms": Spread.of(instants(pages))}


SCENARIOS: dict[str, Callable[[SyncRun], Scenario]] = {
    "plain": Scenario,
    "blip": Blip,
    "tab": BackgroundTab,
    "late": LateJoiner,
    "wall": Wall,
}

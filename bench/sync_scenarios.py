"""What happens while events are posted: nothing, a host's blip, a background tab, a late joiner, another rule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bench.children import ChildError
from bench.figures import Spread
from bench.sync_figures import Firing, instants
from bench.sync_run import SyncRun

__all__ = ["SCENARIOS", "Scenario"]

TOGETHER_MS = 50.0
"""A frame and a display refresh: what the pages of one room may be apart by wall clock."""
SALE, AMOUNT = "sync-sale", 1999
BOUGHT_S = 20.0
"""For `shop.hold_s`, and the way there and back."""
LOOK_S = 0.1
CLOCK_MS = 1.0
"""The page's clock and the store's are this machine's, in whole milliseconds."""
RENDITIONS = """async (address) => {
  const response = await fetch(address);
  if (!response.ok) return [];
  const answer = await response.json();
  return Array.isArray(answer) ? answer : answer.renditions;
}"""
"""What the server offers, whatever the SDK makes of it."""
PRESS = """([sale, token]) => {
  session.setToken(token);  // nobody buys without a name
  const pressed = (window.pressed = { shownMs: null, opensMs: null, boughtMs: null, tooEarly: 0, other: [] });
  session.onEvent("shop.sale", ({ body }) => {
    if (body.sale !== sale || pressed.shownMs !== null) return;
    pressed.shownMs = Date.now();
    pressed.opensMs = body.opens_ms;
    const press = async () => {
      const answer = await session.buy(sale);
      if (answer.ok) pressed.boughtMs = Date.now();
      else if (answer.refusal.code === 1011) pressed.tooEarly++;
      else pressed.other.push(answer.refusal.code);
      if (!answer.ok) setTimeout(press, 250);
    };
    void press();
  });
}"""
"""A viewer who presses four times a second from the moment they see the card."""


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
        """What this scenario has to say beyond the figures of every run; under "wrong" what may not be."""
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


class RungSwitch(Scenario):
    """Every page pins another rung, and goes back to the one that the server gives."""

    async def before(self) -> None:
        renditions = await self.run.viewers[0].ask(RENDITIONS, f"/live/{self.run.options.room}/renditions")
        rungs = [rung["name"] for rung in renditions if rung["name"] != "source"]
        if not rungs:
            raise ChildError("the scenario needs a ladder: this server makes no rung beside the source")
        self._rung = rungs[0]

    async def at(self, number: int) -> None:
        if self._is_third(number):
            await self._pin(self._rung)
        elif number == 2 * self.run.options.events // 3:
            await self._pin(None)

    async def _pin(self, rung: str | None) -> None:
        for viewer in self.run.viewers:
            await viewer.ask("(rung) => session.setRendition(rung)", rung)


class Wall(Scenario):
    """Everybody at one instant: what counts is how far apart the pages are."""

    async def before(self) -> None:
        await self.run.poster.mode("wall")

    def found(self) -> dict[str, Any]:
        pages: list[dict[str, Firing]] = [{f.id: f for f in viewer.firings} for viewer in self.run.viewers]
        between = Spread.of(instants(pages))
        wrong = []
        if between.count < len(self.run.posted):
            wrong.append(f"{len(self.run.posted) - between.count} events were not fired by wall clock on every page")
        if between.p99 is not None and between.p99 > TOGETHER_MS:
            wrong.append(f"pages are {between.p99:.0f} ms apart, allowed are {TOGETHER_MS:.0f}")
        return {"between_pages_ms": between, "wrong": wrong}


class Hold(Scenario):
    """A sale whose card comes at its frame and that opens for everybody at one instant; every page presses at once and
    goes on pressing.
    """

    def __init__(self, run: SyncRun) -> None:
        super().__init__(run)
        self._presses: list[dict[str, Any]] = []

    async def before(self) -> None:
        poster = self.run.poster
        await poster.mode("frame+hold")
        product = {"title": "Bench", "amount": AMOUNT, "currency": "CNY", "stock": 10, "listed": False}
        await poster.ask(f"shop/products/{SALE}", product, method="PUT")
        for viewer in self.run.viewers:
            await viewer.ask(PRESS, [SALE, self.run.site.token])

    async def at(self, number: int) -> None:
        if self._is_third(number):
            sale = {
                "product": SALE,
                "amount": AMOUNT,
                "total": 10,
                "limit": 10,
                "sync": "frame+hold",
                "duration_ms": 60_000,
            }
            await self.run.poster.ask(f"shop/sales/{SALE}", sale, method="PUT")

    async def end(self) -> None:
        deadline = time.monotonic() + BOUGHT_S
        while time.monotonic() < deadline:
            self._presses = [await viewer.ask("pressed") for viewer in self.run.viewers]
            if all(pressed["boughtMs"] is not None for pressed in self._presses):
                return
            await asyncio.sleep(LOOK_S)

    def found(self) -> dict[str, Any]:
        """From the opening to the first yes of each page, and how often they were told that it is too early."""
        yes = [p["boughtMs"] - p["opensMs"] for p in self._presses if p["boughtMs"] is not None]
        shown = [p["opensMs"] - p["shownMs"] for p in self._presses if p["shownMs"] is not None]
        wrong = [f"{len(self._presses) - len(yes)} pages could not buy"] if len(yes) < len(self._presses) else []
        wrong += [f"a page bought {-after:.0f} ms before the opening" for after in yes if after < -CLOCK_MS]
        wrong += ["a page was not refused before the opening" for p in self._presses if not p["tooEarly"]]
        return {"card_before_opening_ms": Spread.of(shown), "bought_after_opening_ms": Spread.of(yes), "wrong": wrong}


SCENARIOS: dict[str, Callable[[SyncRun], Scenario]] = {
    "plain": Scenario,
    "blip": Blip,
    "tab": BackgroundTab,
    "late": LateJoiner,
    "rung": RungSwitch,
    "wall": Wall,
    "hold": Hold,
}

"""One page of a sync run, and everything that it has recorded."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.children import ChildError
from bench.sync_browser import Window
from bench.sync_figures import Drawn, Firing
from bench.sync_script import START, WATCH_ARRIVALS

__all__ = ["PREFIX", "SyncViewer", "Target"]

PREFIX = "sync-"
LOOK_S = 0.1
PAGE_PATH = "/healthz"


class Target:
    """What to watch: the node's base URL, the room, and the rung (None: what the server gives)."""

    def __init__(self, base: str, room: str, *, rendition: str | None = None, every: int = 1) -> None:
        self.base = base
        self.room = room
        self.rendition = rendition
        self.every = every


class SyncViewer:
    """Plays by `via`. `firings` and `drawn` grow with each `collect`; `opened` is when its first picture was there."""

    def __init__(self, name: str, via: str, window: Window) -> None:
        self.name = name
        self.via = via
        self.window = window
        self.opened = 0.0
        self.firings: list[Firing] = []
        self.drawn: list[Drawn] = []
        self.reads: list[float] = []
        self.state: dict[str, Any] = {}
        self.complaints: list[str] = []

    async def open(self, target: Target, timeout: float) -> None:
        """Until a picture is displayed. ChildError when there is none in time."""
        page = self.window.page
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.add_init_script(WATCH_ARRIVALS.replace("PREFIX", PREFIX))
        # A page of the node itself, so that the browser treats it as one; what it says makes no difference.
        await page.goto(f"{target.base}{PAGE_PATH}")
        options = {"transport": self.via, "rendition": target.rendition}
        recording = {"prefix": PREFIX, "every": target.every}
        await self.ask(START, {"room": target.room, "options": options, "recording": recording})
        await self._wait_for_picture(timeout)

    async def ask(self, expression: str, argument: object = None) -> Any:
        """What the page answers. ChildError when it fails there."""
        from playwright.async_api import Error  # noqa: PLC0415 - a development dependency

        try:
            return await self.window.page.evaluate(expression, argument)
        except Error as exc:
            raise ChildError(f"{self.name}: {exc.message.splitlines()[0]}") from exc

    async def collect(self) -> None:
        """Take what the page has recorded since the last time."""
        taken = await self.ask("recorder.take()")
        self.firings += map(Firing.of, taken["events"])
        self.drawn += map(Drawn.of, taken["frames"])
        self.reads += taken["reads"]
        self.state = await self.ask("recorder.state()")

    async def _wait_for_picture(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not await self.ask("session.stats.frames"):
            if time.monotonic() > deadline:
                state = await self.ask("session.state")
                raise ChildError(f"{self.name}: no picture within {timeout:.0f} s; {state} {self.complaints}")
            await asyncio.sleep(LOOK_S)
        self.opened = time.time()

"""Chromium as its users have it: started by ourselves, and only then taken over, so that windows in the background are.

A browser that Playwright starts holds every page for visible and focused, and then a background tab cannot be shown.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

__all__ = ["NoBrowser", "Window", "WindowOpener", "chromium"]

START_S = 30.0
STOP_S = 10.0
LOOK_S = 0.05
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--remote-debugging-port=0",
)


class NoBrowser(OSError):
    """There is no browser to measure with. The sentence says what to install."""


class Window:
    """One page in a window of its own."""

    def __init__(self, page: Page, window: int) -> None:
        self.page = page
        self._window = window

    async def hide(self) -> None:
        """Into the background, as by another tab or the home button: no frames, and timers that tick once a second."""
        await self._set("minimized")

    async def show(self) -> None:
        await self._set("normal")

    async def close(self) -> None:
        await self.page.close()

    async def _set(self, state: str) -> None:
        session = await self.page.context.new_cdp_session(self.page)
        await session.send("Browser.setWindowBounds", {"windowId": self._window, "bounds": {"windowState": state}})
        await session.detach()


class WindowOpener:
    """Opens windows of one running browser. `version` is what it calls itself."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.version = browser.version

    async def open(self) -> Window:
        context = self._browser.contexts[0]
        session = await self._browser.new_browser_cdp_session()
        async with context.expect_page() as opened:
            await session.send("Target.createTarget", {"url": "about:blank", "newWindow": True})
        page = await opened.value
        inside = await context.new_cdp_session(page)
        window: dict[str, Any] = await inside.send("Browser.getWindowForTarget")
        await inside.detach()
        await session.detach()
        return Window(page, window["windowId"])


@asynccontextmanager
async def chromium(executable: str | None = None) -> AsyncIterator[WindowOpener]:
    """A browser with a profile of its own; the first of `NAMES` that is installed unless told. Raises NoBrowser."""
    try:
        from playwright.async_api import Error, async_playwright  # noqa: PLC0415 - a development dependency
    except ImportError as exc:
        raise NoBrowser("bench sync drives a browser with Playwright: pip install playwright") from exc
    path = executable or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise NoBrowser("bench sync needs Chromium: apt-get install chromium, or --chromium PATH")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = _start(path, profile)
        try:
            endpoint = await _endpoint(process, Path(profile))
            async with async_playwright() as playwright:
                try:
                    browser = await playwright.chromium.connect_over_cdp(endpoint, no_defaults=True)
                except Error as exc:
                    raise NoBrowser(f"{path} does not talk to us: {exc.message}") from exc
                yield WindowOpener(browser)
                await browser.close()
        finally:
            await asyncio.to_thread(_end, process)


def _start(path: str, profile: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([path, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL)


async def _endpoint(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Where it listens: it writes the port into its profile."""
    file, deadline = profile / "DevToolsActivePort", time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (lines := file.read_text().split()):
            return f"http://127.0.0.1:{lines[0]}"
        await asyncio.sleep(LOOK_S)
    raise NoBrowser(f"the browser did not start: exit code {process.poll()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

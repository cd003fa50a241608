"""A viewer of the watch page in Chromium: what they see, and what they press."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.support.eventually import eventually
from tests.support.node import RunningNode

__all__ = ["DESKTOP", "PHONE", "Watching", "watching"]

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
_EXPECTED = ("404",)
"""A node without a ladder has no list of rungs, and an early viewer no picture."""


class Watching:
    """One open page. `complaints` are what its console says is wrong."""

    def __init__(self, page: Page, node: RunningNode, room: str) -> None:
        self.page = page
        self.node = node
        self.room = room
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._hear(said.type, said.text))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and not any(word in text for word in _EXPECTED):
            self.complaints.append(text)

    def open(self, query: str = "", *, plays: bool = True) -> None:
        self.page.goto(self.node.url(f"/watch/{self.room}{query}"))
        if plays:
            self.plays()

    def plays(self) -> None:
        eventually(lambda: self.ask("streamer?.state.media.phase") == "playing", "a picture", within=30)
        eventually(lambda: self.ask("streamer.state.room.phase") in ("joined", "polling"), "the room", within=15)

    def ask(self, expression: str) -> Any:
        return self.page.evaluate(f"window.{expression}")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def until_text(self, selector: str, words: str, *, within: float = 10.0) -> None:
        """Fails with what is there instead."""
        shown = expect(self.page.locator(selector).first)
        shown.to_contain_text(words, use_inner_text=True, timeout=within * 1000)

    def until_shown(self, selector: str, *, within: float = 10.0) -> None:
        self.page.wait_for_selector(selector, state="visible", timeout=within * 1000)

    def until_gone(self, selector: str, *, within: float = 10.0) -> None:
        self.page.wait_for_selector(selector, state="hidden", timeout=within * 1000)

    def press(self, selector: str) -> None:
        self.page.locator(selector).first.click(timeout=10_000)

    def say(self, text: str) -> None:
        self.page.fill("#say", text)
        self.page.keyboard.press("Enter")

    def focused(self) -> str:
        """The id, else the classes, of what has the focus."""
        found: str = self.page.evaluate("document.activeElement.id || document.activeElement.className")
        return found


@contextmanager
def watching(browser: Browser, node: RunningNode, room: str, **context: Any) -> Iterator[Watching]:
    """A viewer with a browser profile of their own, who must have nothing to complain about."""
    profile = browser.new_context(**context)
    try:
        viewer = Watching(profile.new_page(), node, room)
        yield viewer
        assert viewer.complaints == [], viewer.complaints
    finally:
        profile.close()

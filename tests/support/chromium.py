"""How tests start Debian's Chromium, and how they wait for a page."""

from __future__ import annotations

from playwright.async_api import Page

from tests.support.eventually import soon

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)

STORAGE_OFF = """
Object.defineProperty(window, "sessionStorage", {get() { throw new DOMException("off", "SecurityError"); }});
"""
"""For a page's first script: what a page finds whose user lets sites keep nothing."""


async def until(page: Page, expression: str, within: float = 20.0) -> None:
    """Wait until it is true. Asked from outside: the page's policy forbids evaluating texts inside it."""
    await soon(lambda: page.evaluate(expression), expression, within=within)

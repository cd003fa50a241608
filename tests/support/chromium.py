"""How tests start Debian's Chromium."""

from __future__ import annotations

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

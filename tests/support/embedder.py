"""A page of another site that embeds rooms with the SDK: its web server, what its script hears, and a host's tool."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.support.eventually import eventually
from tests.support.node import RunningNode, streamer

__all__ = ["ROOM", "ask_room", "embedding_site", "enter", "heard", "plays", "room_token"]

ROOM = "shop"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Another site</title><link rel="icon" href="data:,"></head>
<body><video id="video" width="320" height="180" muted playsinline></video>
<script type="module">
  window.enter = async (origin, room, options = {}) => {
    const { connect } = await import(origin + "/web/sdk.js");
    const session = connect(room, { video: document.getElementById("video"), ...options, ...window.more });
    window.session = session;
    window.heard = { events: [], states: [], transports: [], notices: [], frames: [] };
    session.onEvent("*", (event, fired) => heard.events.push({ ...event, fired, wallMs: session.nowWallMs }));
    session.on("state", (state) => heard.states.push(state));
    session.on("transport", (transport) => heard.transports.push(transport));
    session.on("frame", ({ t }) => heard.frames.push(t));
    for (const name of ["reset", "hello", "buying", "announced", "refused", "sync"])
      session.on(name, (notice) => heard.notices.push({ name, notice }));
  };
</script></body></html>
"""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what went wrong."""


@contextmanager
def embedding_site() -> Iterator[str]:
    """Its origin, which is another one than the node's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@cache
def _token(folder: Path, role: str, sender: str) -> str:
    return streamer("token", ROOM, "--role", role, "--sender", sender, "--data", folder).strip()


def room_token(node: RunningNode, role: str, sender: str) -> str:
    """For ROOM on this node."""
    return _token(node.folder, role, sender)


def ask_room(node: RunningNode, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a host's tool asks of ROOM."""
    request = urllib.request.Request(node.url(f"/rooms/{ROOM}{path}"), json.dumps(body).encode(), method=method)
    request.add_header("Authorization", f"Bearer {room_token(node, 'host', 'host')}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def enter(page: Page, node: RunningNode, site: str, **options: Any) -> None:
    """Open the site's page, and ROOM in it: `window.session`, and what it tells in `window.heard`."""
    page.goto(site)
    page.wait_for_function("() => 'enter' in window")
    page.evaluate("([origin, room, options]) => enter(origin, room, options)", [node.url(""), ROOM, options])


def plays(page: Page, transport: str) -> None:
    """Wait for the picture and the room."""
    eventually(lambda: page.evaluate("session.state.media.phase") == "playing", "a picture", within=30)
    assert page.evaluate("session.transport") == transport
    eventually(lambda: page.evaluate("session.state.room.phase") in ("joined", "polling"), "the room")


def heard(page: Page, kind: str) -> list[dict[str, Any]]:
    """The events of this kind that have fired."""
    found: list[dict[str, Any]] = page.evaluate("kind => heard.events.filter(event => event.kind === kind)", kind)
    return found

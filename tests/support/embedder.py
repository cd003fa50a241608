"""A page of another site that embeds rooms with the SDK: a web server of its own, and what its script finds out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["embedding_site"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Another site</title><link rel="icon" href="data:,"></head>
<body><video id="video" width="320" height="180" muted playsinline></video>
<script type="module">
  window.enter = async (origin, room, options = {}) => {
    const { connect } = await import(origin + "/web/sdk.js");
    const session = connect(room, { video: document.getElementById("video"), ...options });
    window.session = session;
    window.heard = { events: [], states: [], transports: [], notices: [], frames: 0 };
    session.onEvent("*", (event, fired) => heard.events.push({ ...event, fired, nowT: session.nowT }));
    session.on("state", (state) => heard.states.push(state));
    session.on("transport", (transport) => heard.transports.push(transport));
    session.on("frame", () => heard.frames++);
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

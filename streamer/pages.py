"""The pages that the node writes itself: the list of live streams, and what people see when something is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

__all__ = ["STYLE_PATH", "StreamSummary", "error_page", "index_page"]

STYLE_PATH = "/pages.css"


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """One stream in a list. `state` is "live" or "waiting" (its publisher is gone, it may come back)."""

    room: str
    state: str
    video: str | None
    audio: str | None
    viewers: int


def index_page(streams: Iterable[StreamSummary]) -> str:
    """The page at `/`."""
    rows = "\n".join(map(_row, sorted(streams, key=lambda stream: stream.room)))
    if rows:
        return _page("Streamer", f"<h1>Live now</h1>\n<ul>\n{rows}\n</ul>")
    how = (
        "Publish by RTMP to <code>/live</code> with the stream key <code>ROOM?key=SECRET</code>, "
        "or from a camera at <code>/studio/ROOM</code>, and it appears here."
    )
    return _page("Streamer", f'<h1>Nobody is live</h1>\n<p class="quiet">{how}</p>')


def error_page(status: int, title: str, detail: str) -> str:
    """A page that says in plain words what is wrong."""
    home = f'<p class="quiet">{status} · <a href="/">All streams</a></p>'
    return _page(title, f"<h1>{escape(title)}</h1>\n<p>{escape(detail)}</p>\n{home}")


def _row(stream: StreamSummary) -> str:
    room = escape(stream.room)
    codecs = " + ".join(filter(None, (stream.video, stream.audio))) or "no media yet"
    viewers = "1 viewer" if stream.viewers == 1 else f"{stream.viewers} viewers"
    facts = escape(f"{stream.state} · {codecs} · {viewers}")
    return f'<li><a href="/watch/{quote(stream.room, safe="")}">{room}</a><span class="quiet">{facts}</span></li>'


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="{STYLE_PATH}">
<link rel="icon" href="data:,">
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

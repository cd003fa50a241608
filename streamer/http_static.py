"""The built pages: found once at start, served with the caching that their names allow."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from streamer.http_errors import Problem
from streamer.room_name import RoomNameError, check_room_name

__all__ = ["BUILT_PAGES", "BuiltPages"]

BUILT_PAGES = Path(__file__).parent / "web" / "dist"
"""Where `make web` puts them."""
HASHED = "public, max-age=31536000, immutable"
"""For assets: their names change with their content (RFC 8246)."""
FRESH = "no-cache"
"""For pages: kept, but asked about each time."""
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}


class BuiltPages:
    """Serves the files below `root`. Only files that were there at start exist, so no path leads outside."""

    def __init__(self, root: Path = BUILT_PAGES) -> None:
        self._files = {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}

    async def asset(self, request: web.Request) -> web.FileResponse:
        """`/web/assets/...`."""
        return self._file(f"assets/{request.match_info['name']}", HASHED)

    async def sdk(self, request: web.Request) -> web.FileResponse:
        """`/web/sdk.js`: an address that stays, for pages that import it. It names its hashed parts."""
        return self._file("sdk.js", FRESH)

    async def sdk_file(self, request: web.Request) -> web.FileResponse:
        """`/web/sdk/...`: its types, and the example."""
        return self._file(f"sdk/{request.match_info['name']}", FRESH)

    async def watch(self, request: web.Request) -> web.FileResponse:
        """`/watch/ROOM`."""
        return self._room_page(request, "watch.html")

    async def studio(self, request: web.Request) -> web.FileResponse:
        """`/studio/ROOM`."""
        return self._room_page(request, "studio.html")

    async def console(self, request: web.Request) -> web.FileResponse:
        """`/console`, for operators and hosts. The page itself holds no secret; what it shows needs a key."""
        return self.page("console.html")

    def page(self, name: str) -> web.FileResponse:
        """A page by its file name."""
        if name not in self._files:
            raise Problem(503, "The pages are not built. Run `make web`, then start the node again.")
        return self._file(name, FRESH)

    def _room_page(self, request: web.Request, name: str) -> web.FileResponse:
        try:
            check_room_name(request.match_info["room"])
        except RoomNameError as exc:
            raise Problem(404, f"{exc}.") from exc
        return self.page(name)

    def _file(self, name: str, caching: str) -> web.FileResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": caching, "Content-Type": _TYPES.get(file.suffix, "application/octet-stream")}
        return web.FileResponse(file, headers=headers)

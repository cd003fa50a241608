"""`/live/ROOM/renditions`: what a player's quality menu shows. For everybody, and cheap to ask for."""

from __future__ import annotations

from aiohttp import web

from media.hub import Hub
from media.reasons import NOT_FOUND
from media.rung import Rendition
from relay.problem import problem
from relay.renditions import AUTO, has_ladder, list_renditions

__all__ = ["RenditionList"]

RETRY_AFTER = 5
"""Seconds after which a player may ask again for a room that is not live."""
MAX_AGE = 1
"""Seconds that an answer may be kept: a thousand players behind a cache are one request."""


class RenditionList:
    """Answers GET with the renditions, best first, and what a player gets that asks for none."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def handle(self, request: web.Request) -> web.Response:
        room = request.match_info["room"]
        stream = self._hub.get(room)
        if stream is None:
            headers = {"Retry-After": str(RETRY_AFTER)}
            return problem(404, f"{room} is not live.", reason=NOT_FOUND, headers=headers)
        renditions = [_entry(rendition) for rendition in list_renditions(stream)]
        default = AUTO if has_ladder(stream) else next((entry["name"] for entry in renditions), None)
        headers = {"Cache-Control": f"public, max-age={MAX_AGE}"}
        return web.json_response({"default": default, "renditions": renditions}, headers=headers)


def _entry(rendition: Rendition) -> dict[str, object]:
    """`codec` is RFC 6381's, `bitrate` in bits a second; null where it is not known."""
    return {
        "name": rendition.name,
        "codec": rendition.codec_string,
        "width": rendition.width,
        "height": rendition.height,
        "frame_rate": None if rendition.frame_rate is None else round(rendition.frame_rate, 3),
        "bitrate": rendition.bitrate,
    }

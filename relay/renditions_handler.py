"""`GET /live/ROOM/renditions`: what a viewer may ask for, for the menus of players."""

from __future__ import annotations

from aiohttp import web

from media.hub import Hub
from media.reasons import NOT_FOUND
from media.rung import Rendition
from relay.problem import problem
from relay.renditions import list_renditions

__all__ = ["renditions_handler"]

RETRY_AFTER = 5
"""Seconds after which a player may ask again for a room that is not live."""


def renditions_handler(hub: Hub) -> web.RouteDef:
    """The route. 404 for a room that is not live, an empty list for sound alone."""

    async def answer(request: web.Request) -> web.Response:
        room = request.match_info["room"]
        stream = hub.get(room)
        if stream is None:
            headers = {"Retry-After": str(RETRY_AFTER)}
            return problem(404, f"{room} is not live.", reason=NOT_FOUND, headers=headers)
        listed = [_to_viewer(rendition) for rendition in list_renditions(stream)]
        return web.json_response(listed, headers={"Cache-Control": "no-store"})

    return web.get("/live/{room}/renditions", answer)


def _to_viewer(rendition: Rendition) -> dict[str, object]:
    """`codec` is RFC 6381's, `bitrate` in bits a second; null where it is not known."""
    return {
        "name": rendition.name,
        "codec": rendition.codec_string,
        "width": rendition.width,
        "height": rendition.height,
        "frame_rate": rendition.frame_rate,
        "bitrate": rendition.bitrate,
    }

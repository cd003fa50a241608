"""The menu of renditions, over HTTP."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from media.hub import Hub
from media.rung import Rendition
from media.track import Codec
from relay.rendition_list import RenditionList
from tests.support.units import FakeClock, picture

RUNG = Rendition("360p", Codec.H264, "avc1.42e01e", 640, 360, 30.0, None, is_made=False)


async def test_the_source_comes_first_and_then_the_rungs_that_may_be_asked_for() -> None:
    hub = Hub(FakeClock(), new_epoch=lambda: "epoch")
    app = web.Application()
    app.add_routes([web.get("/live/{room}/renditions", RenditionList(hub).handle)])
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/live/room/renditions")
        assert (answer.status, (await answer.json())["code"]) == (404, 4104)
        hub.claim("room", peer="tester", on_displaced=lambda reason: None).publish(picture(0, key=True))
        stream = hub.get("room")
        assert stream is not None
        stream.could_encode = lambda: (RUNG,)
        answer = await client.get("/live/room/renditions")
        answered = await answer.json()
        source, rung = answered["renditions"]
        assert answered["default"] == "auto"
        assert (source["name"], source["codec"], source["width"]) == ("source", "avc1.42c01f", 1280)
        assert rung == {
            "name": "360p",
            "codec": "avc1.42e01e",
            "width": 640,
            "height": 360,
            "frame_rate": 30.0,
            "bitrate": None,
        }

"""The smallest WHIP server: one endpoint for each POST, over HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.webrtc_endpoint import LoopbackEndpoint
from wire import whip
from wire.sdp import Acceptance, SessionDescription

Choose = Callable[[SessionDescription], dict[str, Acceptance]]


class WhipServer:
    """`url` is where to publish; `endpoint` takes the media, `deleted` is set when the publisher says it is over.

    A viewer that posts its offer is served the same way. `page` is an empty page of the same origin, for browsers.
    """

    def __init__(self, endpoint: LoopbackEndpoint, choose: Choose) -> None:
        self.endpoint = endpoint
        self.url = ""
        self.page = ""
        self.offer = ""
        self.answer: SessionDescription | None = None
        self.deleted = asyncio.Event()
        self._choose = choose

    async def publish(self, request: web.Request) -> web.Response:
        assert whip.is_content_type(request.headers.get("Content-Type"), whip.SDP_TYPE)
        self.offer = await request.text()
        text, self.answer = self.endpoint.answer(self.offer, self._choose)
        headers = {"Location": f"{self.url}/session", "ETag": whip.make_etag("session", 1)}
        return web.Response(status=201, text=text, content_type=whip.SDP_TYPE, headers=headers)

    async def empty_page(self, _: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>a page</title>", content_type="text/html")

    async def delete(self, _: web.Request) -> web.Response:
        self.deleted.set()
        return web.Response(status=200)


@asynccontextmanager
async def whip_server(endpoint: LoopbackEndpoint, choose: Choose) -> AsyncIterator[WhipServer]:
    server = WhipServer(endpoint, choose)
    app = web.Application()
    app.router.add_post("/whip", server.publish)
    app.router.add_get("/", server.empty_page)
    app.router.add_delete("/whip/session", server.delete)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.page = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        server.url = f"{server.page}whip"
        yield server
    finally:
        await runner.cleanup()

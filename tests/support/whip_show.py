"""A live show in one process whose hosts publish by WHIP: the real endpoint, ingest, relays and site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from ingest.authorize import Authorize, Refusal
from ingest.whip_handler import WhipIngest, WhipLimits
from media.clock import SystemClock
from media.hub import Hub, HubLimits
from relay.fanout import PacketFanOut
from relay.flv_handler import FlvLimits, FlvRelay
from relay.rtp_sender import FanOuts
from relay.whep_handler import WhepRelay
from streamer.address import Address
from streamer.config import HttpSettings
from streamer.http import HttpSite, Sources, build_app
from streamer.webrtc_endpoint import EndpointLimits, WebRtcEndpoint

__all__ = ["KEY", "WhipShow", "whip_show"]

KEY = "the-key-of-the-room"


class WhipShow:
    """The parts of a running show; `base` is http://host:port."""

    def __init__(self, hub: Hub, whip: WhipIngest, base: str) -> None:
        self.hub = hub
        self.whip = whip
        self.base = base

    @property
    def url(self) -> str:
        return f"{self.base}/whip/demo"


def with_key(room: str, secret: str, address: str) -> Refusal | None:
    """The room "locked" has to wait; every other takes the key."""
    if room == "locked":
        return Refusal("must wait 2.5 s after wrong keys", 2.5)
    return None if secret == KEY else Refusal("wrong key" if secret else "no key")


@asynccontextmanager
async def whip_show(
    *,
    authorize: Authorize = with_key,
    limits: WhipLimits | None = None,
    hub_limits: HubLimits | None = None,
    endpoint_limits: EndpointLimits | None = None,
) -> AsyncIterator[WhipShow]:
    """On free ports. Nobody publishes yet."""
    clock = SystemClock()
    hub = Hub(clock, new_epoch=lambda: f"e{time.monotonic_ns()}", limits=hub_limits or HubLimits(resume_window=5.0))
    endpoint = WebRtcEndpoint(clock.now, endpoint_limits)
    whip = WhipIngest(hub, endpoint, authorize, clock, limits)
    whep = WhepRelay(hub, endpoint, FanOuts(PacketFanOut(), PacketFanOut()), clock.now)
    flv = FlvRelay(hub, clock.now, FlvLimits(join_wait=10.0))
    settings = HttpSettings(shutdown_timeout_s=0.5)
    routes = [*whip.routes(), *whep.routes(), web.get("/live/{room}.flv", flv.handle)]
    async with HttpSite(build_app(settings, Sources(), routes=routes), settings) as site:
        await endpoint.listen("127.0.0.1", 0)
        bound = await site.listen(Address("127.0.0.1", 0))
        tasks = [asyncio.create_task(part.run()) for part in (whip, whep)]
        try:
            yield WhipShow(hub, whip, f"http://{bound}")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            whip.close()
            whep.close()
            hub.close()
            flv.close()
            endpoint.close()

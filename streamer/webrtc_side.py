"""WebRTC as the node sees it: the endpoint, publishers by WHIP, viewers by WHEP, joined with the configuration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from aiohttp import web

from ingest.authorize import Authorize
from ingest.whip_handler import WhipIngest, WhipLimits
from media.clock import Clock
from media.hub import Hub
from relay.fanout import PacketFanOut, choose_fan_out
from relay.report_inbox import open_inbox
from relay.rtp_sender import FanOuts
from relay.whep_handler import WhepLimits, WhepRelay
from streamer.address import Address
from streamer.config import WebRtcSettings
from streamer.http import ListenError
from streamer.observe import Sample
from streamer.webrtc_endpoint import EndpointLimits, WebRtcEndpoint
from streamer.webrtc_samples import webrtc_samples

__all__ = ["WebRtcSide"]

_log = logging.getLogger(__name__)


class WebRtcSide:
    """`listen`, `run`, then close `whep` and `whip`, then `close`. `knows` says which rooms there are."""

    def __init__(
        self,
        settings: WebRtcSettings,
        hub: Hub,
        clock: Clock,
        *,
        authorize: Authorize,
        knows: Callable[[str], bool],
    ) -> None:
        now = clock.now
        self.endpoint = WebRtcEndpoint(
            now, _endpoint_limits(settings), public_addresses=settings.public_addresses, inbox=open_inbox()
        )
        self._shared = choose_fan_out()
        _log.info("WebRTC packets are sent by: %s", self._shared.name)
        fan_outs = FanOuts(self._shared, PacketFanOut())
        self.whep = WhepRelay(hub, self.endpoint, fan_outs, now, _whep_limits(settings), room_exists=knows)
        self.whip = WhipIngest(hub, self.endpoint, authorize, clock, _whip_limits(settings))

    async def listen(self, address: Address) -> Address:
        """Raises ListenError."""
        try:
            return await self.endpoint.listen(address.host, address.port)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else None
            raise ListenError(f"cannot listen for WebRTC on {address}: {reason or exc}") from exc

    async def run(self) -> None:
        await asyncio.gather(self.endpoint.run(), self.whep.run(), self.whip.run())

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return chain(self.whep.routes(), self.whip.routes())

    def samples(self) -> Iterator[Sample]:
        refused, text = self._shared.refused, "Segmented sends (GSO) that were refused for one viewer"
        yield Sample("streamer_webrtc_segmentation_refused_total", "counter", text, refused)
        yield from webrtc_samples(self.endpoint, self.whep, self.whip)

    def set_settings(self, settings: WebRtcSettings) -> None:
        """Other limits from now on."""
        self.endpoint.limits = _endpoint_limits(settings)
        self.whep.limits = _whep_limits(settings)
        self.whip.limits = _whip_limits(settings)

    def close(self) -> None:
        """After viewers and publishers were told goodbye."""
        self.endpoint.close()


def _endpoint_limits(settings: WebRtcSettings) -> EndpointLimits:
    return EndpointLimits(
        max_peers=settings.max_viewers + settings.max_publishers,
        max_half_open=settings.max_half_open,
        max_half_open_per_client=settings.max_half_open_per_address,
        max_tcp_connections=settings.max_tcp_connections,
    )


def _whep_limits(settings: WebRtcSettings) -> WhepLimits:
    return WhepLimits(join_wait=settings.join_wait_s, max_viewers=settings.max_viewers)


def _whip_limits(settings: WebRtcSettings) -> WhipLimits:
    return WhipLimits(max_publishers=settings.max_publishers, idle=settings.publisher_timeout_s)

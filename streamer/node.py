"""The node: builds every part from the configuration, joins them, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from aiohttp import web

from ingest.authorize import Refusal
from ingest.rtmp_server import RtmpIngest
from ingest.rtmp_session import SessionLimits
from ingest.transcode_limits import TranscodeLimits
from ingest.transcoding import Transcoding
from ingest.worker_process import WORKER_COMMAND
from interaction.kinds import Role
from interaction.layer import InteractionLayer
from interaction.settings import ShopSettings
from interaction.tokens import Identity
from media.clock import SystemClock
from media.gop import GopLimits
from media.hub import Hub, HubLimits
from media.publisher import Publisher
from media.rung import Rung
from relay.flv_handler import FlvLimits, FlvRelay
from relay.flv_viewer import ViewerLimits
from relay.recorder import Recorder
from relay.rendition_list import RenditionList
from streamer.access import Access
from streamer.address import Address
from streamer.api import Api
from streamer.api_views import ApiViews
from streamer.config import Config
from streamer.demo import DemoHost, demo_show, demo_url
from streamer.event_layer import HubTimelines, event_samples, with_token_key
from streamer.health_board import HealthBoard
from streamer.http import HttpSite, ListenError, Sources, build_app
from streamer.keys import KeyStore, new_secret
from streamer.logs import set_up_logs
from streamer.media_samples import MediaSamples
from streamer.observe import LoopLag, Metrics, Sample, process_samples
from streamer.operator_access import OperatorAccess
from streamer.pages import StreamSummary
from streamer.recordings import Recordings
from streamer.reload import plan_reload
from streamer.tls import TlsError, TlsFiles
from streamer.transcode_samples import transcode_samples
from streamer.usable_rungs import usable_rungs
from streamer.viewer_counts import ViewerCounts
from streamer.webrtc_side import WebRtcSide
from wire.rtmp import RtmpLimits

__all__ = ["Bound", "Node"]

KEYS_FILE = "keys.json"
RECORDINGS_FOLDER = "recordings"
EPOCH_BYTES = 6
"""48 random bits: two broadcasts of a room never share an epoch, and it stays short in every tag and answer."""
DEMO_TOKEN_S = 365 * 86_400.0
"""The demo's show outlives no node, and gets no second token."""
EXPIRE_INTERVAL_S = 1.0
"""How often streams whose publisher did not come back are looked for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the node listens, with the ports that port 0 became. None: not at all."""

    http: Address
    https: Address | None = None
    rtmp: Address | None = None
    rtmps: Address | None = None
    udp: Address | None = None

    def lines(self) -> Iterator[str]:
        """One line per address, for people."""
        for scheme in ("http", "https", "rtmp", "rtmps", "udp"):
            address = getattr(self, scheme)
            if address and scheme == "udp":
                yield f"udp    {address} (and TCP)"
            elif address:
                yield f"{scheme:<6} {scheme}://{address}{'/live' if scheme.startswith('rtmp') else '/'}"


class Node:
    """One node. `run()` is its whole life, and the floors below are joined here."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.keys = KeyStore(config.data.dir / KEYS_FILE)
        self.access = Access(config.access, self.keys)
        self.metrics = Metrics()
        self.loop_lag = LoopLag()
        self.clock = SystemClock()
        self.hub = Hub(self.clock, new_epoch=lambda: secrets.token_hex(EPOCH_BYTES), limits=_hub_limits(config))
        self.flv = FlvRelay(self.hub, self.clock.now, _flv_limits(config))
        self.rtmp = RtmpIngest(
            self.hub,
            self._authorize,
            limits=_session_limits(config),
            max_connections=config.rtmp.max_connections,
            max_per_address=config.rtmp.max_connections_per_address,
        )
        self._ladder = config.ladder
        self._rungs: dict[tuple[Rung, ...], tuple[Rung, ...]] = {}
        self._is_reloaded = asyncio.Event()
        command = (*WORKER_COMMAND, str(config.transcode.max_pixels))
        self.transcoding = Transcoding(_transcode_limits(config), command, rungs_of=self._rungs_of)
        self.hub.on_open = self.transcoding.watch
        self.webrtc = WebRtcSide(config.webrtc, self.hub, self.clock, authorize=self._authorize, knows=self._knows)
        self.transcoding.viewers_of = ViewerCounts(self._places, self.clock.now)
        self.health = HealthBoard(self.hub, self.clock, self.transcoding.findings)
        self.recordings = Recordings(self.hub, Recorder(config.data.dir / RECORDINGS_FOLDER), config.record.rooms)
        self.events = InteractionLayer(
            config.redis,
            with_token_key(config.rooms, config.data.dir),
            data=config.data.dir,
            clock=self.clock,
            timelines=HubTimelines(self.hub),
            knows=self._knows,
            shop=_shop_of(config),
        )
        self.operators = OperatorAccess(self.keys, self.access.backoff, self.clock)
        self.hub.on_claim = self._on_claim
        self.reloads = 0
        self._site: HttpSite | None = None
        self._tls: TlsFiles | None = None
        self._started_at = time.time()
        self._stopping = False

    async def run(self, stop: asyncio.Event, *, on_bound: Callable[[Bound], None] | None = None) -> None:
        """Serve until `stop` is set. Raises KeyFileError, TlsError or ListenError before anything is served."""
        self.keys.load()
        tls = self._tls = TlsFiles.from_settings(self.config.tls)
        self._rungs = await usable_rungs(self._ladder)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.recordings.recorder.close)
            stack.push_async_callback(self.transcoding.wait_closed)
            bound = await self._open(stack, tls)
            self._warn_if_open()
            if on_bound:
                on_bound(bound)
            async with asyncio.TaskGroup() as group:
                parts = (self.loop_lag.run(), self.rtmp.run(), self._expire(), self.events.run(), self.webrtc.run())
                tasks = [group.create_task(part) for part in (*parts, self._take_up_ladders())]
                if self.config.demo.enabled and bound.rtmp:
                    tasks.append(group.create_task(self._demo_host(bound.rtmp, bound.http).run()))
                if tls:
                    tasks.append(group.create_task(tls.watch()))
                await stop.wait()
                await self._give_grace()
                self._stop()
                for task in tasks:
                    task.cancel()
            await self._see_viewers_off()
        _log.info("closed: stopped")

    def reload(self, wanted: Config) -> None:
        """Take up what may change while the node runs; name what may not. Certificates are looked at too."""
        plan = plan_reload(self.config, wanted)
        was_open = self.config.access.open
        self.config = plan.config
        self.reloads += 1
        if any(name.startswith("log.") for name in plan.applied):
            set_up_logs(self.config.log)
        self._apply()
        self._reload_certificate()
        _log.info("reloaded: %s", ", ".join(plan.applied) or "no setting has changed")
        if plan.waiting:
            _log.warning("these changes need a restart: %s", ", ".join(plan.waiting))
        if not was_open:
            self._warn_if_open()

    async def _open(self, stack: AsyncExitStack, tls: TlsFiles | None) -> Bound:
        """Open all listeners. What is entered on `stack` first is closed last."""
        settings = self.config.http
        sources = Sources(metrics=self.metrics, streams=self._summaries, ready=lambda: not self._stopping)
        app = build_app(settings, sources, routes=self._routes())
        site = self._site = await stack.enter_async_context(HttpSite(app, settings))
        for source in (self._samples, process_samples, self.loop_lag.samples, site.guard.samples):
            self.metrics.add_source(source)
        samples = MediaSamples(self.hub, self.rtmp, self.flv, self.health, self.recordings)
        self.metrics.add_source(samples.samples)
        self.metrics.add_source(lambda: event_samples(self.events))
        self.metrics.add_source(lambda: transcode_samples(self.transcoding))
        self.metrics.add_source(self.webrtc.samples)
        stack.callback(self.webrtc.close)
        stack.callback(self.rtmp.close)
        rtmp = self.config.rtmp
        return Bound(
            http=await site.listen(settings.listen),
            https=await site.listen(settings.tls_listen, tls=tls.context) if tls else None,
            rtmp=await self._listen_rtmp(rtmp.listen),
            rtmps=await self._listen_rtmp(rtmp.tls_listen, tls.context) if tls else None,
            udp=await self.webrtc.listen(self.config.webrtc.listen),
        )

    async def _listen_rtmp(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        try:
            bound = await self.rtmp.listen(address.host, address.port, tls)
        except OSError as exc:
            raise ListenError(f"cannot listen on {address}: {exc.strerror or exc}") from exc
        return Address(address.host, bound[0][1])

    def _apply(self) -> None:
        """Hand the present configuration to the parts that can change."""
        config = self.config
        self.access.set_settings(config.access)
        self.hub.limits = _hub_limits(config)
        self.flv.set_limits(_flv_limits(config))
        self.rtmp.set_limits(
            _session_limits(config),
            max_connections=config.rtmp.max_connections,
            max_per_address=config.rtmp.max_connections_per_address,
        )
        self._is_reloaded.set()
        self.transcoding.limits = _transcode_limits(config)
        self.webrtc.set_settings(config.webrtc)
        self.recordings.set_patterns(config.record.rooms)
        if self._site:
            self._site.guard.settings = config.http

    def _reload_certificate(self) -> None:
        if self._tls is None:
            return
        try:
            if self._tls.reload_if_changed():
                _log.info("took up the changed certificate %s", self._tls.cert)
        except TlsError as exc:
            _log.error("%s; the certificate read before stays in use", exc)

    def _warn_if_open(self) -> None:
        if self.config.access.open:
            _log.warning("OPEN: anyone may publish to any room without a key (access.open)")

    async def _give_grace(self) -> None:
        """Take nobody new, and give those who watch the configured time."""
        self._stopping = True
        self.flv.drain()
        self.webrtc.whep.drain()
        self.hub.drain()
        grace = self.config.drain.grace_s
        viewers = self.flv.viewer_count + self.webrtc.whep.viewer_count
        if not grace or not viewers:
            return
        _log.info("draining: %d viewers have %g s", viewers, grace)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.flv.drained()
                await self.webrtc.whep.drained()

    def _stop(self) -> None:
        """Tell everyone goodbye; the listeners close when the stack does."""
        self.flv.close()
        self.webrtc.whep.close()
        self.webrtc.whip.close()
        self.rtmp.close()
        self.hub.close()
        self.transcoding.close()

    async def _see_viewers_off(self) -> None:
        """Viewers take their leave first: aiohttp does not hear what its peers answer once it closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.http.shutdown_timeout_s):
                await self.flv.drained()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_INTERVAL_S)
            self.hub.expire()
            self.health.prune()

    async def _take_up_ladders(self) -> None:
        """A changed one, when its encoders have been tried; broadcasts that begin before that have the old one."""
        while True:
            await self._is_reloaded.wait()
            self._is_reloaded.clear()
            ladder = self.config.ladder
            if ladder == self._ladder:
                continue
            try:
                rungs = await usable_rungs(ladder)
            except OSError as exc:
                _log.error("the changed ladder is not taken up, its encoders cannot be tried: %s", exc)
            else:
                self._ladder, self._rungs = ladder, rungs
                _log.info("the changed ladder counts for broadcasts that begin from now on")

    def _on_claim(self, publisher: Publisher) -> None:
        self.health.watch(publisher)
        self.recordings.consider(publisher.stream)

    def _authorize(self, room: str, secret: str, address: str) -> Refusal | None:
        decision = self.access.authorize_publish(room, secret, address, self.clock.now())
        return None if decision.allowed else Refusal(decision.detail, decision.retry_after_s or None)

    def _routes(self) -> Iterable[web.AbstractRouteDef]:
        """The routes of the floors below."""
        whep = self.webrtc.whep
        views = ApiViews(self.hub, self.flv, whep, health=self.health, recordings=self.recordings, clock=self.clock)
        api = Api(self.hub, self.flv, whep, views=views, access=self.operators)
        return (
            web.get("/live/{room}.flv", self.flv.handle),
            web.get("/live/{room}/renditions", RenditionList(self.hub).handle),
            *self.webrtc.routes(),
            *self.events.gateway.routes(),
            *api.routes(),
        )

    def _rungs_of(self, room: str) -> tuple[Rung, ...]:
        """Of a broadcast that begins: what was found to work."""
        rungs = self._ladder.for_room(room)
        return self._rungs.get(rungs, rungs)

    def _places(self) -> Iterator[tuple[str, str]]:
        """The room and the rendition of everyone who watches."""
        yield from ((room, rendition) for room, rendition, _ in self.flv.viewers())
        for session in self.webrtc.whep.sessions():
            yield from ((session.stream.key, rendition) for rendition in session.renditions)

    def _knows(self, room: str) -> bool:
        """A room is one that is live, has a key, or, where anyone may publish, any."""
        return self.config.access.open or self.hub.get(room) is not None or self.keys.has(room)

    def _summaries(self) -> Iterable[StreamSummary]:
        """The streams, for the index page."""
        viewers = Counter(room for room, _, _ in self.flv.viewers())
        viewers.update(session.stream.key for session in self.webrtc.whep.sessions())
        for stream in self.hub.streams:
            video, audio = stream.source_video, stream.source_audio
            yield StreamSummary(
                stream.key,
                stream.state,
                video.codec if video else None,
                audio.codec if audio else None,
                viewers[stream.key],
            )

    def _demo_host(self, rtmp: Address, http: Address) -> DemoHost:
        """It gets a key of its own that lives as long as this process, and its show a token."""
        room, secret = self.config.demo.room, new_secret()
        self.keys.grant(room, secret)
        backend = Identity("demo-audience", Role.BACKEND)
        token = self.events.tokens.sign(backend, room=room, expires=time.time() + DEMO_TOKEN_S)
        return DemoHost(demo_url(rtmp, room, secret), log=self.config.log, show=demo_show(http, room, token))

    def _samples(self) -> Iterator[Sample]:
        yield Sample("process_start_time_seconds", "gauge", "Start time, Unix seconds", self._started_at)
        for answer, count in (("granted", self.access.granted), ("refused", self.access.refused)):
            yield Sample(
                "streamer_publish_decisions_total", "counter", "Publishers by decision", count, {"decision": answer}
            )
        for answer, count in (("granted", self.operators.granted), ("refused", self.operators.refused)):
            yield Sample(
                "streamer_api_decisions_total", "counter", "API requests by decision", count, {"decision": answer}
            )
        yield Sample("streamer_config_reloads_total", "counter", "Configurations taken up by SIGHUP", self.reloads)
        yield Sample("streamer_ready", "gauge", "1 while new viewers are welcome", not self._stopping)


def _hub_limits(config: Config) -> HubLimits:
    stream = config.stream
    gop = GopLimits(seconds=stream.max_gop_s, size=stream.max_gop_bytes)
    return HubLimits(resume_window=stream.resume_window_s, max_streams=stream.max_streams, gop=gop)


def _shop_of(config: Config) -> ShopSettings:
    """Whoever opens the demo's page may buy, without a back end that signs tokens."""
    return replace(config.shop, anonymous=True) if config.demo.enabled else config.shop


def _flv_limits(config: Config) -> FlvLimits:
    flv = config.flv
    viewer = ViewerLimits(backlog=flv.backlog_ms, stalled=flv.stalled_timeout_s)
    return FlvLimits(join_wait=flv.join_wait_s, merge_ms=flv.merge_ms, max_viewers=flv.max_viewers, viewer=viewer)


def _transcode_limits(config: Config) -> TranscodeLimits:
    transcode = config.transcode
    return TranscodeLimits(transcode.linger_s, transcode.max_workers, transcode.max_rungs)


def _session_limits(config: Config) -> SessionLimits:
    rtmp = config.rtmp
    wire = RtmpLimits(video_size=rtmp.max_message_bytes)
    return SessionLimits(handshake=rtmp.handshake_timeout_s, idle=rtmp.idle_timeout_s, rtmp=wire)

"""The node: builds every part from the configuration, joins them, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from streamer.access import Access
from streamer.address import Address
from streamer.config import Config
from streamer.demo import DemoHost, demo_url
from streamer.http import HttpSite, Sources, build_app
from streamer.keys import KeyStore, new_secret
from streamer.observe import LoopLag, Metrics, Sample, process_samples
from streamer.pages import StreamSummary
from streamer.tls import TlsFiles

__all__ = ["Bound", "Node"]

KEYS_FILE = "keys.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the node listens, with the ports that port 0 became. None: not at all."""

    http: Address
    https: Address | None = None
    rtmp: Address | None = None
    rtmps: Address | None = None

    def lines(self) -> Iterator[str]:
        """One line per address, for people."""
        for scheme in ("http", "https", "rtmp", "rtmps"):
            address = getattr(self, scheme)
            if address:
                yield f"{scheme:<6} {scheme}://{address}{'/live' if scheme.startswith('rtmp') else '/'}"


class Node:
    """One node. `run()` is its whole life.

    The floors below are joined here: `_open` makes the hub and opens the RTMP listeners (their addresses go into
    `Bound`), `_routes` names the FLV handlers, `_summaries` lists the hub's streams, `_samples` reads its counters.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.keys = KeyStore(config.data.dir / KEYS_FILE)
        self.access = Access(config.access, self.keys)
        self.metrics = Metrics()
        self.loop_lag = LoopLag()
        self._started_at = time.time()
        self._stopping = False

    async def run(self, stop: asyncio.Event, *, on_bound: Callable[[Bound], None] | None = None) -> None:
        """Serve until `stop` is set. Raises KeyFileError, TlsError or ListenError before anything is served."""
        self.keys.load()
        tls = TlsFiles.from_settings(self.config.tls)
        async with AsyncExitStack() as stack:
            bound = await self._open(stack, tls)
            if self.config.access.open:
                _log.warning("OPEN: anyone may publish to any room without a key (access.open)")
            if on_bound:
                on_bound(bound)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.loop_lag.run())]
                if self.config.demo.enabled and bound.rtmp:
                    tasks.append(group.create_task(self._demo_host(bound.rtmp).run()))
                if tls:
                    tasks.append(group.create_task(tls.watch()))
                await stop.wait()
                self._stopping = True
                for task in tasks:
                    task.cancel()
        _log.info("closed: stopped")

    async def _open(self, stack: AsyncExitStack, tls: TlsFiles | None) -> Bound:
        """Open all listeners. What is entered on `stack` first is closed last."""
        settings = self.config.http
        sources = Sources(metrics=self.metrics, streams=self._summaries, ready=lambda: not self._stopping)
        app = build_app(settings, sources, routes=self._routes())
        site = await stack.enter_async_context(HttpSite(app, settings))
        for source in (self._samples, process_samples, self.loop_lag.samples, site.guard.samples):
            self.metrics.add_source(source)
        return Bound(
            http=await site.listen(settings.listen),
            https=await site.listen(settings.tls_listen, tls=tls.context) if tls else None,
        )

    def _routes(self) -> Iterable[web.AbstractRouteDef]:
        """The routes of the floors below."""
        return ()

    def _summaries(self) -> Iterable[StreamSummary]:
        """The live streams, for the index page and the API."""
        return ()

    def _demo_host(self, rtmp: Address) -> DemoHost:
        """It gets a key of its own that lives as long as this process."""
        secret = new_secret()
        self.keys.grant(self.config.demo.room, secret)
        return DemoHost(demo_url(rtmp, self.config.demo.room, secret))

    def _samples(self) -> Iterator[Sample]:
        yield Sample("process_start_time_seconds", "gauge", "Start time, Unix seconds", self._started_at)
        for answer, count in (("granted", self.access.granted), ("refused", self.access.refused)):
            yield Sample(
                "streamer_publish_decisions_total", "counter", "Publishers by decision", count, {"decision": answer}
            )

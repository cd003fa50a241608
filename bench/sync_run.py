"""A sync run: a host, a browser that plays its room in several ways at once, and events at random moments."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from aiohttp import ClientSession

from bench.children import ChildError
from bench.demo_host import DemoOptions
from bench.network import lossy_network
from bench.sync_browser import WindowOpener, chromium
from bench.sync_figures import TICKS_PER_MS, Posted
from bench.sync_host import Captures, SyncHost
from bench.sync_node import OwnNode
from bench.sync_post import Poster
from bench.sync_probe import SyncProbe
from bench.sync_viewer import PREFIX, SyncViewer, Target

__all__ = ["SyncOptions", "SyncRun", "open_run"]

PICTURE_S = 30.0
"""For a first picture on a busy machine."""
HOST_FRAMES = 30
LAST_S = 20.0
"""After the last event, for the slowest page to reach it."""
CALIBRATION_FRAMES = 900
"""Half a minute, over which a server looks for the smallest delay too."""
SAMPLES = 90
PUNCTUAL_S = 0.003
"""A capture that is later than the others by more than this was held up by the machine."""
AHEAD_MS = (300, 1500)
"""An event at an explicit `t` is posted so long before the newest frame gets there."""
COLLECT_S = 1.0
JOIN_S = 1.0
"""A page that has just shown its first picture may not have the room's answer yet."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """`url` is a node's http://HOST:PORT; None starts one, with `flags`, behind `loss` per cent of lost packets. To a
    node that was given, the host publishes at `publish`, and `token` may post events.

    `gap` is the range of seconds between events. `duration` is how long the run is to be: events then come evenly
    spread. Of every `every`-th frame the bar code is read. `outage` and `hidden` are seconds, of the scenarios.
    """

    url: str | None = None
    publish: str | None = None
    token: str | None = None
    room: str = "sync"
    ingest: str = "rtmp"
    via: tuple[str, ...] = ("webrtc", "ws")
    scenario: str = "plain"
    events: int = 60
    gap: tuple[float, float] = (0.3, 1.3)
    duration: float | None = None
    seed: int = 1
    settle: float = 6.0
    every: int = 1
    loss: float = 0.0
    outage: float = 3.0
    hidden: float = 5.0
    width: int = 640
    height: int = 360
    fps: int = 30
    bitrate: int = 800_000
    keyint: float = 1.0
    rendition: str | None = None
    chromium: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything is."""

    base: str
    publish: str
    token: str


class SyncRun:
    """The parts of a run. Scenarios change them while events are posted."""

    def __init__(self, options: SyncOptions, site: Site, folder: Path, session: ClientSession) -> None:
        self.options = options
        self.site = site
        self.random = random.Random(options.seed)
        self.poster = Poster(session, site.base, options.room, site.token)
        self.probe = SyncProbe(f"{site.base}/live/{options.room}.flv")
        self.hosts: list[SyncHost] = []
        self.viewers: list[SyncViewer] = []
        self.posted: list[Posted] = []
        self.host_delay: tuple[int, int] | None = None
        self.measured_from = time.time()
        self.opener: WindowOpener | None = None
        self._folder = folder

    def new_host(self) -> SyncHost:
        """Loaded, and not yet publishing. Each has the next number, and so a clock of its own."""
        o = self.options
        demo = DemoOptions(
            url=self.site.publish,
            width=o.width,
            height=o.height,
            fps=Fraction(o.fps),
            bitrate=o.bitrate,
            keyint=o.keyint,
            number=len(self.hosts) + 1,
        )
        self.hosts.append(SyncHost(demo, self._folder))
        return self.hosts[-1]

    async def start(self, host: SyncHost) -> None:
        """Publish. ChildError when nothing reaches the probe."""
        await asyncio.to_thread(host.go)

    async def wait_for(self, host: SyncHost) -> None:
        if not await asyncio.to_thread(self.probe.wait_for, host.number, HOST_FRAMES, PICTURE_S):
            raise ChildError(f"no picture of host {host.number} came within {PICTURE_S:.0f} s: {self.probe.ended}")

    async def open_viewer(self, via: str, name: str | None = None) -> SyncViewer:
        """One more page. ChildError when it shows no picture."""
        assert self.opener is not None
        viewer = SyncViewer(name or via, via, await self.opener.open())
        target = Target(self.site.base, self.options.room, rendition=self.options.rendition, every=self.options.every)
        await viewer.open(target, PICTURE_S)
        self.viewers.append(viewer)
        return viewer

    async def settle(self) -> None:
        """Players find their latency, and the host's delay is measured as a host would: from its own pictures."""
        await asyncio.sleep(self.options.settle)
        self.host_delay = await self.poster.calibrate(self._samples())
        for viewer in self.viewers:
            await viewer.collect()
        self.measured_from = time.time()

    async def post_all(self, at: Callable[[int], Awaitable[None]]) -> None:
        """All events, one after the other; `at(n)` is called before the n-th, and tasks it starts may go on beside."""
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collect_until(done))
            for number in range(self.options.events):
                await at(number)
                await asyncio.sleep(self._gap())
                self.posted.append(await self._post(number))
            done.set()

    async def finish(self) -> None:
        """Wait until every page has shown all events, or had the time for it."""
        deadline = time.monotonic() + LAST_S
        while time.monotonic() < deadline:
            for viewer in self.viewers:
                await viewer.collect()
            if not any(self.not_shown(viewer) for viewer in self.viewers):
                return
            await asyncio.sleep(LOOK_S)

    def not_shown(self, viewer: SyncViewer) -> list[Posted]:
        """Events that were posted while this page was there, and that it has not fired."""
        fired = {firing.id for firing in viewer.firings}
        return [event for event in self.posted if event.sent > viewer.opened + JOIN_S and event.id not in fired]

    def captures(self) -> Captures:
        return Captures(capture for host in self.hosts for capture in host.captures())

    def kill_hosts(self) -> None:
        for host in self.hosts:
            host.kill()

    def _samples(self) -> list[tuple[float, float]]:
        """Instants in front of the camera and their places, of the captures that were in time."""
        captures = [capture for host in self.hosts for capture in host.captures()][-CALIBRATION_FRAMES:]
        least = min(capture.wall - capture.code_ms / 1000 for capture in captures)
        punctual = [c for c in captures if c.wall - c.code_ms / 1000 < least + PUNCTUAL_S]
        places = [(capture.wall, self.probe.fits.t_ms(capture.number, capture.code_ms)) for capture in punctual]
        return [(wall, t_ms) for wall, t_ms in places if t_ms is not None][-SAMPLES:]

    def _gap(self) -> float:
        if self.options.duration is not None:
            return self.options.duration / max(1, self.options.events)
        return self.random.uniform(*self.options.gap)

    async def _post(self, number: int) -> Posted:
        event_id = f"{PREFIX}{number}"
        how = self.random.choice(("now", "wall", "t"))
        if how == "now":
            return await self.poster.now(event_id)
        if how == "wall":
            return await self.poster.wall(event_id)
        edge = self.probe.fits.edge_ms or 0
        ahead = self.random.uniform(*AHEAD_MS)
        return await self.poster.place(event_id, round((edge + ahead) * TICKS_PER_MS))

    async def _collect_until(self, done: asyncio.Event) -> None:
        """Not to be cancelled: what a page has handed over and nobody has taken is lost."""
        while not done.is_set():
            for viewer in self.viewers:
                await viewer.collect()
            with suppress(TimeoutError):
                async with asyncio.timeout(COLLECT_S):
                    await done.wait()


@asynccontextmanager
async def open_run(options: SyncOptions) -> AsyncIterator[SyncRun]:
    """Everything started: node, host, probe, browser, and a page for each way."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamer-sync-")))
        site = _site(options, folder, stack)
        session = await stack.enter_async_context(ClientSession())
        run = SyncRun(options, site, folder, session)
        stack.callback(run.kill_hosts)
        await run.start(run.new_host())
        stack.enter_context(run.probe)
        await run.wait_for(run.hosts[0])
        run.opener = await stack.enter_async_context(chromium(options.chromium))
        for via in options.via:
            await run.open_viewer(via)
        yield run


def _site(options: SyncOptions, folder: Path, stack: AsyncExitStack) -> Site:
    """The node that was given, or one of our own."""
    if options.url is not None:
        if options.publish is None or options.token is None:
            raise ValueError("a node that is given by URL needs --publish and --token")
        if options.loss:
            raise ValueError("--loss needs a node of the bench's own: leave out URL")
        return Site(options.url.rstrip("/"), options.publish, options.token)
    if options.loss:
        network = stack.enter_context(lossy_network(options.loss))
        node = OwnNode(folder / "node", host=network.inside, prefix=network.prefix, flags=options.flags)
    else:
        node = OwnNode(folder / "node", flags=options.flags)
    stack.enter_context(node)
    where = {"rtmp": f"{node.rtmp}/{options.room}", "whip": f"{node.http}/whip/{options.room}"}
    return Site(node.http, where[options.ingest], node.token(options.room))

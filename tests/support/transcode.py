"""A stream in one process with its transcode worker: who publishes, who listens, and what has to be gone at the end."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ingest.overload import Overload
from ingest.transcode_limits import TranscodeLimits
from ingest.transcoding import Transcoding
from ingest.worker_process import WORKER_COMMAND
from media.clock import SystemClock
from media.event import Event
from media.hub import Hub
from media.publisher import Publisher
from media.reasons import Reason
from media.rung import Rung
from media.stream import Kinds, Stream
from media.unit import AccessUnit
from tests.support.quiet import own_time
from tests.support.units import picture

BURST = 40
"""Units published at once: less than may wait for a worker."""
TAIL = 30_000
PATIENCE = 20.0
"""Seconds to wait for real processes at most. What has to come sooner is asserted where it has to; longer than this is
the linger that must not be waited for."""
FRAGILE_COMMAND = (sys.executable, "-m", "tests.support.fragile_worker")
PATIENT_COMMAND = (sys.executable, "-m", "tests.support.patient_worker")
PLAIN_COMMAND = (sys.executable, "-m", "tests.support.plain_worker")


class Listener:
    """A reader that remembers, and can be waited for. `arrivals` are in `own_time`."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.arrivals: list[float] = []
        self.ended: list[Reason] = []
        self._news = asyncio.Event()

    @property
    def sound(self) -> list[AccessUnit]:
        return [unit for unit in self.units if not unit.is_video]

    @property
    def pictures(self) -> list[AccessUnit]:
        return [unit for unit in self.units if unit.is_video]

    @property
    def made(self) -> list[tuple[int, bytes]]:
        return [(unit.dts, unit.parts[0]) for unit in self.sound]

    @property
    def steps(self) -> set[int]:
        dts = [unit.dts for unit in self.sound]
        return {b - a for a, b in itertools.pairwise(dts)}

    def push(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self.arrivals.append(own_time())
        self._news.set()

    def on_event(self, event: Event) -> None:
        pass

    def end(self, reason: Reason) -> None:
        self.ended.append(reason)
        self._news.set()

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Looks again at each unit."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Unhurried(Overload):
    """Whatever else runs on the machine of the tests, all rungs are made."""

    def judge(self, *args: object, **kwargs: object) -> None:
        return None

    def has_room(self, room: str, name: str) -> bool:
        return True


class Studio:
    """One room: `publisher` writes, `transcoding` makes what is wanted."""

    def __init__(self, hub: Hub, transcoding: Transcoding) -> None:
        self.hub = hub
        self.transcoding = transcoding
        self.publisher = self.claim()
        self.watching: list[Listener] = []

    @property
    def stream(self) -> Stream:
        return self.publisher.stream

    @property
    def pid(self) -> int:
        pids = [transcoder.pid for transcoder in self.transcoding.active if transcoder.pid is not None]
        assert len(pids) == 1
        return pids[0]

    def claim(self, kinds: Kinds | None = None) -> Publisher:
        self.publisher = self.hub.claim("room", peer="tester", on_displaced=lambda reason: None)
        self.publisher.expect(kinds or Kinds(video=False, audio=True))
        return self.publisher

    def publish(self, units: Sequence[AccessUnit]) -> None:
        for unit in units:
            self.publisher.publish(unit)

    async def publish_fast(self, units: Sequence[AccessUnit], listener: Listener) -> None:
        """As fast as the worker can take it, all but the last third of a second of it heard."""
        for start in range(0, len(units), BURST):
            self.publish(units[start : start + BURST])
            end = self.stream.live_edge - TAIL
            await listener.until(lambda end=end: bool(listener.sound) and listener.sound[-1].dts >= end)

    async def publish_live(self, units: Sequence[AccessUnit], *, pictures: bool = False) -> None:
        """As fast as they were recorded, each with a picture where there is to be one."""
        started = time.monotonic()
        for index, unit in enumerate(units):
            await asyncio.sleep(max(0.0, started + (unit.dts - units[0].dts) / 90_000 - time.monotonic()))
            if pictures:
                self.publisher.publish(picture(unit.dts, key=index % 50 == 0))
            self.publisher.publish(unit)


@asynccontextmanager
async def studio(
    *,
    linger: float = 0.05,
    command: Sequence[str] = WORKER_COMMAND,
    max_workers: int = 10,
    max_rungs: int = 10,
    rungs: tuple[Rung, ...] = (),
    is_judged: bool = False,
) -> AsyncIterator[Studio]:
    """When it is left, every worker has to be gone. `is_judged`: rungs are shed where the machine is too busy."""
    transcoding = Transcoding(TranscodeLimits(linger, max_workers, max_rungs), command, rungs_of=lambda room: rungs)
    if not is_judged:
        transcoding.overload = Unhurried()
    hub = Hub(SystemClock(), new_epoch=lambda: f"e{time.monotonic_ns()}")
    hub.on_open = transcoding.watch
    try:
        yield Studio(hub, transcoding)
    finally:
        transcoding.close()
        hub.close()
        async with asyncio.timeout(PATIENCE):
            await transcoding.wait_closed()
        assert not transcoding.active
        assert not transcoding.workers

"""Every stream of this node: who may write to it, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from media.clock import Clock
from media.gop import GopLimits
from media.histogram import Histogram
from media.publisher import Publisher
from media.reasons import DISPLACED, ENDED, FULL, SHUTDOWN, STOPPED, Reason
from media.stream import Stream, StreamState

__all__ = ["ClaimRefused", "Hub", "HubLimits", "NotLive"]

logger = logging.getLogger(__name__)

MAX_TAKEOVERS = 3
"""Take-overs allowed within the window; one more means that two encoders fight over a key."""
MAX_BLOCKED = 10_000
"""Blocks remembered; beyond it the one that ends first is forgotten."""
DRAIN_RETRY = 5.0
"""Seconds after which a publisher whom a node that stops has refused finds the next one."""
TAKEOVER_WINDOW = 30.0
"""Seconds in which take-overs are counted, and for which newcomers are then refused."""


class NotLive(LookupError):
    """No such stream, and none came in time."""


class ClaimRefused(Exception):
    """The key cannot be claimed now. `retry_after` is in seconds."""

    def __init__(self, reason: Reason, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class HubLimits:
    """`resume_window` in seconds; `max_streams` bounds memory."""

    resume_window: float = 30.0
    max_streams: int = 1000
    max_waiting: int = 10_000
    gop: GopLimits = field(default_factory=GopLimits)


@dataclass(slots=True)
class _Entry:
    stream: Stream
    publisher: Publisher
    generation: int = 1
    takeovers: deque[float] = field(default_factory=deque)
    refused_until: float = float("-inf")


class Hub:
    """Streams by key. `expire` must be called about once a second.

    `limits` may be replaced at any time; those of GOPs count for broadcasts that begin afterwards. `on_open` is called
    with each new broadcast, and `on_claim` with each new writer before it writes. `publish_times` are the seconds from
    a claim to media that viewers can be given.
    """

    def __init__(self, clock: Clock, *, new_epoch: Callable[[], str], limits: HubLimits | None = None) -> None:
        self._clock = clock
        self._new_epoch = new_epoch
        self.limits = limits or HubLimits()
        self.on_claim: Callable[[Publisher], None] = lambda publisher: None
        self.publish_times = Histogram()
        self.on_open: Callable[[Stream], None] = lambda stream: None
        self._entries: dict[str, _Entry] = {}
        self._waiters: dict[str, set[asyncio.Future[Stream]]] = {}
        self._waiting = 0
        self._blocked: dict[str, float] = {}
        self._is_draining = False

    @property
    def streams(self) -> Iterable[Stream]:
        return [entry.stream for entry in self._entries.values()]

    def get(self, key: str) -> Stream | None:
        """The stream of this key, whether live or within its resume window."""
        entry = self._entries.get(key)
        return entry.stream if entry else None

    def publisher(self, key: str) -> Publisher | None:
        """Who writes the stream of this key now."""
        entry = self._entries.get(key)
        return entry.publisher if entry and entry.publisher.is_active else None

    def claim(self, key: str, *, peer: str, on_displaced: Callable[[Reason], None]) -> Publisher:
        """Become the writer of `key`: a new broadcast, a resumed one, or one taken over from another publisher.

        `on_displaced` is called once if somebody else takes over. Raises ClaimRefused.
        """
        self._check_welcome(key)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._open(key, peer, on_displaced)
        else:
            self._continue(entry, peer, on_displaced)
        self.on_claim(entry.publisher)
        return entry.publisher

    def check_claim(self, key: str) -> None:
        """Raises ClaimRefused where `claim` would now, and claims nothing: for publishers that first connect."""
        self._check_welcome(key)
        entry = self._entries.get(key)
        if entry is None:
            self._check_room_for_another()
        elif entry.publisher.is_active:
            self._check_fight(entry)

    async def subscribe(self, key: str, wait: float) -> Stream:
        """The stream of `key`, once all its tracks are known. Raises NotLive after `wait` seconds."""
        stream = self.get(key)
        if stream is not None and stream.is_ready:
            return stream
        if self._is_draining:
            raise NotLive(SHUTDOWN.text)
        if self._waiting >= self.limits.max_waiting:
            raise NotLive(f"{self._waiting} viewers are waiting for streams already")
        return await self._wait_for(key, wait)

    def expire(self) -> None:
        """End the streams whose publisher did not come back within the resume window, and blocks that are over."""
        now = self._clock.now()
        self._blocked = {key: until for key, until in self._blocked.items() if until > now}
        for key, entry in list(self._entries.items()):
            if not entry.publisher.is_active and now - entry.stream.state_since >= self.limits.resume_window:
                self.end(key, ENDED)

    def end(self, key: str, reason: Reason = STOPPED) -> bool:
        """End a broadcast at once, for its publisher and its readers. False when there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        entry.publisher.displace(reason)
        entry.stream.end(reason)
        logger.info("broadcast %s ended: %s", entry.stream.epoch, reason.name, extra={"room": key})
        return True

    def block(self, key: str, seconds: float) -> None:
        """Refuse publishers of `key` for so long: an encoder that reconnects must not undo an end. 0 lifts it."""
        self._blocked.pop(key, None)
        if seconds > 0:
            self._blocked[key] = self._clock.now() + seconds
        while len(self._blocked) > MAX_BLOCKED:
            del self._blocked[min(self._blocked, key=self._blocked.__getitem__)]

    def blocked_for(self, key: str) -> float:
        """Seconds for which publishers of `key` are still refused; 0.0 when they are not."""
        return max(0.0, self._blocked.get(key, 0.0) - self._clock.now())

    @property
    def blocked(self) -> dict[str, float]:
        """Seconds left, by key, of every block."""
        return {key: left for key in self._blocked if (left := self.blocked_for(key))}

    def drain(self) -> None:
        """Take no new publisher and no new viewer from now on. What is live goes on."""
        self._is_draining = True
        for future in [f for waiters in self._waiters.values() for f in waiters]:
            if not future.done():
                future.set_exception(NotLive(SHUTDOWN.text))

    def close(self) -> None:
        """The node goes away: end everything."""
        self.drain()
        for key in list(self._entries):
            self.end(key, SHUTDOWN)

    def _check_welcome(self, key: str) -> None:
        if self._is_draining:
            raise ClaimRefused(SHUTDOWN, SHUTDOWN.text, DRAIN_RETRY)
        blocked = self.blocked_for(key)
        if blocked:
            raise ClaimRefused(STOPPED, STOPPED.text, blocked)

    def _check_room_for_another(self) -> None:
        if len(self._entries) >= self.limits.max_streams:
            text = f"{len(self._entries)} streams are live, which is the limit"
            raise ClaimRefused(FULL, text, self.limits.resume_window)

    def _open(self, key: str, peer: str, on_displaced: Callable[[Reason], None]) -> _Entry:
        self._check_room_for_another()
        stream = Stream(key, self._new_epoch(), self._clock, self.limits.gop)
        stream.on_settled = self._wake
        self.on_open(stream)
        entry = _Entry(stream, Publisher(stream, self._clock, peer, on_displaced))
        self._entries[key] = entry
        logger.info("broadcast %s begins", stream.epoch, extra={"room": key, "peer": peer})
        return entry

    def _continue(self, entry: _Entry, peer: str, on_displaced: Callable[[Reason], None]) -> None:
        stream = entry.stream
        if entry.publisher.is_active:
            self._count_takeover(entry)
            entry.publisher.displace(DISPLACED)
            stream.counters.takeovers += 1
        else:
            stream.counters.resumes += 1
        entry.generation += 1
        stream.splice()
        stream.set_state(StreamState.LIVE)
        entry.publisher = Publisher(stream, self._clock, peer, on_displaced)
        logger.info(
            "broadcast %s continues, publisher %d",
            stream.epoch,
            entry.generation,
            extra={"room": stream.key, "peer": peer},
        )

    def _count_takeover(self, entry: _Entry) -> None:
        self._check_fight(entry)
        entry.takeovers.append(self._clock.now())

    def _check_fight(self, entry: _Entry) -> None:
        """Two encoders with one key would ruin the room, so the one that is on the air stays."""
        now = self._clock.now()
        while entry.takeovers and entry.takeovers[0] <= now - TAKEOVER_WINDOW:
            entry.takeovers.popleft()
        if now >= entry.refused_until and len(entry.takeovers) >= MAX_TAKEOVERS:
            entry.refused_until = now + TAKEOVER_WINDOW
        if now < entry.refused_until:
            text = f"{MAX_TAKEOVERS} take-overs within {TAKEOVER_WINDOW:.0f} s: the present publisher stays"
            raise ClaimRefused(DISPLACED, text, entry.refused_until - now)

    async def _wait_for(self, key: str, wait: float) -> Stream:
        future: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(key, set())
        waiters.add(future)
        self._waiting += 1
        try:
            async with asyncio.timeout(wait):
                return await future
        except TimeoutError as exc:
            raise NotLive(f"no stream within {wait:g} s") from exc
        finally:
            self._waiting -= 1
            waiters.discard(future)
            if not waiters and self._waiters.get(key) is waiters:
                del self._waiters[key]

    def _wake(self, stream: Stream) -> None:
        entry = self._entries.get(stream.key)
        if entry is not None:
            self.publish_times.observe(self._clock.now() - entry.publisher.since)
        for future in self._waiters.get(stream.key, ()):
            if not future.done():
                future.set_result(stream)

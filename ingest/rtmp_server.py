"""RTMP over TCP and TLS: listens, bounds the connections, and sweeps out those that say nothing."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections import Counter
from dataclasses import dataclass

from ingest.authorize import Authorize
from ingest.rtmp_session import LINGER, RtmpSession, SessionLimits
from media.hub import Hub
from media.reasons import SHUTDOWN

__all__ = ["RtmpIngest", "RtmpIngestCounters"]

BACKLOG = 256
"""Publishers are few, but all of them come back at once when the network does."""
SWEEP_INTERVAL = 1.0
"""Seconds between looks at all connections."""


@dataclass(slots=True)
class RtmpIngestCounters:
    """Plain counts since the start."""

    connections: int = 0
    refused: int = 0
    bytes: int = 0


class RtmpIngest:
    """`listen` once per address, then `run` until cancelled; `close` tells everyone goodbye."""

    def __init__(
        self,
        hub: Hub,
        authorize: Authorize,
        *,
        limits: SessionLimits | None = None,
        max_connections: int = 1000,
        max_per_address: int = 100,
    ) -> None:
        self._hub = hub
        self._authorize = authorize
        self._limits = limits or SessionLimits()
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._numbers = itertools.count(1)
        self._sessions: set[RtmpSession] = set()
        self._addresses: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._counters = RtmpIngestCounters()

    @property
    def connections(self) -> int:
        """Open connections, whether they publish or not."""
        return len(self._sessions)

    @property
    def counters(self) -> RtmpIngestCounters:
        counters = self._counters
        return RtmpIngestCounters(
            counters.connections, counters.refused, counters.bytes + sum(s.bytes_received for s in self._sessions)
        )

    def set_limits(self, limits: SessionLimits, *, max_connections: int, max_per_address: int) -> None:
        """Other limits, for connections that come from now on."""
        self._limits = limits
        self._max_connections = max_connections
        self._max_per_address = max_per_address

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> list[tuple[str, int]]:
        """Accept publishers on this address; port 0 picks a free one. The addresses that are bound now."""
        loop = asyncio.get_running_loop()
        timeout = (
            self._limits.handshake if tls else None
        )  # before its TLS handshake a connection is in no count of ours
        server = await loop.create_server(
            self._session,
            host or None,
            port,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=LINGER if tls else None,
        )
        self._servers.append(server)
        return [sock.getsockname()[:2] for sock in server.sockets]

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            now = time.monotonic()
            for session in tuple(self._sessions):
                session.check(now)

    def close(self) -> None:
        """Stop listening, and close every connection."""
        for server in self._servers:
            server.close()
        for session in tuple(self._sessions):
            session.close(SHUTDOWN)

    def add(self, session: RtmpSession) -> bool:
        """SessionOwner: count a connection in, if there is room."""
        self._counters.connections += 1
        is_full = len(self._sessions) >= self._max_connections
        if is_full or self._addresses[session.address] >= self._max_per_address:
            self._counters.refused += 1
            return False
        self._sessions.add(session)
        self._addresses[session.address] += 1
        return True

    def discard(self, session: RtmpSession) -> None:
        """SessionOwner: count it out."""
        if session in self._sessions:
            self._sessions.remove(session)
            self._counters.bytes += session.bytes_received
            self._addresses[session.address] -= 1
            if not self._addresses[session.address]:
                del self._addresses[session.address]

    def _session(self) -> RtmpSession:
        return RtmpSession(next(self._numbers), self._hub, self._authorize, self, self._limits)

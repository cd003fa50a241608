"""An asyncio driver around one peer: a socket on loopback, a timer, and the events in a queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bench.datagrams import widen_buffer
from tests.support.webrtc_pair import contexts
from wire import sdp
from wire.ice import CREDENTIAL_RANDOM_SIZE, host_candidate, make_credentials
from wire.sdp import Acceptance, LocalTransport, SessionDescription
from wire.stun import Address
from wire.webrtc import PeerClosed, PeerEvent, WebRtcPeer

Event = TypeVar("Event", bound=PeerEvent)
PATIENCE = 20.0


class LoopbackEndpoint(asyncio.DatagramProtocol):
    """`answer` makes the peer; after that everything that arrives is an event in `events`."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.peer: WebRtcPeer | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio's own is no DatagramTransport by its class

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self.peer is not None:
            self._take(self.peer.receive_datagram(data, Address(addr[0], addr[1]), self._loop.time()))

    def answer(
        self, offer: str, choose: Callable[[SessionDescription], dict[str, Acceptance]]
    ) -> tuple[str, SessionDescription]:
        """The answer's text and value; the peer waits from now on."""
        assert self._transport is not None
        description = sdp.parse(offer)
        accepted = choose(description)
        remote = sdp.remote_transport(description, accepted)
        host, port = self._transport.get_extra_info("sockname")
        context = contexts()[0]
        local = LocalTransport(
            ice=make_credentials(os.urandom(CREDENTIAL_RANDOM_SIZE)),
            fingerprint=context.fingerprint,
            candidates=(host_candidate(Address(host, port)),),
        )
        self.peer = WebRtcPeer(
            context,
            local=local.ice,
            remote_ufrag=remote.ice.ufrag,
            role=remote.role,
            fingerprints=remote.fingerprints,
            now=self._loop.time(),
        )
        self._take([])
        response = sdp.answer(description, accepted, local, session_id="1")
        return sdp.write(response), response

    def send(self, datagram: bytes) -> None:
        """One protected packet to where the peer is now."""
        assert self.peer is not None
        assert self.peer.remote is not None
        assert self._transport is not None
        self._transport.sendto(datagram, self.peer.remote[:2])

    def flush(self) -> None:
        self._take([])

    async def wait_for(self, kind: type[Event]) -> Event:
        """The next event of this kind; others before it are dropped. A peer that closes fails the test."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.events.get()
                if isinstance(event, kind):
                    return event
                assert not isinstance(event, PeerClosed), event

    def close(self) -> None:
        if self.peer is not None:
            self._take(self.peer.close())
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()

    def _take(self, events: list[PeerEvent]) -> None:
        assert self.peer is not None
        assert self._transport is not None
        for event in events:
            self.events.put_nowait(event)
        for datagram, address in self.peer.datagrams_to_send():
            self._transport.sendto(datagram, address[:2])
        if self._timer is not None:
            self._timer.cancel()
        due = self.peer.next_timeout(self._loop.time())
        self._timer = None if due is None else self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        assert self.peer is not None
        self._take(self.peer.handle_timeout(self._loop.time()))


@asynccontextmanager
async def loopback_endpoint() -> AsyncIterator[LoopbackEndpoint]:
    loop = asyncio.get_running_loop()
    transport, endpoint = await loop.create_datagram_endpoint(LoopbackEndpoint, local_addr=("127.0.0.1", 0))
    # nobody asks again for what a test that stands still has no room for
    widen_buffer(transport.get_extra_info("socket"))
    try:
        yield endpoint
    finally:
        endpoint.close()

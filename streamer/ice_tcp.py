"""ICE-TCP (RFC 6544): passive connections that carry the same datagrams, for viewers whose network has no UDP."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from streamer.address import peer_group
from wire.errors import WireError
from wire.ice_tcp import FrameReader, frame
from wire.stun import Address as PeerAddress

__all__ = ["IceTcpConnection", "TcpOwner"]

MAX_QUEUED = 512 * 1024
"""Bytes. A second of a 4 Mb/s stream: whoever is further behind is skipped to a keyframe."""
FIRST_CHECK_TIMEOUT = 10.0
"""Seconds a connection may live without a good connectivity check."""

LAST_WORDS_TIMEOUT = 2.0
"""Seconds a peer has to take a goodbye."""


class TcpOwner(Protocol):
    """The endpoint."""

    def tcp_opened(self, connection: IceTcpConnection) -> int | None:
        """The number of this connection, which no other has; None: there are too many, of its `client` or of all."""

    def tcp_received(self, connection: IceTcpConnection, datagram: bytes) -> None: ...

    def tcp_closed(self, connection: IceTcpConnection) -> None: ...


class IceTcpConnection(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, owner: TcpOwner) -> None:
        self.address = PeerAddress("", 0)
        self.client = ""
        self.is_verified = False
        self._owner = owner
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<IceTcpConnection {self.address} verified={self.is_verified}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host, port = transport.get_extra_info("peername")[:2]
        self.client = peer_group(host)
        number = self._owner.tcp_opened(self)
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        if number is None:
            self._transport.abort()
            self._transport = None
            return
        self.address = PeerAddress(host.partition("%")[0].removeprefix("::ffff:"), port, number)
        self._timer = asyncio.get_running_loop().call_later(FIRST_CHECK_TIMEOUT, self._judge)

    def data_received(self, data: bytes) -> None:
        try:
            for datagram in self._reader.receive_data(data):
                self._owner.tcp_received(self, datagram)
        except WireError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport = None
            self._owner.tcp_closed(self)

    def send(self, datagram: bytes) -> bool:
        """False when too much is waiting already, or when it is closed."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_QUEUED:
            return False
        transport.write(frame(datagram))
        return True

    def finish(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None:
            self._transport.close()
            asyncio.get_running_loop().call_later(LAST_WORDS_TIMEOUT, self.close)

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _judge(self) -> None:
        if not self.is_verified:
            self.close()

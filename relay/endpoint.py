"""What WHEP needs of the one UDP socket, which belongs to the roof."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any, Protocol

from relay.report_inbox import ControlMessage, Reports
from wire.sdp import LocalTransport, RemoteTransport
from wire.webrtc import PeerEvent, WebRtcPeer

__all__ = ["ControlMessage", "EndpointFull", "PortOwner", "UdpRoute", "WebRtcEndpoint", "WebRtcPort"]


class EndpointFull(Exception):
    """A bound of the endpoint is reached. The message carries the numbers."""


@dataclass(frozen=True, slots=True)
class UdpRoute:
    """How a datagram reaches a peer; `control` says which address of ours it comes from (IP_PKTINFO).

    `sockaddr` is empty where the socket is connected.
    """

    socket: socket.socket
    sockaddr: tuple[Any, ...]
    control: tuple[ControlMessage, ...] = ()

    @property
    def raw_sockaddr(self) -> bytes:
        """A `struct sockaddr_in` or `sockaddr_in6`, empty for a connected socket."""
        if not self.sockaddr:
            return b""
        host, port = self.sockaddr[:2]
        if self.socket.family == socket.AF_INET6:
            packed = socket.inet_pton(socket.AF_INET6, host)
            return pack("=H", socket.AF_INET6) + pack("!HI", port, 0) + packed + bytes(4)
        return pack("=H", socket.AF_INET) + pack("!H", port) + socket.inet_pton(socket.AF_INET, host) + bytes(8)


class PortOwner(Protocol):
    """The session that a peer belongs to. Nothing that a peer sends may raise here."""

    def on_events(self, events: Sequence[PeerEvent], now: float) -> None:
        """What happened to the peer, in order. Called between datagrams, never from within `flush` or `close`."""


class WebRtcPort(Protocol):
    """One peer on the socket. After anything that may have queued datagrams in the peer, call `flush`."""

    @property
    def peer(self) -> WebRtcPeer: ...

    @property
    def route(self) -> UdpRoute | None:
        """Where media goes now; None before the first good check, and over ICE-TCP, which has no datagrams."""

    def send(self, datagram: bytes) -> bool:
        """Send one protected packet to where the peer is. False when the socket or the connection is full."""

    def read_reports(self, *, aside: bool) -> None:
        """Whether a connected peer's reports that say that all is well may be kept aside until they are asked for."""

    def reports(self) -> Reports | None:
        """What came so since the last call; ask about once a second. Everything else comes by `on_events`."""

    def flush(self) -> None:
        """Send what the peer has queued, and set its timer."""

    def close(self) -> None:
        """Say goodbye and forget the peer; its owner is told nothing more."""


class WebRtcEndpoint(Protocol):
    """Makes ports."""

    def local_transport(self, contacted: str | None) -> LocalTransport:
        """New ICE credentials, our fingerprint and candidates. `contacted` is the address that the peer asked us at."""

    def open(self, owner: PortOwner, *, local: LocalTransport, remote: RemoteTransport, client: str) -> WebRtcPort:
        """A peer that waits for its first check. `client` is its address as HTTP saw it. Raises EndpointFull."""

    def restart(self, port: Any, local: LocalTransport, *, remote_ufrag: str) -> None:
        """RFC 8445, 9: the peer's checks come with new credentials from now on."""

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once when the UDP socket takes datagrams again."""

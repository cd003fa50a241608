"""What WHIP needs of the one UDP socket, which belongs to the roof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from wire.sdp import LocalTransport, RemoteTransport
from wire.webrtc import PeerEvent, WebRtcPeer

__all__ = ["EndpointFull", "PortOwner", "WebRtcEndpoint", "WebRtcPort"]


class EndpointFull(Exception):
    """A bound of the endpoint is reached. The message carries the numbers."""


class PortOwner(Protocol):
    """The session that a peer belongs to. Nothing that a peer sends may raise here."""

    def on_events(self, events: Sequence[PeerEvent], now: float) -> None:
        """What happened to the peer, in order. Called between datagrams, never from within `flush` or `close`."""


class WebRtcPort(Protocol):
    """One peer on the socket. After anything that may have queued datagrams in the peer, call `flush`."""

    @property
    def peer(self) -> WebRtcPeer: ...

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

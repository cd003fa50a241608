"""The one UDP socket of WebRTC, and the TCP port of the same number: which datagram belongs to which peer.

A STUN check finds its peer by our user name fragment in it; everything else by the address that it comes from, which
must have sent a good check before. What belongs to nobody is dropped and counted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.endpoint import EndpointFull as NoRoomForPublisher
from relay.endpoint import ControlMessage, PortOwner, UdpRoute
from relay.endpoint import EndpointFull as NoRoomForViewer
from relay.report_inbox import ReportInbox, ReportReader, Reports, take_reports
from streamer.address import Address, peer_group
from streamer.candidates import Candidates
from streamer.ice_tcp import IceTcpConnection
from streamer.timers import Timers
from streamer.udp_socket import UdpSocket, bind_tcp
from wire import stun
from wire.dtls import DtlsContext
from wire.errors import WireError
from wire.ice import CREDENTIAL_RANDOM_SIZE, local_ufrag_of, make_credentials
from wire.sdp import LocalTransport, RemoteTransport
from wire.stun import Address as PeerAddress
from wire.stun import StunMessage
from wire.webrtc import CloseCause, PeerClosed, PeerEvent, WebRtcPeer

__all__ = ["EndpointLimits", "Port", "WebRtcEndpoint"]

_log = logging.getLogger(__name__)

DATAGRAMS_PER_TURN = 64
"""Datagrams that are read before the event loop gets a turn."""
MAX_ADDRESSES = 16
"""Verified addresses of one peer that are remembered, as many as its ICE agent remembers."""
HELD_FOR = 2.0
"""Seconds since a connected peer was heard from an address for which no other can have it. Browsers report each second;
a socket that really has another owner now repeats its checks."""
MAX_PENDING = 2048
"""Answers that wait for a full socket; handshakes and checks repeat themselves, so the rest is dropped."""
LOG_INTERVAL = 1.0
"""Seconds between two tracebacks in the log: what one datagram can bring about, a flood of them can too."""
TCP_CLIENT_SHARE = 8
"""One address may have this part of the unverified ICE-TCP connections: idle ones must not shut out other clients."""
PORT_ATTEMPTS = 16
"""With port 0 the same number has to be free for UDP and for TCP."""


class EndpointFull(NoRoomForPublisher, NoRoomForViewer):
    """A bound is reached: what each floor knows by its own name."""


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Half-open peers have an answer but no keys yet. An address of a whole office may be one client."""

    max_peers: int = 10_000
    max_half_open: int = 2_000
    max_half_open_per_client: int = 500
    max_tcp_connections: int = 2_000
    max_tcp_unverified: int = 200


class Port:
    """One peer on the socket; `relay.endpoint.WebRtcPort` says what it is for its owner."""

    def __init__(self, endpoint: WebRtcEndpoint, owner: PortOwner, peer: WebRtcPeer, client: str) -> None:
        self.peer = peer
        self.client = client
        self.addresses: dict[PeerAddress, tuple[ControlMessage, ...]] = {}
        self.ufrags: tuple[str, ...] = ()
        """By which checks find it: those that its agent answers to."""
        self._endpoint = endpoint
        self._owner = owner
        self._is_closed = False
        self._reader: ReportReader | None = None
        self._reads_aside = False
        self._heard_from: PeerAddress | None = None
        self._answers_checks = False

    def __repr__(self) -> str:
        return f"<Port {self.peer!r}>"

    @property
    def is_half_open(self) -> bool:
        return not self.peer.connected

    @property
    def route(self) -> UdpRoute | None:
        remote = self.peer.remote
        if remote is None or remote.via:
            return None
        return self._endpoint.route(remote, self.addresses.get(remote, ()))

    def send(self, datagram: bytes) -> bool:
        remote = self.peer.remote
        if remote is None or self._is_closed:
            return False
        return self._endpoint.send(datagram, remote, self.addresses.get(remote, ()))

    def read_reports(self, *, aside: bool) -> None:
        if aside and self._reader is None:
            self._reader = self._endpoint.report_reader(self.peer)
        self._reads_aside = aside
        self._follow_reports()

    def reports(self) -> Reports | None:
        reader = self._reader
        if reader is None:
            return None
        self.peer.note_heard(reader.heard_at)
        if not self._answers_checks:
            self._let_answer(reader)
        return take_reports(reader)

    def knows_check(self, transaction_id: bytes, address: PeerAddress) -> bool:
        """Whether the reader has answered this check, which now comes from elsewhere: a copy must not move media."""
        return self._reader is not None and address != self._heard_from and self._reader.knows(transaction_id)

    def holds(self, address: PeerAddress, now: float) -> bool:
        """Whether it is connected and was heard from there just now."""
        if self._reader is not None:
            self.peer.note_heard(self._reader.heard_at)
        heard_at = self.peer.ice.verified_at(address)
        return self.peer.connected and heard_at is not None and now - heard_at < HELD_FOR

    def restart(self) -> None:
        """Checks come with other credentials from now on."""
        if self._reader is not None:
            self._reader.answer(b"", b"")
        self._answers_checks = False

    def _let_answer(self, reader: ReportReader) -> None:
        consent = self.peer.ice.consent
        if consent is not None:
            reader.answer(*consent)
            self._answers_checks = True

    def _follow_reports(self) -> None:
        """Plain reports are taken in from where media goes, and from nowhere else."""
        reader, remote = self._reader, self.peer.remote if self._reads_aside and not self._is_closed else None
        if reader is not None and remote != self._heard_from:
            control = () if remote is None else self.addresses.get(remote, ())
            self._endpoint.move_reports(reader, self._heard_from, remote, control)
            self._heard_from = remote

    def flush(self) -> None:
        for datagram, address in self.peer.datagrams_to_send():
            self._endpoint.send_later(datagram, address, self.addresses.get(address, ()))
        if not self._is_closed and not self.peer.rests:
            self._endpoint.timers.note(self)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.peer.close()
            self.flush()
            self._follow_reports()
            self._endpoint.forget(self)

    def receive(self, events: Sequence[PeerEvent], now: float) -> None:
        """Hand on what a datagram or a timeout brought about."""
        if not self.peer.rests:
            self.flush()
        if events and not self._is_closed:
            self._follow_reports()
            self._owner.on_events(events, now)

    def next_timeout(self, now: float) -> float | None:
        return None if self._is_closed else self.peer.next_timeout(now)

    def handle_timeout(self, now: float) -> None:
        try:
            if self._reader is not None:
                self.peer.note_heard(self._reader.heard_at)
            self.receive(self.peer.handle_timeout(now), now)
        except Exception:  # noqa: BLE001  a bug of ours costs this peer, never another
            self.fail(now)

    def fail(self, now: float) -> None:
        """Close it, and tell its owner, for the exception that is being handled."""
        self._endpoint.log_failure(self, now)
        if self._is_closed:
            return
        try:
            self._owner.on_events((PeerClosed(CloseCause.FAILED),), now)
        except Exception:  # noqa: BLE001  the owner may be what failed
            self._endpoint.log_failure(self, now)
        self.close()


class WebRtcEndpoint:
    """`listen`, then `run` beside it; `open` a port for each peer. `now` is monotonic seconds."""

    def __init__(
        self,
        now: Callable[[], float],
        limits: EndpointLimits | None = None,
        *,
        public_addresses: Sequence[str] = (),
        inbox: ReportInbox | None = None,
    ) -> None:
        self.timers = Timers(now)
        self.dropped: Counter[str] = Counter()
        self._handled = 0
        self._now = now
        self.limits = limits or EndpointLimits()
        self._public = public_addresses
        self._inbox = inbox
        self._context = DtlsContext(today=datetime.now(UTC))
        self._udp: UdpSocket | None = None
        self._tcp: asyncio.Server | None = None
        self._candidates: Candidates | None = None
        self._by_ufrag: dict[str, Port] = {}
        self._by_address: dict[PeerAddress, Port] = {}
        self._ports: dict[Port, None] = {}
        self._connections: dict[int, IceTcpConnection] = {}
        self._last_connection = 0
        self._pending: deque[tuple[bytes, UdpRoute]] = deque()
        self._waiting: list[Callable[[], object]] = []
        self._is_writing = False
        self._logged_at = float("-inf")

    def __repr__(self) -> str:
        return f"<WebRtcEndpoint {self._udp} peers={len(self._ports)} half_open={self.half_open}>"

    @property
    def peers(self) -> int:
        return len(self._ports)

    @property
    def half_open(self) -> int:
        return sum(port.is_half_open for port in self._ports)

    @property
    def tcp_connections(self) -> int:
        return len(self._connections)

    @property
    def datagrams(self) -> int:
        """Received so far."""
        return self._handled + self.reports_taken

    @property
    def report_readers(self) -> int:
        """Addresses whose plain reports are read without Python."""
        return 0 if self._inbox is None else len(self._inbox)

    @property
    def reports_taken(self) -> int:
        """Those of them that were plain reports or consent checks, and handled without Python."""
        return 0 if self._inbox is None else self._inbox.taken

    @property
    def verified_addresses(self) -> int:
        """Addresses whose DTLS and media are listened to."""
        return len(self._by_address)

    async def listen(self, host: str, port: int) -> Address:
        """Open UDP and TCP on one port number. Returns the address. Raises OSError."""
        loop = asyncio.get_running_loop()
        for attempt in range(PORT_ATTEMPTS):
            udp = UdpSocket(host, port, self._inbox)
            try:
                listener = bind_tcp(udp)
                self._tcp = await loop.create_server(lambda: IceTcpConnection(self), sock=listener)
                break
            except OSError as exc:
                udp.close()
                if port or exc.errno != errno.EADDRINUSE or attempt == PORT_ATTEMPTS - 1:
                    raise
        self._udp = udp
        self._candidates = Candidates(self._public, udp.host, udp.port)
        await self._candidates.resolve()
        loop.add_reader(udp.socket, self._on_readable)
        return Address(udp.host, udp.port)

    async def run(self) -> None:
        """Keep the addresses of names fresh."""
        assert self._candidates is not None, "listen first"
        await self._candidates.run()

    def close(self) -> None:
        """Close everything; peers should have been said goodbye to by their owners."""
        for port in tuple(self._ports):
            port.close()
        self.timers.close()
        self._waiting.clear()
        for connection in tuple(self._connections.values()):
            connection.close()
        if self._tcp is not None:
            self._tcp.close()
        if self._udp is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._udp.socket)
            loop.remove_writer(self._udp.socket)
            self._udp.close()
            self._udp = None

    # For the owners of peers: `relay.endpoint.WebRtcEndpoint`.

    def local_transport(self, contacted: str | None) -> LocalTransport:
        assert self._candidates is not None, "listen first"
        return LocalTransport(
            ice=make_credentials(os.urandom(CREDENTIAL_RANDOM_SIZE)),
            fingerprint=self._context.fingerprint,
            candidates=self._candidates.lines(contacted, tcp=True),
        )

    def open(self, owner: PortOwner, *, local: LocalTransport, remote: RemoteTransport, client: str) -> Port:
        self._check_limits(client)
        peer = WebRtcPeer(
            self._context,
            local=local.ice,
            remote_ufrag=remote.ice.ufrag,
            role=remote.role,
            fingerprints=remote.fingerprints,
            now=self._now(),
        )
        port = Port(self, owner, peer, peer_group(client))
        self._ports[port] = None
        self._note_ufrags(port, peer.ice.local_ufrags)
        self.timers.note(port)
        return port

    def restart(self, port: Any, local: LocalTransport, *, remote_ufrag: str) -> None:
        port.peer.ice.restart(local.ice, remote_ufrag=remote_ufrag)
        port.restart()
        self._note_ufrags(port, port.peer.ice.local_ufrags)

    def when_writable(self, callback: Callable[[], object]) -> None:
        self._waiting.append(callback)
        self._wait_for_room()

    # For ports.

    def route(self, address: PeerAddress, control: tuple[ControlMessage, ...]) -> UdpRoute | None:
        return None if self._udp is None else self._udp.route(address, control)

    def report_reader(self, peer: WebRtcPeer) -> ReportReader | None:
        """For the plain reports of a connected peer; None where nothing reads them but Python."""
        keys = peer.report_keys
        return None if self._inbox is None or keys is None else self._inbox.reader(*keys)

    def move_reports(
        self,
        reader: ReportReader,
        old: PeerAddress | None,
        new: PeerAddress | None,
        control: tuple[ControlMessage, ...],
    ) -> None:
        """They come from another address from now on, or, with None, from none."""
        if self._inbox is None or self._udp is None:
            return
        if old is not None and not old.via:
            self._inbox.forget(self._udp.route(old, ()).raw_sockaddr, reader)
        if new is not None and not new.via:
            self._inbox.listen(self._udp.route(new, ()).raw_sockaddr, reader, control)

    def send(self, datagram: bytes, address: PeerAddress, control: tuple[ControlMessage, ...]) -> bool:
        """False when the socket or the connection is full."""
        if address.via:
            connection = self._connections.get(address.via)
            return connection is not None and connection.send(datagram)
        route = self.route(address, control)
        return route is None or self._send_udp(datagram, route)

    def send_later(self, datagram: bytes, address: PeerAddress, control: tuple[ControlMessage, ...]) -> None:
        """The same, but what a full UDP socket does not take waits for a moment."""
        if self.send(datagram, address, control) or address.via:
            return
        route = self.route(address, control)
        if route is None or len(self._pending) >= MAX_PENDING:
            self.dropped["socket full"] += 1
            return
        self._pending.append((datagram, route))
        self._wait_for_room()

    def log_failure(self, port: Port, now: float) -> None:
        """Call in an `except`."""
        self.dropped["error"] += 1
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            _log.exception("a peer is closed for an error: %s", port)

    def forget(self, port: Port) -> None:
        self.timers.forget(port)
        self._ports.pop(port, None)
        self._note_ufrags(port, ())
        for address in port.addresses:
            if self._by_address.get(address) is port:
                del self._by_address[address]
                if address.via:
                    self._close_connection(address.via)

    # For ICE-TCP connections.

    def tcp_opened(self, connection: IceTcpConnection) -> int | None:
        if not self._has_room(connection.client):
            self.dropped["tcp connection"] += 1
            return None
        self._last_connection += 1
        self._connections[self._last_connection] = connection
        return self._last_connection

    def _has_room(self, client: str) -> bool:
        """For one more connection."""
        limits = self.limits
        unverified = [other.client for other in self._connections.values() if not other.is_verified]
        return (
            len(self._connections) < limits.max_tcp_connections
            and len(unverified) < limits.max_tcp_unverified
            and unverified.count(client) < max(1, limits.max_tcp_unverified // TCP_CLIENT_SHARE)
        )

    def tcp_received(self, connection: IceTcpConnection, datagram: bytes) -> None:
        self._receive(datagram, connection.address, (), 0.0)
        connection.is_verified = connection.address in self._by_address

    def tcp_closed(self, connection: IceTcpConnection) -> None:
        self._connections.pop(connection.address.via, None)
        port = self._by_address.pop(connection.address, None)
        if port is not None:
            port.addresses.pop(connection.address, None)

    def _close_connection(self, number: int) -> None:
        connection = self._connections.get(number)
        if connection is not None:
            connection.finish()

    def _check_limits(self, client: str) -> None:
        limits, group = self.limits, peer_group(client)
        if len(self._ports) >= limits.max_peers:
            raise EndpointFull(f"{len(self._ports)} peers are here, which is the limit")
        half_open = [port for port in self._ports if port.is_half_open]
        if len(half_open) >= limits.max_half_open:
            raise EndpointFull(f"{len(half_open)} peers have not connected yet, which is the limit")
        from_client = sum(port.client == group for port in half_open)
        if from_client >= limits.max_half_open_per_client:
            raise EndpointFull(f"{from_client} peers of one address have not connected yet, which is the limit")

    def _on_readable(self) -> None:
        if self._udp is not None:
            for received in self._udp.receive(DATAGRAMS_PER_TURN):
                self._receive(*received)

    def _receive(
        self, datagram: bytes, address: PeerAddress, control: tuple[ControlMessage, ...], waited: float
    ) -> None:
        self._handled += 1
        now = self._now()
        is_stun = bool(datagram) and datagram[0] < 4  # RFC 7983, 7
        message = self._parse_stun(datagram) if is_stun else None
        port = self._checked_port(message, address, now) if is_stun else self._by_address.get(address)
        if port is None:
            self.dropped["stun" if is_stun else "unknown address"] += 1
            return
        try:
            if message is None:
                port.receive(port.peer.receive_datagram(datagram, address, now, waited), now)
            else:
                self._receive_check(port, datagram, message, address, control=control, now=now)
        except Exception:  # noqa: BLE001  a bug of ours costs this peer, never another
            port.fail(now)

    def _checked_port(self, message: StunMessage | None, address: PeerAddress, now: float) -> Port | None:
        """Whom a check is for. A source address is easily forged, so a good check must not take one that is in use."""
        ufrag = local_ufrag_of(message) if message is not None else None
        port = self._by_ufrag.get(ufrag) if ufrag is not None else None
        is_reachable = address.port or address.via  # nothing can be sent to port 0
        if message is None or port is None or not is_reachable or port.knows_check(message.transaction_id, address):
            return None
        holder = self._by_address.get(address)
        if holder is not None and holder is not port and holder.holds(address, now):
            return None
        return port

    def _receive_check(
        self,
        port: Port,
        datagram: bytes,
        message: StunMessage,
        address: PeerAddress,
        *,
        control: tuple[ControlMessage, ...],
        now: float,
    ) -> None:
        before = port.addresses.get(address)
        port.addresses[address] = control  # so that the answer leaves from the address that was contacted
        events = port.peer.receive_check(datagram, message, address, now)
        is_good = port.peer.ice.verified_at(address) == now
        if is_good and len(port.ufrags) > 1:
            self._note_ufrags(port, port.peer.ice.local_ufrags)  # the first new check retires the old one
        if is_good and before is None:
            self._adopt(port, address)
        port.receive(events, now)
        if is_good:
            return
        if before is None:
            port.addresses.pop(address, None)
        else:
            port.addresses[address] = before

    def _parse_stun(self, datagram: bytes) -> StunMessage | None:
        try:
            return stun.parse(datagram) if stun.is_stun(datagram) else None
        except WireError:
            return None

    def _adopt(self, port: Port, address: PeerAddress) -> None:
        """The first good check from an address: what else comes from there belongs to this peer."""
        before = self._by_address.get(address)
        if before is not None and before is not port:
            before.addresses.pop(address, None)
        self._by_address[address] = port
        while len(port.addresses) > MAX_ADDRESSES:
            oldest = next(iter(port.addresses))
            del port.addresses[oldest]
            self._by_address.pop(oldest, None)

    def _note_ufrags(self, port: Port, ufrags: tuple[str, ...]) -> None:
        """These are its own from now on, and no others."""
        for ufrag in port.ufrags:
            if self._by_ufrag.get(ufrag) is port:
                del self._by_ufrag[ufrag]
        port.ufrags = ufrags
        for ufrag in ufrags:
            self._by_ufrag[ufrag] = port

    def _send_udp(self, datagram: bytes, route: UdpRoute) -> bool:
        try:
            route.socket.sendmsg((datagram,), route.control, 0, route.sockaddr)
        except BlockingIOError:
            return False
        except OSError:
            self.dropped["unreachable"] += 1
        return True

    def _wait_for_room(self) -> None:
        if not self._is_writing and self._udp is not None:
            self._is_writing = True
            asyncio.get_running_loop().add_writer(self._udp.socket, self._on_writable)

    def _on_writable(self) -> None:
        while self._pending:
            datagram, route = self._pending[0]
            if not self._send_udp(datagram, route):
                return
            self._pending.popleft()
        self._is_writing = False
        if self._udp is not None:
            asyncio.get_running_loop().remove_writer(self._udp.socket)
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            try:
                callback()
            except Exception:  # noqa: BLE001  a bug of ours costs this sender, never the others
                _log.exception("who waited for room in the socket could not go on")

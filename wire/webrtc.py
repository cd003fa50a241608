"""One WebRTC peer: ICE-lite, DTLS and SRTP joined, sans-IO.

`receive_datagram` takes what the socket got and returns events; then drain `datagrams_to_send()` and set a timer for
`next_timeout()`. Nothing a peer sends raises: what is wrong is dropped and counted in `discarded`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from wire import stun
from wire.dtls import DtlsConnection, DtlsContext, DtlsRole, DtlsState, Fingerprint, HandshakeFailed, SrtpKeys, is_dtls
from wire.errors import WireError
from wire.ice import CONSENT_TIMEOUT, IceCredentials, IceLiteAgent
from wire.rtp import rtcp
from wire.rtp.packet import RtpPacket, is_rtcp, is_rtp_or_rtcp
from wire.rtp.packet import parse as parse_rtp
from wire.rtp.rtcp import RtcpPacket
from wire.srtp import GcmReceiver, SrtpReceiver, SrtpSender, make_receiver, make_sender
from wire.stun import Address, StunMessage

__all__ = [
    "AddressChanged",
    "CloseCause",
    "Connected",
    "PeerClosed",
    "PeerEvent",
    "PeerState",
    "RtcpReceived",
    "RtpReceived",
    "WebRtcPeer",
]

FIRST_CHECK_TIMEOUT = 30.0
"""Seconds from the answer to the first good check: the user may be asked for the camera in between."""


class PeerState(StrEnum):
    WAITING = "waiting"
    HANDSHAKE = "handshake"
    CONNECTED = "connected"
    CLOSED = "closed"


class CloseCause(StrEnum):
    """Why a peer is closed."""

    NO_CHECK = "no connectivity check arrived"
    HANDSHAKE = "the DTLS handshake failed"
    SILENT = "the peer has vanished"
    GOODBYE = "the peer said goodbye"
    LOCAL = "closed by us"
    FAILED = "an error of ours"


@dataclass(frozen=True, slots=True)
class Connected:
    """Keys are agreed on: `peer.sender` protects from now on what is sent to `address`."""

    address: Address


@dataclass(frozen=True, slots=True)
class AddressChanged:
    """Media goes to this address from now on."""

    address: Address


@dataclass(frozen=True, slots=True)
class RtpReceived:
    """`waited` is for how many seconds it had been there when it was read."""

    packet: RtpPacket
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class RtcpReceived:
    """All packets of one compound."""

    packets: tuple[RtcpPacket, ...]


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The last event of a peer. `detail` is for the log."""

    cause: CloseCause
    detail: str = ""


PeerEvent = Connected | AddressChanged | RtpReceived | RtcpReceived | PeerClosed


class WebRtcPeer:
    """One session. `now` is monotonic seconds and never goes back."""

    def __init__(
        self,
        context: DtlsContext,
        *,
        local: IceCredentials,
        remote_ufrag: str,
        role: DtlsRole,
        fingerprints: tuple[Fingerprint, ...],
        now: float,
    ) -> None:
        self.ice = IceLiteAgent(local, remote_ufrag=remote_ufrag)
        self.state = PeerState.WAITING
        self.sender: SrtpSender | None = None
        self.discarded = 0
        self.last_error: WireError | None = None
        self._dtls = DtlsConnection(context, role, fingerprints=fingerprints)
        self._receiver: SrtpReceiver | None = None
        self._out: list[tuple[bytes, Address]] = []
        self._heard_at = now

    def __repr__(self) -> str:
        return f"<WebRtcPeer {self.ice.local.ufrag} {self.state} remote={self.remote}>"

    @property
    def remote(self) -> Address | None:
        """Where to send; None before the first good check."""
        return self.ice.remote

    @property
    def keys(self) -> SrtpKeys | None:
        """For a batch sender of its own; None before `Connected`."""
        return self._dtls.keys

    @property
    def connected(self) -> bool:
        return self.state is PeerState.CONNECTED

    def receive_datagram(self, datagram: bytes, address: Address, now: float, waited: float = 0.0) -> list[PeerEvent]:
        """Take one datagram of any kind (RFC 7983, 7). `waited` as in RtpReceived."""
        if self.state is PeerState.CLOSED:
            return []
        try:
            if is_rtp_or_rtcp(datagram):
                return self._receive_media(datagram, address, now, waited)
            if stun.is_stun(datagram):
                return self._receive_check(datagram, stun.parse(datagram), address, now)
            if is_dtls(datagram):
                return self._receive_dtls(datagram, address, now)
        except WireError as exc:
            self.last_error = exc
        self.discarded += 1
        return []

    def receive_check(self, datagram: bytes, message: StunMessage, address: Address, now: float) -> list[PeerEvent]:
        """The same for a STUN message that was parsed to find this peer."""
        if self.state is PeerState.CLOSED:
            return []
        try:
            return self._receive_check(datagram, message, address, now)
        except WireError as exc:
            self.last_error = exc
            self.discarded += 1
            return []

    def send_rtcp(self, packets: Iterable[RtcpPacket]) -> None:
        """Protect one compound and queue it. Dropped while not connected: reports are worth nothing later."""
        if self.sender is not None and self.remote is not None and self.connected:
            compound = b"".join(packet.to_bytes() for packet in packets)
            self._out.append((self.sender.protect_rtcp(compound), self.remote))

    @property
    def report_keys(self) -> tuple[bytes, bytes] | None:
        """Key and salt of the RTCP that the peer sends, for a reader of its own; None where it is not AES-GCM."""
        receiver = self._receiver
        if not isinstance(receiver, GcmReceiver):
            return None
        return receiver.rtcp_key, receiver.rtcp_salt.to_bytes(12, "big")

    def note_heard(self, at: float) -> None:
        """What such a reader has opened came from `remote` at this time, and proves consent as well as a check."""
        if self.remote is not None and at > self._heard_at and self.connected:
            self.ice.refresh(self.remote, at)
            self._heard_at = at

    @property
    def rests(self) -> bool:
        """Nothing waits to be sent, and `next_timeout` can only have moved away since it was looked at."""
        return not self._out and self.state is PeerState.CONNECTED

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """What to send now, in order; the list is emptied."""
        out, self._out = self._out, []
        return out

    def next_timeout(self, now: float) -> float | None:
        """When to call `handle_timeout`; None when closed."""
        if self.state is PeerState.CLOSED:
            return None
        if self.state is PeerState.WAITING:
            return self._heard_at + FIRST_CHECK_TIMEOUT
        silent_at = self._heard_at + CONSENT_TIMEOUT
        dtls_at = self._dtls.next_timeout(now)
        return silent_at if dtls_at is None else min(silent_at, dtls_at)

    def handle_timeout(self, now: float) -> list[PeerEvent]:
        """Do what is due; calling it too early does nothing."""
        if self.state is PeerState.CLOSED:
            return []
        if self.state is PeerState.WAITING:
            late = now >= self._heard_at + FIRST_CHECK_TIMEOUT
            return self._close(CloseCause.NO_CHECK) if late else []
        if now >= self._heard_at + CONSENT_TIMEOUT:
            return self._close(CloseCause.SILENT)
        try:
            self._dtls.handle_timeout(now)
        except HandshakeFailed as exc:
            return self._close(CloseCause.HANDSHAKE, str(exc))
        self._flush_dtls()
        return []

    def close(self) -> list[PeerEvent]:
        """Say goodbye; drain `datagrams_to_send()` once more. Returns the last event the first time."""
        return [] if self.state is PeerState.CLOSED else self._close(CloseCause.LOCAL)

    def _receive_check(self, datagram: bytes, message: StunMessage, address: Address, now: float) -> list[PeerEvent]:
        reply = self.ice.receive_check(datagram, message, address, now)
        if reply.datagram is not None:
            self._out.append((reply.datagram, address))
        if not reply.verified:
            return []
        self._heard_at = now
        if self.state is PeerState.WAITING:
            self.state = PeerState.HANDSHAKE
            self._dtls.start(now)
            self._flush_dtls()
        return [AddressChanged(address)] if reply.moved else []

    def _receive_dtls(self, datagram: bytes, address: Address, now: float) -> list[PeerEvent]:
        if not self.ice.is_verified(address, now):
            self.discarded += 1
            return []
        moved = self.ice.follow_handshake(address)
        events: list[PeerEvent] = [AddressChanged(address)] if moved else []
        try:
            self._dtls.receive_datagram(datagram, now)
        except HandshakeFailed as exc:
            return events + self._close(CloseCause.HANDSHAKE, str(exc))
        self._flush_dtls()
        if self._dtls.state is DtlsState.CLOSED:
            return events + self._close(CloseCause.GOODBYE)
        if self.state is PeerState.HANDSHAKE and self._dtls.keys is not None:
            events.append(self._connect(self._dtls.keys, address, now))
        return events

    def _connect(self, keys: SrtpKeys, address: Address, now: float) -> Connected:
        self.state = PeerState.CONNECTED
        self.sender = make_sender(keys)
        self._receiver = make_receiver(keys)
        self._heard_at = now
        return Connected(self.remote or address)

    def _receive_media(self, datagram: bytes, address: Address, now: float, waited: float) -> list[PeerEvent]:
        if self._receiver is None or not self.ice.is_verified(address, now):
            self.discarded += 1
            return []
        event: PeerEvent
        if is_rtcp(datagram):
            event = RtcpReceived(tuple(rtcp.parse(self._receiver.unprotect_rtcp(datagram))))
        else:
            event = RtpReceived(parse_rtp(self._receiver.unprotect(datagram)), waited)
        # what is authentic proves consent as well as a check: FFmpeg checks once and then only sends
        self.ice.refresh(address, now)
        self._heard_at = now
        return [event]

    def _flush_dtls(self) -> None:
        remote = self.ice.remote
        if remote is not None:
            self._out.extend((datagram, remote) for datagram in self._dtls.datagrams_to_send())

    def _close(self, cause: CloseCause, detail: str = "") -> list[PeerEvent]:
        self.state = PeerState.CLOSED
        self._dtls.close()
        self._flush_dtls()
        return [PeerClosed(cause, detail)]

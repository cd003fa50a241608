"""One viewer's or publisher's transport without I/O: ICE, then DTLS, then SRTP, in either DTLS role."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.ice_caller import IceCaller
from bench.whep_offer import WhepAnswer
from wire.dtls import DtlsConnection, DtlsContext, DtlsState, HandshakeFailed, is_dtls
from wire.errors import WireError
from wire.ice import IceCredentials
from wire.rtp import rtcp
from wire.rtp.rtcp import RtcpPacket
from wire.srtp import SrtpReceiver, SrtpSender, make_receiver, make_sender
from wire.stun import Address, is_stun

__all__ = ["PeerLost", "WhepPeer"]


class PeerLost(Exception):
    """This viewer is over. The sentence says why."""


class WhepPeer:
    """`receive_datagram` takes what is neither RTP nor RTCP; `open_rtp` and `open_rtcp` decrypt those.

    After each call drain `datagrams_to_send`. Call `handle_timeout` when `next_timeout` has come.
    """

    def __init__(self, context: DtlsContext, local: IceCredentials, answer: WhepAnswer, *, now: float) -> None:
        self.ice = IceCaller(local, answer.ice, answer.candidates, now=now)
        self.connected_at: float | None = None
        self.discarded = 0
        self._dtls = DtlsConnection(context, answer.role, fingerprints=answer.fingerprints)
        self._sender: SrtpSender | None = None
        self._receiver: SrtpReceiver | None = None
        self._out: list[tuple[bytes, Address]] = []

    @property
    def profile(self) -> str:
        return str(self._dtls.keys.profile) if self._dtls.keys else "none"

    @property
    def waiting_for(self) -> str:
        """What has not happened yet, for the sentence of a viewer that never joined."""
        if self.ice.selected is None:
            refusal = "" if self.ice.refusal is None else f", they are refused with {self.ice.refusal}"
            return f"answer to the connectivity checks{refusal}"
        return "DTLS handshake" if self.connected_at is None else "keyframe"

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """STUN or DTLS; anything else is counted in `discarded`. Raises PeerLost."""
        try:
            if is_stun(datagram):
                self._receive_stun(datagram, address, now)
            elif is_dtls(datagram) and address == self.ice.selected:
                self._receive_dtls(datagram, now)
            else:
                self.discarded += 1
        except HandshakeFailed as exc:
            self._flush_dtls()
            raise PeerLost(str(exc)) from exc
        except WireError:
            self.discarded += 1

    def open_rtp(self, datagram: bytes) -> bytes | None:
        """The packet in clear; None before the keys are agreed on, for a forgery and for a repetition."""
        return self._open(self._receiver.unprotect, datagram) if self._receiver else None

    def open_rtcp(self, datagram: bytes) -> list[RtcpPacket]:
        clear = self._open(self._receiver.unprotect_rtcp, datagram) if self._receiver else None
        if clear is None:
            return []
        try:
            return rtcp.parse(clear)
        except WireError:
            self.discarded += 1
            return []

    def send_rtcp(self, packets: Iterable[RtcpPacket]) -> None:
        if self._sender and self.ice.selected:
            compound = b"".join(packet.to_bytes() for packet in packets)
            self._out.append((self._sender.protect_rtcp(compound), self.ice.selected))

    def send_rtp(self, packet: bytes, index: int) -> None:
        """For publishers; `index` is the packet's sequence number with its cycles. Dropped before there are keys."""
        if self._sender and self.ice.selected:
            self._out.append((self._sender.protect(packet, index), self.ice.selected))

    def next_timeout(self, now: float) -> float:
        dtls = self._dtls.next_timeout(now)
        return self.ice.check_at if dtls is None else min(dtls, self.ice.check_at)

    def handle_timeout(self, now: float) -> None:
        """Do what is due. Raises PeerLost."""
        if self.ice.consent_lost(now):
            raise PeerLost("the server no longer answers consent checks")
        self.ice.handle_timeout(now)
        try:
            self._dtls.handle_timeout(now)
        except HandshakeFailed as exc:
            raise PeerLost(str(exc)) from exc
        self._flush_dtls()

    def close(self) -> None:
        """Say goodbye; drain `datagrams_to_send` once more."""
        self._dtls.close()
        self._flush_dtls()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        out, self._out = self._out + self.ice.datagrams_to_send(), []
        return out

    def _receive_stun(self, datagram: bytes, address: Address, now: float) -> None:
        before = self.ice.selected
        self.ice.receive(datagram, address, now)
        if before is None and self.ice.selected is not None:
            self._dtls.start(now)
            self._flush_dtls()

    def _receive_dtls(self, datagram: bytes, now: float) -> None:
        self._dtls.receive_datagram(datagram, now)
        self._flush_dtls()
        if self._dtls.state is DtlsState.CLOSED:
            raise PeerLost("the server said goodbye")
        if self._dtls.keys is not None and self.connected_at is None:
            self.connected_at = now
            self._sender = make_sender(self._dtls.keys)
            self._receiver = make_receiver(self._dtls.keys)

    def _open(self, unprotect: Callable[[bytes], bytes], datagram: bytes) -> bytes | None:
        try:
            return unprotect(datagram)
        except WireError:
            self.discarded += 1
            return None

    def _flush_dtls(self) -> None:
        if self.ice.selected is not None:
            self._out += [(datagram, self.ice.selected) for datagram in self._dtls.datagrams_to_send()]

"""A load publisher by WHIP: the clip's pictures and Opus over RTP, with repairs and sender reports."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qs, urlsplit, urlunsplit

from bench.datagrams import widen_buffer
from bench.whep_http import WhepRefused, WhepUrl, delete_session, post_offer
from bench.whep_offer import WhepAnswer, make_offer, read_answer
from bench.whep_peer import PeerLost, WhepPeer
from bench.whip_media import Shot
from wire.dtls import MAX_DATAGRAM_SIZE, DtlsContext
from wire.ice import CREDENTIAL_RANDOM_SIZE, make_credentials
from wire.rtp import extensions, rtx
from wire.rtp.history import PacketHistory
from wire.rtp.packet import RtpPacket, is_rtcp, is_rtp_or_rtcp
from wire.rtp.rtcp import Bye, Nack, RtcpPacket, SenderReport
from wire.stun import Address

__all__ = ["RtpMedia", "WhipPublisher", "is_whip_url"]

CONNECT_S = 10.0
WAIT_S = 0.02  # between looks at what the server says, however far away the next picture is
REPORT_S = 1.0
_NTP_UNIX = 2_208_988_800
_WRAP = 0xFFFFFFFF


def is_whip_url(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


class RtpMedia(Protocol):
    """What is sent: `shots` in order of time, and the payloads of one when it is due, at `now_ns` (monotonic)."""

    def shots(self) -> Iterator[Shot]: ...

    def payloads(self, shot: Shot, now_ns: int) -> list[bytes]: ...


class WhipPublisher:
    """Driven by the thread that calls `connect` and then `run`. The stream key goes into the URL as `?key=SECRET`, and
    from there into the Authorization header.
    """

    def __init__(self, url: str, media: RtpMedia) -> None:
        parts = urlsplit(url)
        key = parse_qs(parts.query).get("key", [None])[0]
        self._url = WhepUrl(urlunsplit(parts._replace(query="")), key)
        self._media = media
        self._context = DtlsContext(today=datetime.now(UTC))
        self._session: WhepUrl | None = None
        self._sock: socket.socket | None = None
        self._peer: WhepPeer | None = None
        self._sources: dict[bool, _Source] = {}
        self._repairs: _Source | None = None
        self._extension: int | None = None
        self._transport_sequence = 0
        self.bytes_sent = 0
        self.packets_repaired = 0

    def connect(self) -> None:
        """Until the keys are agreed on. OSError, WireError, WhepRefused or PeerLost, as ConnectionError."""
        try:
            self._connect()
        except (WhepRefused, PeerLost) as exc:
            raise ConnectionError(str(exc)) from exc

    def run(self, stopped: Callable[[float], bool]) -> None:
        """Send until `stopped(seconds)`, which waits at most so long, is true. ConnectionError at the end."""
        try:
            self._run(stopped)
        except PeerLost as exc:
            raise ConnectionError(str(exc)) from exc

    def close(self) -> None:
        if self._peer is not None:
            self._peer.send_rtcp([Bye(tuple(source.ssrc for source in self._sources.values()))])
            self._peer.close()
            self._flush()
        if self._session is not None:
            with suppress(WhepRefused, OSError):  # it ends by itself
                delete_session(self._session)
        if self._sock is not None:
            self._sock.close()

    def _connect(self) -> None:
        family, kind, _, _, address = socket.getaddrinfo(self._url.host, self._url.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            host = probe.getsockname()[0]
        self._sock = socket.socket(family, kind)
        self._sock.bind((host, 0))
        self._sock.setblocking(False)
        widen_buffer(self._sock)
        local = make_credentials(os.urandom(CREDENTIAL_RANDOM_SIZE))
        here = Address(host, self._sock.getsockname()[1])
        offer = make_offer(local, self._context.fingerprint, here, session_id=str(time.time_ns()), direction="sendonly")
        created = post_offer(self._url, offer)
        self._session = created.session
        answer = read_answer(created.answer, ipv6=":" in host, direction="recvonly")
        self._peer = WhepPeer(self._context, local, answer, now=time.monotonic())
        self._add_sources(answer)
        self._wait_for_keys()

    def _add_sources(self, answer: WhepAnswer) -> None:
        self._sources = {True: _Source(answer.video.payload_type, 90)}
        if answer.audio is not None:
            self._sources[False] = _Source(answer.audio.payload_type, 48)
        for repairing, repaired in answer.rtx.items():
            if repaired == answer.video.payload_type:
                self._repairs = _Source(repairing, 90)
        self._extension = answer.transport_sequence

    def _wait_for_keys(self) -> None:
        peer = self._peer
        assert peer is not None
        deadline = time.monotonic() + CONNECT_S
        while peer.connected_at is None:
            self._listen(WAIT_S)
            if time.monotonic() > deadline:
                raise PeerLost(f"no {peer.waiting_for} within {CONNECT_S:.0f} s")

    def _run(self, stopped: Callable[[float], bool]) -> None:
        begun = time.monotonic()
        wall = time.time()
        reported_at = begun
        for shot in self._media.shots():
            due = begun + shot.at_ms / 1000
            while (wait := due - time.monotonic()) > 0:
                if stopped(min(wait, WAIT_S)):
                    return
                self._listen(0)
            if stopped(0):
                return
            self._listen(0)
            self._send(shot)
            now = time.monotonic()
            if now - reported_at >= REPORT_S:
                reported_at = now
                self._report(now - begun, wall)

    def _send(self, shot: Shot) -> None:
        source = self._sources.get(shot.is_video)
        if source is None:
            return
        payloads = self._media.payloads(shot, time.monotonic_ns())
        for number, payload in enumerate(payloads):
            packet, index = source.packet(payload, shot.rtp_time, marker=number == len(payloads) - 1)
            self._send_packet(packet, index)
            source.history.put(index, packet)
        self._flush()

    def _send_packet(self, packet: RtpPacket, index: int) -> None:
        assert self._peer is not None
        if self._extension is not None:
            self._transport_sequence = (self._transport_sequence + 1) & 0xFFFF
            profile, block = extensions.build({self._extension: self._transport_sequence.to_bytes(2, "big")})
            data = replace(packet, extension_profile=profile, extension=block).to_bytes()
        else:
            data = packet.to_bytes()
        self._peer.send_rtp(data, index)

    def _report(self, elapsed: float, wall: float) -> None:
        assert self._peer is not None
        ntp = int((wall + elapsed + _NTP_UNIX) * (1 << 32))
        packets: list[RtcpPacket] = [source.report(ntp, elapsed) for source in self._sources.values()]
        self._peer.send_rtcp(packets)
        self._flush()

    def _listen(self, timeout: float) -> None:
        """Take what has come, and do what is due."""
        assert self._sock is not None
        assert self._peer is not None
        if select.select([self._sock], [], [], timeout)[0]:
            while (received := self._receive(self._sock)) is not None:
                self._take(*received)
        now = time.monotonic()
        if now >= self._peer.next_timeout(now):
            self._peer.handle_timeout(now)
        self._flush()

    @staticmethod
    def _receive(sock: socket.socket) -> tuple[bytes, Address] | None:
        try:
            datagram, address = sock.recvfrom(MAX_DATAGRAM_SIZE)
        except BlockingIOError:
            return None
        return datagram, Address(address[0], address[1])

    def _take(self, datagram: bytes, address: Address) -> None:
        assert self._peer is not None
        if not is_rtp_or_rtcp(datagram):
            self._peer.receive_datagram(datagram, address, time.monotonic())
        elif is_rtcp(datagram):
            for packet in self._peer.open_rtcp(datagram):
                if isinstance(packet, Nack):
                    self._repair(packet)
                elif isinstance(packet, Bye):
                    raise PeerLost(f"the server said goodbye: {packet.reason or 'no reason'}")

    def _repair(self, nack: Nack) -> None:
        source = self._sources[True]
        if self._repairs is None or nack.media_ssrc != source.ssrc:
            return
        for sequence in nack.lost:
            packet = source.find(sequence)
            if packet is not None:
                self.packets_repaired += 1
                payload = rtx.wrap_payload(sequence, packet.payload)
                self._send_packet(*self._repairs.packet(payload, packet.timestamp, marker=packet.marker))

    def _flush(self) -> None:
        assert self._sock is not None
        assert self._peer is not None
        for datagram, address in self._peer.datagrams_to_send():
            self._send_datagram(self._sock, datagram, address)

    def _send_datagram(self, sock: socket.socket, datagram: bytes, address: Address) -> None:
        try:
            self.bytes_sent += sock.sendto(datagram, address[:2])
        except BlockingIOError:
            return  # a full socket loses it, as a full queue on the way would


class _Source:
    """One SSRC that is sent: its numbers, and what was sent last."""

    def __init__(self, payload_type: int, ticks_per_ms: int) -> None:
        self.ssrc = 1 + int.from_bytes(os.urandom(4), "big") % _WRAP
        self.history: PacketHistory[RtpPacket] = PacketHistory()
        self._payload_type = payload_type
        self._ticks_per_ms = ticks_per_ms
        self._index = 0
        self._packets = self._octets = 0

    def packet(self, payload: bytes, rtp_time: int, *, marker: bool) -> tuple[RtpPacket, int]:
        """The next packet, and the index that it is to be encrypted with."""
        self._index += 1
        self._packets += 1
        self._octets += len(payload)
        packet = RtpPacket(
            self._payload_type, self._index & 0xFFFF, rtp_time & _WRAP, self.ssrc, payload, marker=marker
        )
        return packet, self._index

    def find(self, sequence: int) -> RtpPacket | None:
        """The last packet with this number."""
        behind = (self._index - sequence) & 0xFFFF
        return self.history.get(self._index - behind)

    def report(self, ntp: int, elapsed: float) -> SenderReport:
        rtp_time = round(elapsed * 1000 * self._ticks_per_ms) & _WRAP
        return SenderReport(self.ssrc, ntp, rtp_time, self._packets & _WRAP, self._octets & _WRAP)

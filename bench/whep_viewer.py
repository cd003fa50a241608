"""One WebRTC viewer and its socket: joins, then counts or checks what comes, and says what keeps a session alive."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct

from bench.datagrams import BATCH, DatagramBatch, dropped_by_kernel, widen_buffer
from bench.media_sample import SampleTaker
from bench.packet_counter import PacketCounter
from bench.rtp_meter import RtpMeter
from bench.timeline_origin import TimelineOrigin
from bench.whep_http import SessionCreated, WhepUrl
from bench.whep_offer import WhepAnswer, make_offer, read_answer
from bench.whep_peer import PeerLost, WhepPeer
from bench.whep_probe import WhepProbe
from wire.dtls import MAX_DATAGRAM_SIZE, DtlsContext
from wire.errors import WireError
from wire.ice import CREDENTIAL_RANDOM_SIZE, make_credentials
from wire.rtp import extensions
from wire.rtp.packet import parse as parse_rtp
from wire.rtp.rtcp import Bye, ReceiverReport, Remb, RtcpPacket, SenderReport
from wire.rtp.twcc import ArrivalRecorder
from wire.stun import Address

__all__ = ["REPORT_S", "ViewerSurroundings", "WhepViewer"]

REPORT_S = 2 / 3  # Chromium sends a report with its estimate about one and a half times a second
MIN_ESTIMATE = 10_000_000  # bits per second: what the viewer says of its path, on which nothing else goes
HEADROOM = 1.5  # and at least so many times what arrives, as Chromium's own estimate is bounded
COUNTED_ROOM = 320  # bytes kept of a datagram that is only counted: any STUN, RTCP and alert, and RTP's header
MAX_SOURCES = 8  # SSRCs of one server: video, sound and a repetition of each are four

_HEADER = Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class ViewerSurroundings:
    """What the viewers of one process share. `host` is the local address that reaches the server."""

    context: DtlsContext
    host: str
    whole: DatagramBatch
    cut: DatagramBatch

    @classmethod
    def towards(cls, context: DtlsContext, url: WhepUrl) -> ViewerSurroundings:
        """The family and the local address that lead to the server's HTTP port. Nothing is sent."""
        family, kind, _, _, address = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as sock:
            sock.connect(address)
            host = sock.getsockname()[0]
        return cls(context, host, DatagramBatch(MAX_DATAGRAM_SIZE), DatagramBatch(COUNTED_ROOM))

    @property
    def ipv6(self) -> bool:
        return ":" in self.host


class WhepViewer:
    """`offer` is to be posted, then `answered` called with what came. `drain`, `sweep` and `tick` raise PeerLost,
    OSError.

    Until the first keyframe everything is decrypted; after that only when `checked`, of which `lips` keep pictures
    too. Those that `count` need not be woken: `sweep` takes what has come, now and then.
    """

    def __init__(
        self, number: int, around: ViewerSurroundings, *, checked: bool, now: float, lips: bool = False
    ) -> None:
        self.number = number
        self.checked = checked
        self.lips = lips
        self.open = True
        self.reporting = False
        self.started = self.last = now
        self.session: WhepUrl | None = None
        self.timeline: str | None = None
        self.answered_at: float | None = None
        self.first_packet_at: float | None = None
        self.keyframe_at: float | None = None
        self.first_rtp_time: int | None = None
        self.received = self.packets = self.reads = 0
        self.gap = 0.0
        self.peer: WhepPeer | None = None
        self.probe: WhepProbe | None = None
        self.meters: dict[int, RtpMeter] = {}
        self._counter = PacketCounter()
        self._around = around
        self._batch = around.whole
        self._connected = False
        self._answer: WhepAnswer | None = None
        self._ssrc = int.from_bytes(os.urandom(4), "big")
        self._arrivals: ArrivalRecorder | None = None
        self._reported = (now, 0)
        self._drops_before = 0
        self._local = make_credentials(os.urandom(CREDENTIAL_RANDOM_SIZE))
        family = socket.AF_INET6 if around.ipv6 else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(("", 0))
        self.receive_buffer = widen_buffer(self.sock)

    @property
    def connected_at(self) -> float | None:
        return self.peer.connected_at if self.peer else None

    @property
    def counts(self) -> bool:
        """Whether nothing but numbers is looked at from now on. Feedback about each packet wants each looked at."""
        return self.keyframe_at is not None and self.probe is None and self._arrivals is None

    @property
    def waiting_for(self) -> str:
        return self.peer.waiting_for if self.peer else "answer to the offer"

    def offer(self) -> str:
        host = Address(self._around.host, self.sock.getsockname()[1])
        session_id = str(int.from_bytes(os.urandom(8), "big") >> 1)
        return make_offer(self._local, self._around.context.fingerprint, host, session_id=session_id)

    def answered(self, created: SessionCreated, now: float) -> None:
        """Read the answer and send the first check. Raises `WireError` when it cannot be used."""
        self.session, self.timeline, self.answered_at = created.session, created.timeline, created.at
        answer = read_answer(created.answer, ipv6=self._around.ipv6)
        self._answer = answer
        origin = None if created.timeline is None else TimelineOrigin.parse(created.timeline)
        taker = SampleTaker(answer.parameter_set_nals, origin, lips=self.lips) if self.checked else None
        self.probe = WhepProbe(answer, taker)
        self._arrivals = None if answer.transport_sequence is None else ArrivalRecorder(self._ssrc)
        self.peer = WhepPeer(self._around.context, self._local, answer, now=now)
        self.peer.handle_timeout(now)
        self._flush()

    def measure_from(self, now: float, samples: Sequence[float]) -> None:
        """Forget what was counted while joining; keep samples from so many seconds after now on."""
        self.last, self.gap = now, 0.0
        self.received = self.packets = self.reads = 0
        self._reported = (now, 0)
        self._drops_before = dropped_by_kernel(self.sock)
        for meter in self.meters.values():
            meter.measure_from_here()
        if self.probe:
            self.probe.measure()
            if self.probe.taker:
                self.probe.taker.begin(samples, now)

    def drain(self, now: float) -> None:
        """Take everything that has arrived."""
        if not self._connected:
            self._drain_unconnected(now)
            return
        batch, fd = self._batch, self.sock.fileno()
        while (count := batch.receive(fd)) > 0:
            # what is checked is timed when it is read, what is counted when the loop woke: that is one call less
            self._take(batch, count, time.monotonic() if self.probe else now)
            if count < BATCH:
                break
        self._flush()

    def sweep(self, now: float) -> None:
        """`drain` for those that count: what is queued, in as few calls as can be."""
        batch, fd = self._batch, self.sock.fileno()
        while (count := batch.receive(fd)) > 0:
            size = self._counter.count(batch, count)
            if size is None:
                self._take(batch, count, now)
                self._flush()
            else:
                self.last = now
                self.received += size
                self.packets += count
            if count < BATCH:
                break

    def tick(self, now: float) -> None:
        """What joining and checked viewers do every few milliseconds: timers, and asking again for what is lost."""
        if self.peer is None:
            return
        if now >= self.peer.next_timeout(now):
            self.peer.handle_timeout(now)
        if self.probe and self.peer.connected_at is not None:
            self.probe.handle_timeout(now)
            if wanted := self.probe.feedback(self._ssrc, now, self.peer.ice.rtt):
                self.peer.send_rtcp(wanted)
        self._flush()

    def report(self, now: float) -> None:
        """Every `REPORT_S`: a receiver report, the estimate, and a consent check when one is due."""
        if self.peer is None:
            return
        self.peer.handle_timeout(now)
        self.peer.send_rtcp(self._report_packets(now))
        self._flush()

    def missing(self) -> tuple[int, int]:
        """(expected, missing) packets by their sequence numbers, repetitions left out."""
        return _missing(meter for meter in self.meters.values() if not self._is_repetition(meter))

    def missing_sound(self) -> tuple[int, int]:
        """The same, of the sound alone."""
        return _missing(meter for meter in self.meters.values() if self._is_sound(meter))

    @property
    def promised_sound(self) -> bool:
        return self._answer is not None and self._answer.audio is not None

    def dropped(self) -> int:
        """Datagrams that this viewer's own socket had no room for."""
        return dropped_by_kernel(self.sock) - self._drops_before

    def close(self) -> None:
        """Say goodbye to the server; the socket stays until `sock.close()`."""
        self.open = False
        if self.peer:
            self.peer.close()
            with suppress(OSError):  # the server may be gone
                self._flush()

    def _drain_unconnected(self, now: float) -> None:
        """While candidates are tried, answers come from any of them."""
        for _ in range(BATCH):
            try:
                datagram, (host, port, *_) = self.sock.recvfrom(MAX_DATAGRAM_SIZE)
            except BlockingIOError:
                break
            if self.peer is None:
                continue  # nobody can know this port yet
            self.peer.receive_datagram(datagram, Address(host, port), now)
            if (selected := self.peer.ice.selected) is not None:
                self.sock.connect((selected.host, selected.port))
                self._connected = True
                break
        self._flush()

    def _take(self, batch: DatagramBatch, count: int, now: float) -> None:
        buffer, room, sizes, stride, at = batch.buffer, batch.room, batch.sizes, batch.stride, batch.first
        meters = self.meters
        self.gap = max(self.gap, now - self.last)
        self.last = now
        self.reads += 1
        for k in range(count):
            size = sizes[at + k * stride]
            first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(buffer, k * room)
            if size < _HEADER.size or not 128 <= first <= 191 or 192 <= second <= 223:
                self._take_other(batch.datagram(k), now)
                continue
            self.received += size
            self.packets += 1
            meter = meters.get(ssrc) or self._meet(ssrc, second & 0x7F, sequence)
            meter.take(sequence)
            meter.arrived(timestamp, now)
            if self.probe:
                self._check(batch.datagram(k), size, now)
            if self._arrivals:
                self._note_arrival(batch.datagram(k), now)

    def _meet(self, ssrc: int, payload_type: int, sequence: int) -> RtpMeter:
        """The meter of a new SSRC. Raises PeerLost for a server that has too many of them."""
        assert self._answer is not None
        if len(self.meters) >= MAX_SOURCES:
            raise PeerLost(f"the server sends more than {MAX_SOURCES} SSRCs")
        clock_rate = self._answer.clock_rates.get(payload_type, self._answer.video.clock_rate)
        meter = self.meters[ssrc] = RtpMeter(ssrc, payload_type, clock_rate, sequence)
        self._counter.add(meter)
        return meter

    def _check(self, datagram: bytes, size: int, now: float) -> None:
        assert self.peer is not None
        assert self.probe is not None
        clear = self.peer.open_rtp(datagram)
        if clear is None:
            return
        self.first_packet_at = self.first_packet_at or now
        self.probe.receive(clear, size, now)
        if self.keyframe_at is None and self.probe.keyframe_at is not None:
            self.keyframe_at = self.probe.keyframe_at
            self.first_rtp_time = self.probe.first_rtp_time
            if not self.checked:
                self.probe = None
                self._batch = self._around.cut

    def _take_other(self, datagram: bytes, now: float) -> None:
        assert self.peer is not None
        if len(datagram) >= 8 and 128 <= datagram[0] <= 191:
            self._take_rtcp(self.peer.open_rtcp(datagram), now)
        elif self.peer.ice.selected is not None:
            self.peer.receive_datagram(datagram, self.peer.ice.selected, now)

    def _take_rtcp(self, packets: Iterable[RtcpPacket], now: float) -> None:
        for packet in packets:
            if isinstance(packet, SenderReport) and packet.ssrc in self.meters:
                meter = self.meters[packet.ssrc]
                meter.sender_reported(packet, now)
                if self.probe:
                    self.probe.reported(packet, meter.payload_type)
            elif isinstance(packet, Bye) and any(ssrc in self.meters for ssrc in packet.ssrcs):
                raise PeerLost(f"the server ended the stream: BYE {packet.reason}".rstrip())

    def _note_arrival(self, datagram: bytes, now: float) -> None:
        """Header extensions are in clear, so that what is only counted can be reported too."""
        assert self._answer is not None
        assert self._answer.transport_sequence is not None
        assert self._arrivals is not None
        try:
            packet = parse_rtp(datagram[:-1] + b"\1")  # what would be the count of the padding is ciphertext
            if packet.extension_profile is None:
                return
            values = extensions.parse(packet.extension_profile, packet.extension)
            if (value := values.get(self._answer.transport_sequence)) is not None:
                self._arrivals.record(extensions.read_transport_sequence(value), now)
        except WireError:
            return  # a packet without a readable number is one that the server learns nothing about

    def _report_packets(self, now: float) -> list[RtcpPacket]:
        assert self._answer is not None
        blocks = tuple(meter.block(now) for meter in self.meters.values() if not self._is_repetition(meter))
        packets: list[RtcpPacket] = [ReceiverReport(self._ssrc, blocks)]
        before, bytes_before = self._reported
        self._reported = (now, self.received)
        if self._answer.wants_estimates and self.meters:
            rate = 8 * (self.received - bytes_before) / max(now - before, 0.001)
            packets.append(Remb(self._ssrc, max(MIN_ESTIMATE, int(HEADROOM * rate)), tuple(self.meters)))
        if self._arrivals and self.meters:
            packets += self._arrivals.feedback(next(iter(self.meters)))
        return packets

    def _is_repetition(self, meter: RtpMeter) -> bool:
        return self._answer is not None and meter.payload_type in self._answer.rtx

    def _is_sound(self, meter: RtpMeter) -> bool:
        audio = self._answer.audio if self._answer is not None else None
        return audio is not None and meter.payload_type == audio.payload_type

    def _flush(self) -> None:
        """So few bytes always find room; what is lost is sent again by who wants it."""
        if self.peer is None:
            return
        for datagram, address in self.peer.datagrams_to_send():
            if self._connected:
                with suppress(BlockingIOError):
                    self.sock.send(datagram)
            else:
                with suppress(OSError):  # a candidate that cannot be reached from here
                    self.sock.sendto(datagram, (address.host, address.port))


def _missing(meters: Iterable[RtpMeter]) -> tuple[int, int]:
    chosen = list(meters)
    return sum(meter.expected for meter in chosen), sum(meter.missing for meter in chosen)

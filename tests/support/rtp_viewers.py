"""Viewers for the batch senders: targets with keys, and receivers that decrypt what arrives."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

from relay.endpoint import UdpRoute
from relay.report_inbox import Reports
from relay.rtp_batch import HeaderKey, RtpBatch, SharedPacket
from relay.rtp_target import History, Repeat, RtpTarget
from wire.dtls import SrtpKeys, SrtpProfile
from wire.rtp.packet import RtpPacket, parse
from wire.srtp import make_receiver, make_sender
from wire.webrtc import WebRtcPeer

SSRC = 0xCAFE_F00D
SEND_TIME_ID = 3


def keys(profile: SrtpProfile, seed: int) -> tuple[SrtpKeys, SrtpKeys]:
    """A sender's keys and those of its receiver."""
    rng = random.Random(seed)
    key, salt = rng.randbytes(16), rng.randbytes(profile.salt_size)
    other, other_salt = rng.randbytes(16), rng.randbytes(profile.salt_size)
    return SrtpKeys(profile, key, salt, other, other_salt), SrtpKeys(profile, other, other_salt, key, salt)


class FakePort:
    """A port that keeps what is sent; `room` is how many datagrams it takes before it is full, None for ever."""

    def __init__(self, route: UdpRoute | None = None) -> None:
        self.route = route
        self.sent: list[bytes] = []
        self.room: int | None = None

    @property
    def peer(self) -> WebRtcPeer:
        raise AssertionError("nobody looks at this peer")

    def send(self, datagram: bytes) -> bool:
        if self.room == 0:
            return False
        if self.room is not None:
            self.room -= 1
        self.sent.append(datagram)
        return True

    def read_reports(self, *, aside: bool) -> None:
        pass

    def reports(self) -> Reports | None:
        return None

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Viewer:
    """One target and the receiver of what it is sent, over a socket of its own or through a fake port.

    With a `rider_type` it has a rider, its sound, under the next SSRC.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        route: UdpRoute | None = None,
        incoming: socket.socket | None = None,
        profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM,
        payload_type: int = 96,
        send_time_id: int = SEND_TIME_ID,
        rider_type: int | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        ours, theirs = keys(profile, seed)
        self.port = FakePort(route)
        sender = make_sender(ours)
        key = HeaderKey(SSRC, payload_type, send_time_id)
        self.target = RtpTarget(key, sender, self.port, repeat=repeat)
        if rider_type is not None:
            self.target.rider = RtpTarget(HeaderKey(SSRC + 1, rider_type, send_time_id), sender, self.port)
        self.raw: list[bytes] = []
        self._incoming = incoming
        self._receiver = make_receiver(theirs)

    @property
    def rider(self) -> RtpTarget:
        assert self.target.rider is not None
        return self.target.rider

    def received(self) -> list[RtpPacket]:
        """What has arrived since the last call, decrypted."""
        if self._incoming is None:
            datagrams, self.port.sent = self.port.sent, []
        else:
            datagrams = drain(self._incoming)
        self.raw += datagrams
        return [parse(self._receiver.unprotect(datagram)) for datagram in datagrams]


def drain(incoming: socket.socket) -> list[bytes]:
    datagrams = []
    while True:
        try:
            datagrams.append(incoming.recv(65_536))
        except BlockingIOError:
            return datagrams


def shared_packets(sizes: Sequence[int], *, first: int = 0, rtp_time: int = 90_000) -> list[SharedPacket]:
    """Packets whose payloads all differ; the last one has the marker."""
    last = len(sizes) - 1
    return [
        SharedPacket(first + at, rtp_time & 0xFFFFFFFF, at == last, random.Random(first + at).randbytes(size))
        for at, size in enumerate(sizes)
    ]


def history_of(packets: Sequence[SharedPacket]) -> History:
    history = History()
    for packet in packets:
        history.put(packet.shared, packet)
    return history


def batch_of(sizes: Sequence[int], *, first: int = 0, rtp_time: int = 90_000, stamped_at: float = 1.5) -> RtpBatch:
    return RtpBatch(shared_packets(sizes, first=first, rtp_time=rtp_time), stamped_at)


def with_rider(batch: RtpBatch, sizes: Sequence[int], *, first: int = 0) -> RtpBatch:
    """The same batch, and sound that may leave with it."""
    batch.rider = RtpBatch([packet._replace(marker=False) for packet in shared_packets(sizes, first=first)], 1.5)
    return batch

"""One RTP stream to one viewer: its place in the shared packets, and the one hand that gives out sequence numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from relay.endpoint import UdpRoute, WebRtcPort
from relay.rtp_batch import HeaderKey, RtpBatch, SharedPacket, rtp_header
from wire.rtp.history import DEFAULT_CAPACITY, PacketHistory
from wire.rtp.sequence import sequence_distance
from wire.srtp import GcmSender, SrtpSender

__all__ = ["History", "Repeat", "RtpTarget", "find_place", "find_rider", "note_sent"]

History = PacketHistory[SharedPacket]
Repeat = Callable[[int, SharedPacket, float], object]
"""Sends a packet once more, which is not its place in the stream: (own index, packet, now)."""
FIRST_INDEX = 1
"""A receiver's roll-over counter begins at 0, so a viewer's own indices begin just above it. Below is the opener."""
OPENER = 0
"""The own index of an empty packet ahead of the first."""


class _Span(NamedTuple):
    """From this viewer's index `first` on, its index of a shared packet is `shared - base`."""

    first: int
    base: int
    history: History


class RtpTarget:
    """`next` is the shared index of the next packet to send; `next - base` is the viewer's own, which only ever grows.

    The sequence number of a packet is its own index modulo 2^16, its roll-over counter the rest: no index, and so no
    nonce, is ever used twice for two different packets. `rider` is the same viewer's sound, which may leave with its
    picture. `repeat` is there where the viewer asks again for what it has lost.
    """

    __slots__ = (
        "_spans",
        "base",
        "errors",
        "header",
        "native",
        "next",
        "nonce_mask",
        "octets",
        "packets",
        "port",
        "repeat",
        "rider",
        "route",
        "sender",
        "skips",
    )

    def __init__(
        self, header: HeaderKey, sender: SrtpSender, port: WebRtcPort, *, repeat: Repeat | None = None
    ) -> None:
        self.header = header
        self.repeat = repeat
        self.sender = sender
        self.port = port
        self.route: UdpRoute | None = port.route
        self.nonce_mask = sender.salt ^ (header.ssrc << 48) if isinstance(sender, GcmSender) else 0
        self.native: object | None = None
        self.rider: RtpTarget | None = None
        self.base = 0
        self.next = FIRST_INDEX
        self.packets = 0
        self.octets = 0
        self.errors = 0
        self.skips = 0
        self._spans: deque[_Span] = deque()

    def __repr__(self) -> str:
        return f"<RtpTarget ssrc={self.header.ssrc:08x} next={self.next} base={self.base} packets={self.packets}>"

    @property
    def next_own(self) -> int:
        """The viewer's own index of the next packet."""
        return self.next - self.base

    @property
    def since_move(self) -> tuple[int, History] | None:
        """The first shared packet since the last `move`, and its history; None before the first."""
        if not self._spans:
            return None
        last = self._spans[-1]
        return last.first + last.base, last.history

    def lead(self, first: SharedPacket, now: float) -> None:
        """Before a `move` to a keyframe, whose first packet this is: send that one beforehand too.

        It has the parameter sets. Browsers that lack them do not wait until they are sent again: they throw away what
        comes of the picture, and ask for another. Nothing happens for a viewer that takes no repeats; where the socket
        is full it is left out.
        """
        if self.repeat is None:
            return
        if not self._spans:
            self._open(first.rtp_time, now)
        self.repeat(self.next_own, first, now)

    def _open(self, rtp_time: int, now: float) -> None:
        """Send an empty packet ahead of the first one, in a datagram of its own.

        A receiver counts from the first packet that it gets, and never asks for those before it: where they begin the
        first picture, it has none until the next keyframe. The opener is padding (RFC 3550, 5.1), and is not counted:
        with a first packet counted, the picture's first sender report would leave before the sound has one.
        """
        packet = SharedPacket(OPENER, rtp_time, False, b"\x01", 1)
        header = rtp_header(packet, self.header, OPENER, now)
        self.port.send(self.sender.protect(header + packet.payload, OPENER))

    def move(self, shared: int, history: History) -> None:
        """Continue with this shared packet, under the viewer's next own index: a join, a replay, a skip or a switch."""
        own = self.next_own
        self.base = shared - own
        self.next = shared
        if self._spans and self._spans[-1].first == own:
            self._spans.pop()  # nothing was sent since the last move
        self._spans.append(_Span(own, self.base, history))
        while len(self._spans) > 1 and self._spans[1].first <= own - DEFAULT_CAPACITY:
            self._spans.popleft()

    def locate(self, sequence: int) -> tuple[int, SharedPacket] | None:
        """Own index and packet that went out under this sequence number; None when it is too old or not ours."""
        newest = self.next_own - 1
        own = newest + sequence_distance(sequence, newest & 0xFFFF)
        if not FIRST_INDEX <= own <= newest:
            return None
        for span in reversed(self._spans):
            if own >= span.first:
                packet = span.history.get(own + span.base)
                return None if packet is None else (own, packet)
        return None


def find_rider(batch: RtpBatch, target: RtpTarget) -> RtpTarget | None:
    """The target's rider, where the batch has just what that needs next: it may go along."""
    sound, rider = batch.rider, target.rider
    if sound is None or rider is None or not isinstance(rider.sender, GcmSender):
        return None
    is_next = rider.next == sound.first or (sound.first < rider.next < sound.end and target.next >= batch.end)
    return rider if is_next else None


def find_place(batch: RtpBatch, target: RtpTarget, rider: RtpTarget | None) -> int:
    """Which packet of the batch's cargo is the first that is still to be sent."""
    if rider is not None and batch.rider is not None and target.next >= batch.end:
        return len(batch.packets) + rider.next - batch.rider.first
    return max(0, target.next - batch.first)


def note_sent(batch: RtpBatch, target: RtpTarget, rider: RtpTarget | None, start: int, end: int) -> None:
    """The packets of the batch's cargo from `start` to `end` have left for a target and its rider."""
    own = len(batch.packets)
    if start < own:
        batch.note_sent(target, start, min(end, own))
    if end > own and rider is not None and batch.rider is not None:
        batch.rider.note_sent(rider, max(start - own, 0), end - own)

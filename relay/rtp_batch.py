"""Packets that all viewers of one stream share: payloads with one index, and headers that differ in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from wire.rtp import extensions
from wire.rtp.packet import header

__all__ = [
    "MAX_RUN_BYTES",
    "MAX_RUN_PACKETS",
    "TAG_SIZE",
    "Cargo",
    "HeaderKey",
    "RtpBatch",
    "SharedPacket",
    "rtp_header",
]

MAX_RUN_PACKETS = 64
"""UDP_MAX_SEGMENTS: what one segmented send may carry on every kernel that has it."""
MAX_RUN_BYTES = 60_000
"""Below the 65,507 bytes of a UDP datagram before segmentation, with room for control data."""
TAG_SIZE = 16
"""What AES-GCM adds to a payload (RFC 7714, 5.2)."""


class SharedPacket(NamedTuple):
    """One packet of a rendition, `shared` is its index. `payload` and `rtp_time` are the same for every viewer.

    The payload ends with `padding` bytes that are none of it (RFC 3550, 5.1), and always with the same ones: an index
    must not be used for two different texts.
    """

    shared: int
    rtp_time: int
    marker: bool
    payload: bytes
    padding: int = 0


class HeaderKey(NamedTuple):
    """What viewers' headers differ in, beside the sequence number. `send_time_id` 0: no abs-send-time extension."""

    ssrc: int
    payload_type: int
    send_time_id: int


class Counting(Protocol):
    """What of a target is counted: see `relay.rtp_target.RtpTarget`."""

    next: int
    packets: int
    octets: int


class Cargo(NamedTuple):
    """What leaves for one kind of viewer: `own` packets of a batch, and behind them those of its rider.

    `runs` are (start, end) positions: packets of equal size and one smaller tail, which one segmented send can carry.
    """

    headers: list[bytearray]
    payloads: list[bytes]
    own: int
    runs: tuple[tuple[int, int], ...]


class RtpBatch:
    """Packets with consecutive indices, sent together at `stamped_at` (seconds on any steady clock).

    `rider` is sound that leaves with this picture, for those targets whose own rider has come that far: a send costs
    much more than the few bytes of a packet of sound. `layouts` is where a fan-out keeps what it has made of a batch.
    """

    __slots__ = ("_headers", "end", "first", "layouts", "octets", "packets", "rider", "stamped_at")

    def __init__(self, packets: Sequence[SharedPacket], stamped_at: float) -> None:
        self.packets = packets
        self.first = packets[0].shared
        self.end = self.first + len(packets)
        self.octets = _octets(packets)
        self.stamped_at = stamped_at
        self.rider: RtpBatch | None = None
        self.layouts: dict[HeaderKey | tuple[HeaderKey, HeaderKey], object] = {}
        self._headers: dict[HeaderKey, list[bytearray]] = {}

    def __repr__(self) -> str:
        return f"<RtpBatch {self.first}..{self.end - 1} with {self.rider}>"

    def note_sent(self, target: Counting, start: int, end: int) -> None:
        """Packets from position `start` to `end` have left for this target."""
        whole = end - start == len(self.packets)
        target.next = self.first + end
        target.packets += end - start
        target.octets += self.octets if whole else _octets(self.packets[start:end])

    def headers(self, key: HeaderKey) -> list[bytearray]:
        """A header for each packet, its sequence number left open: whoever uses one sets it right before."""
        found = self._headers.get(key)
        if found is None:
            found = [bytearray(rtp_header(packet, key, 0, self.stamped_at)) for packet in self.packets]
            self._headers[key] = found
        return found

    def cargo(self, key: HeaderKey, rider_key: HeaderKey | None = None) -> Cargo:
        """For viewers with this kind of header, and of their rider, where it comes along."""
        headers, packets = self.headers(key), self.packets
        if rider_key is not None and self.rider is not None:
            headers, packets = headers + self.rider.headers(rider_key), [*packets, *self.rider.packets]
        payloads = [packet.payload for packet in packets]
        sizes = [len(header) + len(payload) + TAG_SIZE for header, payload in zip(headers, payloads, strict=True)]
        return Cargo(headers, payloads, len(self.packets), _runs(sizes))


def rtp_header(packet: SharedPacket, key: HeaderKey, sequence: int, stamped_at: float) -> bytes:
    """The header of one packet for one kind of viewer."""
    profile, block = None, b""
    if key.send_time_id:
        profile, block = extensions.build({key.send_time_id: extensions.abs_send_time(stamped_at)})
    return header(
        key.payload_type,
        sequence,
        packet.rtp_time,
        key.ssrc,
        marker=packet.marker,
        extension_profile=profile,
        extension=block,
        padded=packet.padding > 0,
    )


def _octets(packets: Sequence[SharedPacket]) -> int:
    """Of the payloads, without padding (RFC 3550, 6.4.1)."""
    return sum([len(packet.payload) - packet.padding for packet in packets])


def _runs(sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(sizes):
        size = sizes[at]
        most = min(len(sizes), at + min(MAX_RUN_PACKETS, MAX_RUN_BYTES // size))
        end = at + 1
        while end < most and sizes[end] == size:
            end += 1
        if end < most and sizes[end] < size:
            end += 1  # the tail
        runs.append((at, end))
        at = end
    return tuple(runs)

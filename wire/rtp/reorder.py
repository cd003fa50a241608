"""Puts the packets of one SSRC in order, asks for missing ones, and gives them up when they are too late to matter.

What is in order passes at once: nothing waits for a timer, a marker or the packet after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.rtp.packet import RtpPacket
from wire.rtp.sequence import Unwrapper

__all__ = ["GIVE_UP_AFTER", "InOrder", "ReorderBuffer"]

GIVE_UP_AFTER = 0.25
"""Seconds. A hole this old costs more latency than the keyframe that a PLI brings."""
MAX_WAITING = 2048
"""Packets held behind a hole; also the largest jump that is a hole and not a new numbering."""
MIN_ASK_INTERVAL = 0.02
"""Seconds between two requests for the same packet on a path with no delay."""


@dataclass(frozen=True, slots=True)
class InOrder:
    """The next packet. `index` is its unwrapped sequence number; `after_gap` says that packets before it are lost."""

    index: int
    packet: RtpPacket
    after_gap: bool


@dataclass(slots=True)
class _Hole:
    since: float
    ask_at: float


class ReorderBuffer:
    """For one SSRC. Counters: `received`, `duplicates` (late ones too), `lost` (given up), `repaired`."""

    def __init__(self, *, give_up_after: float = GIVE_UP_AFTER) -> None:
        self.received = 0
        self.duplicates = 0
        self.lost = 0
        self.repaired = 0
        self._give_up_after = give_up_after
        self._unwrap = Unwrapper(16)
        self._next = -1  # nothing has arrived: unwrapped numbers are positive
        self._waiting: dict[int, RtpPacket] = {}
        self._holes: dict[int, _Hole] = {}
        self._restart: int | None = None

    def __repr__(self) -> str:
        return f"<ReorderBuffer next={self._next} waiting={len(self._waiting)} holes={len(self._holes)}>"

    def receive(self, packet: RtpPacket, now: float) -> list[InOrder]:
        """Take one packet; returns what is in order now."""
        self.received += 1
        index = self._unwrap(packet.sequence)
        expected = self._next
        if expected < 0:
            self._next = index + 1
            return [InOrder(index, packet, after_gap=False)]
        if abs(index - expected) >= MAX_WAITING:
            return self._renumber(index, packet)
        self._restart = None
        if index < expected or index in self._waiting:
            self.duplicates += 1
            return []
        if self._holes.pop(index, None) is not None:
            self.repaired += 1
        if index > expected:
            self._note_holes(index, now)
        self._waiting[index] = packet
        return self._release()

    def requests(self, now: float, rtt: float) -> tuple[int, ...]:
        """Sequence numbers to ask for now, in order: at once when a hole is seen, then about once per `rtt` seconds."""
        due = [index for index, hole in self._holes.items() if now >= hole.ask_at]
        for index in due:
            self._holes[index].ask_at = now + max(rtt, MIN_ASK_INTERVAL)
        return tuple(index & 0xFFFF for index in sorted(due))

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout` and `requests`; None while nothing is missing."""
        if not self._holes:
            return None
        return min(min(hole.ask_at, hole.since + self._give_up_after) for hole in self._holes.values())

    def handle_timeout(self, now: float) -> list[InOrder]:
        """Give up holes that are too old; returns what is in order now, its first packet marked `after_gap`."""
        given_up = [index for index, hole in self._holes.items() if now >= hole.since + self._give_up_after]
        if not given_up:
            return []
        self.lost += len(given_up)
        for index in given_up:
            del self._holes[index]
        return self._release_until(min(self._holes, default=None))

    def _note_holes(self, index: int, now: float) -> None:
        newest = max(self._waiting, default=self._next - 1)
        for missing in range(newest + 1, index):
            self._holes[missing] = _Hole(now, now)

    def _release(self) -> list[InOrder]:
        released = []
        while (packet := self._waiting.pop(self._next, None)) is not None:
            released.append(InOrder(self._next, packet, after_gap=False))
            self._next += 1
        return released

    def _release_until(self, hole: int | None) -> list[InOrder]:
        """What waits in front of the first hole that is still open; every hole before it is a gap."""
        released = []
        for index in sorted(self._waiting):
            if hole is not None and index > hole:
                break
            released.append(InOrder(index, self._waiting.pop(index), after_gap=index != self._next))
            self._next = index + 1
        return released

    def _renumber(self, index: int, packet: RtpPacket) -> list[InOrder]:
        """RFC 3550, A.1: two packets in a row with a far-off number mean that the sender began anew."""
        if index != self._restart:
            self._restart = index + 1
            return []
        self._waiting.clear()
        self._holes.clear()
        self._restart = None
        self._next = index + 1
        return [InOrder(index, packet, after_gap=True)]

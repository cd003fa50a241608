"""The last packets of one rendition, by their shared index, to answer NACKs from."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["DEFAULT_CAPACITY", "PacketHistory"]

DEFAULT_CAPACITY = 4096
"""Packets. At 2.5 Mb/s of 1,200 bytes that is 15 s; at 20 Mb/s still two, many times the RTT of a NACK."""

Packet = TypeVar("Packet")


class PacketHistory(Generic[Packet]):
    """A ring. `put` wants rising indices, gaps allowed; `get` answers None for what is too old or never was."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity & (capacity - 1) or capacity <= 0:
            raise ValueError(f"capacity {capacity} is not a power of two")
        self._mask = capacity - 1
        self._packets: list[Packet | None] = [None] * capacity
        self._indices = [-1] * capacity
        self.newest = -1

    def __repr__(self) -> str:
        return f"<PacketHistory newest={self.newest} capacity={self._mask + 1}>"

    def put(self, index: int, packet: Packet) -> None:
        if index <= self.newest:
            raise ValueError(f"index {index} is not after {self.newest}")
        slot = index & self._mask
        self._packets[slot] = packet
        self._indices[slot] = index
        self.newest = index

    def get(self, index: int) -> Packet | None:
        slot = index & self._mask
        return self._packets[slot] if self._indices[slot] == index and self.newest - index <= self._mask else None

    def clear(self) -> None:
        """Forget all packets; indices go on rising."""
        self._packets = [None] * (self._mask + 1)
        self._indices = [-1] * (self._mask + 1)

"""A way out whose room a test decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.outlet import TcpPath

__all__ = ["FakeOutlet"]


class FakeOutlet:
    """Takes `room` bytes (None: everything); what it took is in `taken`."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.taken = bytearray()
        self.calls = 0
        self.closed = False
        self.is_gone = False
        self.path: TcpPath | None = None
        self.rates: list[int] = []
        self.callback: Callable[[], None] | None = None

    def set_rate(self, bits_per_second: int) -> None:
        self.rates.append(bits_per_second)

    def send(self, data: bytes) -> int:
        self.calls += 1
        if self.is_gone:
            raise ConnectionResetError("gone")
        if self.room == 0:
            raise BlockingIOError
        return self._take(data)

    def send_many(self, buffers: Sequence[memoryview]) -> int:
        self.calls += 1
        if self.is_gone:
            raise ConnectionResetError("gone")
        return sum(self._take(buffer) for buffer in buffers)

    def when_writable(self, callback: Callable[[], None]) -> None:
        self.callback = callback

    def stop_waiting(self) -> None:
        self.callback = None

    def close(self) -> None:
        self.closed = True
        self.callback = None

    def give_room(self, room: int | None) -> None:
        """The peer has read: there is room again, and whoever waits is called."""
        self.room = room
        if self.callback is not None:
            self.callback()

    def _take(self, data: bytes | memoryview) -> int:
        count = len(data) if self.room is None else min(self.room, len(data))
        self.taken += data[:count]
        if self.room is not None:
            self.room -= count
        return count

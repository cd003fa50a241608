"""A first-in, first-out byte buffer for stream parsers."""

from __future__ import annotations

__all__ = ["ByteQueue"]

# Below this much consumed space, moving the rest to the front costs more than the memory is worth.
_COMPACT_AT = 65_536


class ByteQueue:
    """Bytes in at the back, out at the front; linear in the bytes however they are cut into pieces.

    Reading moves an offset; the consumed front is cut off only when it is over 64 KiB and over half of the buffer.
    """

    __slots__ = ("_bytes", "_start")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = 0

    def __len__(self) -> int:
        """Bytes not yet taken."""
        return len(self._bytes) - self._start

    def __repr__(self) -> str:
        return f"ByteQueue({len(self)} bytes)"

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self._compact()
        self._bytes += data

    def peek(self, size: int) -> bytes:
        """At most `size` bytes from the front, which stay in the queue."""
        return bytes(self._bytes[self._start : self._start + size])

    def skip(self, size: int) -> None:
        """Drop `size` bytes from the front; the caller has checked that they are there."""
        if size > len(self):
            raise ValueError(f"skip of {size} bytes, {len(self)} are there")
        self._start += size

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes from the front; the caller has checked that they are there."""
        start = self._start
        self.skip(size)
        with memoryview(self._bytes) as view:  # a slice of the bytearray itself would copy twice
            return bytes(view[start : start + size])

    def clear(self) -> None:
        self._bytes.clear()
        self._start = 0

    def _compact(self) -> None:
        if self._start == len(self._bytes):
            self.clear()
        elif self._start > _COMPACT_AT and self._start * 2 > len(self._bytes):
            del self._bytes[: self._start]
            self._start = 0

"""Counters that wrap, unrolled: 16-bit sequence numbers and 32-bit timestamps become integers that only mean more."""

from __future__ import annotations

__all__ = ["Unwrapper", "sequence_distance"]


def sequence_distance(later: int, earlier: int) -> int:
    """How far `later` is ahead of `earlier`, from -32768 to 32767 (RFC 1982 for 16 bits)."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


class Unwrapper:
    """Follows a counter of `bits` bits: every value is placed nearest to the one before.

    The first value is taken as it is plus one whole cycle, so that what was reordered around it stays positive.
    """

    __slots__ = ("_half", "_last", "_modulus")

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._half = self._modulus >> 1
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        if self._last is None:
            self._last = value + self._modulus
        else:
            self._last += (value - self._last + self._half) % self._modulus - self._half
        return self._last

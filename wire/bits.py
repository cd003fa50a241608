"""Reading and writing single bits, most significant first, with the Exp-Golomb codes of H.264 and H.265."""

from __future__ import annotations

from wire.errors import Malformed, Truncated

__all__ = ["BitReader", "BitWriter"]

MAX_GOLOMB_ZEROS = 32
"""The longest prefix of ue(v): H.264 and H.265 never code more than 32 bits (9.1, 9.2)."""


class BitReader:
    """A cursor over `data`. Every method raises `Truncated` at the end of the data and leaves the cursor in place."""

    __slots__ = ("_data", "_size", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._size = len(data) * 8
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bits left."""
        return self._size - self.position

    def read(self, bits: int) -> int:
        """An unsigned number of `bits` bits, 0 <= bits."""
        end = self.position + bits
        if end > self._size:
            raise Truncated(f"{bits} bits wanted at bit {self.position}, {self.remaining} left")
        last = (end + 7) >> 3
        window = int.from_bytes(self._data[self.position >> 3 : last], "big")
        self.position = end
        return (window >> (last * 8 - end)) & ((1 << bits) - 1)

    def flag(self) -> bool:
        return self.read(1) == 1

    def skip(self, bits: int) -> None:
        if bits > self.remaining:
            raise Truncated(f"{bits} bits to skip at bit {self.position}, {self.remaining} left")
        self.position += bits

    def ue(self) -> int:
        """ue(v), H.264 9.1: Malformed beyond 32 bits."""
        zeros = 0
        while self.read(1) == 0:
            zeros += 1
            if zeros > MAX_GOLOMB_ZEROS:
                raise Malformed(f"Exp-Golomb code with more than {MAX_GOLOMB_ZEROS} leading zeros")
        return (1 << zeros) - 1 + self.read(zeros)

    def se(self) -> int:
        """se(v), H.264 9.1.1: 0, 1, -1, 2, -2, ..."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)


class BitWriter:
    """Collects bits; `getvalue` pads the last byte with zeros."""

    __slots__ = ("_bits", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def write(self, value: int, bits: int) -> BitWriter:
        """Append `value` as `bits` bits; ValueError when it does not fit."""
        if value < 0 or value >> bits:
            raise ValueError(f"{value} does not fit in {bits} bits")
        self._value = (self._value << bits) | value
        self._bits += bits
        return self

    def ue(self, value: int) -> BitWriter:
        return self.write(value + 1, 2 * (value + 1).bit_length() - 1)

    def se(self, value: int) -> BitWriter:
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def getvalue(self) -> bytes:
        padding = -self._bits % 8
        return (self._value << padding).to_bytes((self._bits + padding) // 8, "big")

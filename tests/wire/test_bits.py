import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bits import BitReader, BitWriter
from wire.errors import Malformed, Truncated


def test_bits_are_read_across_bytes() -> None:
    bits = BitReader(bytes([0b1010_0101, 0b1100_0011]))
    assert [bits.read(3), bits.flag(), bits.read(7), bits.remaining] == [0b101, False, 0b0101110, 5]


@pytest.mark.parametrize(("code", "value"), [("1", 0), ("010", 1), ("011", 2), ("00100", 3), ("0001000", 7)])
def test_unsigned_golomb_codes_of_table_9_2(code: str, value: int) -> None:
    padded = int(code.ljust(8, "1"), 2).to_bytes(1, "big")
    assert BitReader(padded).ue() == value


def test_the_end_raises_truncated_and_leaves_the_cursor() -> None:
    bits = BitReader(b"\xff")
    bits.read(6)
    for step in (lambda: bits.read(3), lambda: bits.skip(3)):
        with pytest.raises(Truncated, match="bit 6"):
            step()
    assert bits.read(2) == 3


def test_endless_zeros_are_malformed() -> None:
    with pytest.raises(Malformed, match="32"):
        BitReader(bytes(100)).ue()


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=20))
def test_signed_golomb_codes_come_back(values: list[int]) -> None:
    writer = BitWriter()
    for value in values:
        writer.se(value)
    bits = BitReader(writer.getvalue())
    assert [bits.se() for _ in values] == values


def test_a_value_that_does_not_fit_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="4 does not fit in 2 bits"):
        BitWriter().write(4, 2)

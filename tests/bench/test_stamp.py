"""The time stamp in the bitstream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stamp import STAMP_SIZE, UUID, find_ns, sei_nal, stamp
from wire.codecs.sei import find_user_data


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=64).filter(lambda b: UUID not in b), st.binary(max_size=64))
def test_stamp_is_found_wherever_it_stands_at_the_start_of_a_picture(ns: int, before: bytes, after: bytes) -> None:
    assert find_ns(before + sei_nal(ns) + after) == ns


def test_stamp_is_a_user_data_message() -> None:
    assert find_user_data(sei_nal(1234)[1:], UUID) == stamp(1234)


def test_stamp_can_be_overwritten_in_place() -> None:
    nal = bytearray(sei_nal(0))
    nal[19 : 19 + STAMP_SIZE] = stamp(5_000_000_000)
    assert bytes(nal) == sei_nal(5_000_000_000)


@pytest.mark.parametrize("picture", [b"", b"\x00\x00\x00\x02\x09\xf0", UUID, UUID + b"12", UUID + b"x" * 16])
def test_pictures_without_a_stamp_have_none(picture: bytes) -> None:
    assert find_ns(picture) is None

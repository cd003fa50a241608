import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codecs.nal import (
    MAX_NALS,
    escape,
    join_annexb,
    join_length_prefixed,
    split_annexb,
    split_length_prefixed,
    unescape,
)
from wire.errors import LimitExceeded, Malformed, Truncated, WireError

TRICKY = st.lists(st.sampled_from([0, 1, 2, 3, 4, 255]), max_size=40).map(bytes)
NALS = st.lists(TRICKY.map(lambda body: b"\x65" + escape(body) + b"\x80"), max_size=6)


@pytest.mark.parametrize(
    ("data", "nals"),
    [
        (b"", []),
        (b"\0\0\0", []),
        (b"\0\0\1\x09\x10\0\0\1\x65\xaa", [b"\x09\x10", b"\x65\xaa"]),
        (b"\0\0\0\1\x09\x10\0\0\0\0\1\x65\xaa\0\0", [b"\x09\x10", b"\x65\xaa"]),
        (b"\0\0\1\0\0\1\x65", [b"\x65"]),
    ],
)
def test_start_codes_of_three_and_four_bytes(data: bytes, nals: list[bytes]) -> None:
    assert split_annexb(data) == nals


def test_annexb_must_begin_with_a_start_code() -> None:
    with pytest.raises(Malformed, match="start code"):
        split_annexb(b"\x65\0\0\1\x65")


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_length_prefixes_of_any_size(size: int) -> None:
    data = b"".join(len(nal).to_bytes(size, "big") + nal for nal in (b"\x06ab", b"", b"\x65"))
    assert split_length_prefixed(data, size) == [b"\x06ab", b"\x65"]


@pytest.mark.parametrize("data", [b"\0\0\0", b"\0\0\0\5abcd", b"\xff\xff\xff\xff"])
def test_a_length_past_the_end_is_truncated(data: bytes) -> None:
    with pytest.raises(Truncated):
        split_length_prefixed(data, 4)


def test_length_size_is_one_to_four() -> None:
    for size in (0, 5, -1):
        with pytest.raises(Malformed):
            split_length_prefixed(b"\0" * 8, size)


def test_floods_of_nal_units_are_refused() -> None:
    assert len(split_length_prefixed(b"\1a" * MAX_NALS, 1)) == MAX_NALS
    for flood in (b"\1a", b"\0"):
        with pytest.raises(LimitExceeded, match=str(MAX_NALS)):
            split_length_prefixed(flood * (MAX_NALS + 1), 1)
    with pytest.raises(LimitExceeded, match=str(MAX_NALS)):
        split_annexb(b"\0\0\1" * (MAX_NALS + 1))


@pytest.mark.parametrize(
    ("rbsp", "nal"),
    [
        (b"\0\0\0", b"\0\0\3\0"),
        (b"\0\0\1", b"\0\0\3\1"),
        (b"\0\0\3", b"\0\0\3\3"),
        (b"\0\0\4", b"\0\0\4"),
        (b"a\0\0", b"a\0\0\3"),
        (b"\0\0\0\0\0\1", b"\0\0\3\0\0\3\0\1"),
    ],
)
def test_emulation_prevention(rbsp: bytes, nal: bytes) -> None:
    assert escape(rbsp) == nal
    assert unescape(nal) == rbsp


@given(TRICKY)
def test_escaping_is_undone_and_hides_start_codes(rbsp: bytes) -> None:
    assert unescape(escape(rbsp)) == rbsp
    assert not any(code in escape(rbsp) for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


@given(NALS)
def test_both_envelopes_come_back(nals: list[bytes]) -> None:
    assert split_annexb(join_annexb(nals)) == nals
    assert split_length_prefixed(join_length_prefixed(nals), 4) == nals


@given(st.binary(max_size=64), st.integers(0, 5))
def test_anything_splits_or_raises_wire_error(data: bytes, size: int) -> None:
    for split in (lambda: split_annexb(data), lambda: split_length_prefixed(data, size)):
        with contextlib.suppress(WireError):
            assert all(split())

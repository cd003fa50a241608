import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.amf0 import (
    MAX_DEPTH,
    MAX_VALUES,
    UNDEFINED,
    AmfDate,
    EcmaArray,
    TypedObject,
    XmlDocument,
    decode,
    decode_all,
    encode,
)
from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported, WireError

VALUES = [
    (1.5, "003ff8000000000000"),
    (-0.0, "008000000000000000"),
    (True, "0101"),
    (False, "0100"),
    ("", "020000"),
    ("直播", "020006e79bb4e692ad"),
    (None, "05"),
    (UNDEFINED, "06"),
    ({}, "03000009"),
    ({"a": None}, "0300016105000009"),
    ({"": True}, "0300000101000009"),
    (EcmaArray(a=True), "0800000001000161" + "0101" + "000009"),
    ([None, "x"], "0a00000002" + "05" + "02000178"),
    (AmfDate(0.0, -60), "0b0000000000000000ffc4"),
    (XmlDocument("<a/>"), "0f000000043c612f3e"),
    (TypedObject("C", {"a": None}), "10000143" + "000161" + "05" + "000009"),
]


@pytest.mark.parametrize(("value", "encoded"), VALUES, ids=[encoded for _, encoded in VALUES])
def test_each_type_is_read_and_written(value, encoded):
    data = bytes.fromhex(encoded)
    assert encode(value) == data
    read, end = decode(data)
    assert read == value
    assert type(read) is type(value)
    assert end == len(data)


@pytest.mark.parametrize(("value", "encoded"), VALUES, ids=[encoded for _, encoded in VALUES])
def test_a_value_that_is_cut_anywhere_is_truncated(value, encoded):
    data = bytes.fromhex(encoded)
    for size in range(len(data)):
        if isinstance(value, EcmaArray) and size == len(data) - 3:
            continue  # just the end marker is missing, which is tolerated
        with pytest.raises(Truncated):
            decode(data[:size])


def test_a_long_string_gets_the_long_marker():
    text = "x" * 65536
    data = encode(text)
    assert data[:5] == bytes.fromhex("0c00010000")
    assert decode(data) == (text, len(data))
    assert encode("x" * 65535)[0] == 2


def test_unsupported_and_undefined_are_the_same_absence():
    assert decode(b"\x0d") == (UNDEFINED, 1)
    assert repr(UNDEFINED) == "UNDEFINED"


def test_an_ecma_array_whose_count_is_wrong_is_read_to_its_end_marker():
    body = bytes.fromhex("000161" + "0101" + "000162" + "0100" + "000009")
    for count in (0, 1, 2, 7, 0xFFFFFFFF):
        assert decode(b"\x08" + count.to_bytes(4, "big") + body)[0] == {"a": True, "b": False}


def test_an_ecma_array_may_leave_its_end_marker_out_at_the_end_of_the_data():
    assert decode(bytes.fromhex("0800000001" + "000161" + "0101"))[0] == {"a": True}


def test_bytes_that_are_not_utf8_are_replaced():
    assert decode(bytes.fromhex("020002d6d0"))[0] == "\ufffd\ufffd"


def test_values_follow_each_other_and_may_start_anywhere():
    data = b"--" + encode("onMetaData", 1, None)
    assert decode_all(data, 2) == ["onMetaData", 1.0, None]
    assert decode_all(b"") == []


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ("04", Unsupported, "movie clip at byte 0"),
        ("070001", Unsupported, "reference at byte 0"),
        ("0e", Unsupported, "record set"),
        ("1101", Unsupported, "AMF3 value"),
        ("09", Malformed, "marker 9 at byte 0"),
        ("12", Malformed, "marker 18 at byte 0"),
        ("ff", Malformed, "marker 255"),
        ("0affffffff", Truncated, "array of 4294967295 values in 0 bytes"),
        ("0a00000001" * (MAX_DEPTH + 1) + "05", LimitExceeded, "deeper than 16"),
        ("03000161" * (MAX_DEPTH + 1), LimitExceeded, "deeper than 16"),
    ],
)
def test_what_cannot_be_read_says_why(data, error, sentence):
    with pytest.raises(error, match=sentence):
        decode(bytes.fromhex(data))


def test_the_number_of_values_is_limited():
    with pytest.raises(LimitExceeded, match="more than 20000"):
        decode_all(b"\x05" * (MAX_VALUES + 1))


def test_what_cannot_be_written_is_the_callers_mistake():
    nested: list = []
    for _ in range(MAX_DEPTH):
        nested = [nested]
    with pytest.raises(ValueError, match="deeper"):
        encode(nested)
    with pytest.raises(ValueError, match="65536 bytes"):
        encode({"x" * 65536: None})
    with pytest.raises(TypeError, match="bytes"):
        encode(b"raw")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.just(UNDEFINED)
    | st.booleans()
    | st.floats(allow_nan=False)
    | TEXT
    | st.builds(AmfDate, st.floats(allow_nan=False), st.integers(-720, 720))
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=4).map(EcmaArray)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.lists(NESTED, max_size=3))
def test_whatever_is_written_is_read_back(values):
    assert decode_all(encode(*values)) == values


def test_a_number_that_is_not_a_number_survives():
    value = decode(encode(math.nan))[0]
    assert isinstance(value, float)
    assert math.isnan(value)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.lists(st.sampled_from([0, 2, 3, 5, 8, 9, 10, 16, 1]), max_size=60).map(bytes))
def test_any_bytes_parse_or_raise_a_wire_error(data):
    with contextlib.suppress(WireError):
        decode_all(data)

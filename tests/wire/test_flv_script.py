import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.amf0 import EcmaArray, encode
from wire.errors import Malformed, Truncated, WireError
from wire.flv_script import ScriptData, encode_script, parse_script

METADATA = EcmaArray({"width": 1280.0, "encoder": "obs", "stereo": True})


def test_metadata_comes_back() -> None:
    assert parse_script(encode_script("onMetaData", METADATA)) == ScriptData("onMetaData", (METADATA,))


def test_set_data_frame_is_taken_off() -> None:
    assert parse_script(encode("@setDataFrame", "onMetaData", METADATA)) == ScriptData("onMetaData", (METADATA,))


def test_a_call_may_have_any_number_of_values() -> None:
    assert parse_script(encode_script("onEvent")) == ScriptData("onEvent", ())
    assert parse_script(encode_script("onEvent", 1.0, None, {"t": 2.0})).values == (1.0, None, {"t": 2.0})


def test_it_begins_as_e_4_4_draws_it() -> None:
    assert encode_script("onMetaData", {}).hex() == "02000a" + b"onMetaData".hex() + "03000009"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Malformed),
        (encode("@setDataFrame"), Malformed),
        (encode(1.0, "x"), Malformed),
        (b"\x02\x00\x09abc", Truncated),
    ],
)
def test_bad_bodies(body: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        parse_script(body)


@given(st.binary(max_size=60))
def test_anything_parses_or_raises_wire_error(data: bytes) -> None:
    for body in (data, encode("onMetaData") + data):
        with contextlib.suppress(WireError):
            assert parse_script(body).name is not None

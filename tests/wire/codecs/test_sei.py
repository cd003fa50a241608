import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codecs import h264, h265
from wire.codecs.sei import MAX_MESSAGES, SeiMessage, build_sei, has_message, parse_sei
from wire.errors import LimitExceeded, Malformed, Truncated, WireError

UUID = bytes(range(16))


@given(st.integers(0, 600), st.binary(max_size=600))
def test_messages_of_any_kind_and_size_come_back(kind: int, payload: bytes) -> None:
    assert list(parse_sei(build_sei(SeiMessage(kind, payload)))) == [SeiMessage(kind, payload)]


def test_messages_follow_one_another() -> None:
    rbsp = build_sei(SeiMessage(1, b"ab"))[:-1] + build_sei(SeiMessage(6, b"\x84"))
    assert [message.kind for message in parse_sei(rbsp)] == [1, 6]
    assert has_message(rbsp, 6)
    assert not has_message(rbsp, 5)


def test_a_payload_past_the_end_is_truncated_and_carries_no_recovery_point() -> None:
    with pytest.raises(Truncated):
        list(parse_sei(b"\x06\x09\x84\x80"))
    assert not has_message(b"\x06\x09\x84\x80", 6)
    assert not h264.is_keyframe([b"\x06\x06\x09\x84\x80", b"\x41\x9a"])


def test_a_flood_of_messages_is_refused() -> None:
    with pytest.raises(LimitExceeded, match=str(MAX_MESSAGES)):
        list(parse_sei(b"\x01\x00" * (MAX_MESSAGES + 1) + b"\x80"))


@pytest.mark.parametrize("codec", [h264, h265])
def test_user_data_is_found_by_its_uuid(codec) -> None:
    payload = b"\0\0\0\1sent at \0\0\3"
    parts = [codec.build_user_data(bytes(16), b"other"), codec.build_user_data(UUID, payload), b"\x65\x88"]
    assert codec.find_user_data(parts, UUID) == payload
    assert codec.find_user_data(parts, b"\xff" * 16) is None
    with pytest.raises(Malformed, match="15"):
        codec.build_user_data(UUID[:15], b"")


@given(st.binary(max_size=80))
def test_anything_parses_or_raises_wire_error(rbsp: bytes) -> None:
    with contextlib.suppress(WireError):
        assert all(isinstance(message, SeiMessage) for message in parse_sei(rbsp))

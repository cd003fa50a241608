"""RTP headers, header extensions and RTX: tables, round trips, mutations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import mutations, parses_or_raises_wire_error
from wire.errors import Malformed, Truncated, Unsupported
from wire.rtp import extensions, packet, rtx
from wire.rtp.packet import RtpPacket

FULL = RtpPacket(
    payload_type=102,
    sequence=65_535,
    timestamp=0xFFFFFFFF,
    ssrc=0xDECAFBAD,
    payload=b"payload",
    marker=True,
    csrcs=(1, 0xFFFFFFFF),
    extension_profile=extensions.ONE_BYTE,
    extension=b"\x10\x31\x22\xab\xcd\xef\x00\x00",
)

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=40),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extension_profile=st.integers(0, 0xFFFF),
    extension=st.integers(0, 5).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
)


@given(packets)
def test_packets_come_back(value: RtpPacket) -> None:
    assert packet.parse(value.to_bytes()) == value


def test_the_layout_of_a_plain_header() -> None:
    data = RtpPacket(96, 0x1234, 0x89ABCDEF, 0x11223344, b"xyz", marker=True).to_bytes()
    assert data == bytes.fromhex("80e0123489abcdef11223344") + b"xyz"
    assert packet.header_size(data) == 12
    assert packet.header_size(FULL.to_bytes()) == 12 + 8 + 4 + 8


def test_padding_is_taken_off() -> None:
    data = bytearray(RtpPacket(96, 1, 2, 3, b"xyz" + bytes(4) + b"\x05").to_bytes())
    data[0] |= 0x20
    assert packet.parse(bytes(data)).payload == b"xyz"


@pytest.mark.parametrize("padding", [0, 9, 255])
def test_padding_that_does_not_fit_is_malformed(padding: int) -> None:
    data = bytearray(RtpPacket(96, 1, 2, 3, bytes(7) + bytes([padding])).to_bytes())
    data[0] |= 0x20
    with pytest.raises(Malformed, match=str(padding)):
        packet.parse(bytes(data))


@pytest.mark.parametrize(
    ("data", "error"), [(b"", Truncated), (bytes([0x80]) + bytes(10), Truncated), (bytes(12), Unsupported)]
)
def test_broken_headers_raise(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        packet.parse(data)


def test_mutations_parse_or_raise_wire_error() -> None:
    for mutation in mutations(FULL.to_bytes()):
        parses_or_raises_wire_error(packet.parse, mutation)


@pytest.mark.parametrize(
    ("first", "second", "media", "reports"),
    [
        (0x80, 96, True, False),
        (0xBF, 200, True, True),
        (0x80, 223, True, True),
        (0x80, 224, True, False),
        (22, 0, False, False),
    ],
)
def test_datagrams_are_told_apart(first: int, second: int, *, media: bool, reports: bool) -> None:
    datagram = bytes([first, second]) + bytes(10)
    assert packet.is_rtp_or_rtcp(datagram) == media
    assert packet.is_rtcp(datagram) == reports


short = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6)
long = st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=6)


@given(st.one_of(short, long))
def test_extensions_come_back_in_whole_words(values: dict[int, bytes]) -> None:
    profile, block = extensions.build(values)
    assert len(block) % 4 == 0
    assert extensions.parse(profile, block) == values


def test_the_two_byte_form_is_used_only_where_it_must_be() -> None:
    assert extensions.build({1: b"x" * 16})[0] == extensions.ONE_BYTE
    assert extensions.build({1: b"x" * 17})[0] == 0x1000
    assert extensions.build({15: b"x"})[0] == 0x1000
    assert extensions.build({1: b""})[0] == 0x1000


def test_the_examples_of_rfc_8285() -> None:
    # section 4.2: one, two, padding, four bytes
    block = bytes([0x10, 0xAA, 0x21, 0xBB, 0xBB, 0, 0, 0x33, 1, 2, 3, 4])
    assert extensions.parse(0xBEDE, block) == {1: b"\xaa", 2: b"\xbb\xbb", 3: b"\1\2\3\4"}
    # section 4.3: an empty one, one byte, padding, four bytes
    block = bytes([1, 0, 2, 1, 0xAA, 0, 3, 4, 1, 2, 3, 4])
    assert extensions.parse(0x1001, block) == {1: b"", 2: b"\xaa", 3: b"\1\2\3\4"}


def test_id_15_ends_the_one_byte_form() -> None:
    assert extensions.parse(0xBEDE, bytes([0x10, 0xAA, 0xF0, 0xFF, 0x20, 0xBB, 0, 0])) == {1: b"\xaa"}


def test_a_foreign_profile_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="0x1234"):
        extensions.parse(0x1234, b"")


@given(st.sampled_from([0xBEDE, 0x1000, 0x100F]), st.binary(max_size=60))
def test_any_block_parses_or_raises_wire_error(profile: int, block: bytes) -> None:
    parses_or_raises_wire_error(lambda data: extensions.parse(profile, data), block)


def test_values_of_extensions() -> None:
    assert extensions.abs_send_time(1.0) == bytes.fromhex("040000")
    assert extensions.abs_send_time(64.5) == bytes.fromhex("020000"), "wraps every 64 s"
    assert extensions.read_transport_sequence(b"\x12\x34") == 0x1234
    assert extensions.read_text(b"video0") == "video0"
    with pytest.raises(Truncated):
        extensions.read_transport_sequence(b"\x12")
    with pytest.raises(Malformed):
        extensions.read_text(b"\xff")


def test_a_retransmission_becomes_the_packet_that_was_lost() -> None:
    sent = RtpPacket(96, 777, 9000, 1, b"payload", marker=True)
    again = RtpPacket(97, 5, 9000, 2, rtx.wrap_payload(sent.sequence, sent.payload), marker=True)
    assert rtx.unwrap(again, payload_type=96, ssrc=1) == sent
    assert rtx.unwrap(RtpPacket(97, 6, 9000, 2, b""), payload_type=96, ssrc=1) is None
    with pytest.raises(Truncated):
        rtx.unwrap(RtpPacket(97, 6, 9000, 2, b"x"), payload_type=96, ssrc=1)

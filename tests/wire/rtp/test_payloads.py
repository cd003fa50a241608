"""H.264 and H.265 payloads: round trips, equal sizes, agreement with aiortc, limits, mutations."""

from types import ModuleType

import pytest
from aiortc.codecs.h264 import H264Encoder, H264PayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import mutations, parses_or_raises_wire_error
from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported
from wire.rtp import h264, h265
from wire.rtp.grouping import equal_share
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.h265 import H265Depacketiser

MTU = 100


def h264_nal(kind: int, size: int, nri: int = 3) -> bytes:
    return bytes([nri << 5 | kind]) + bytes(value % 251 for value in range(size - 1))


def h265_nal(kind: int, size: int) -> bytes:
    return bytes([kind << 1, 1]) + bytes(value % 251 for value in range(size - 2))


def sizes(smallest: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(smallest, 700), min_size=1, max_size=8)


@given(sizes(1), st.integers(10, 300))
def test_h264_units_come_back(lengths: list[int], max_payload: int) -> None:
    nals = [h264_nal(1 + number, length) for number, length in enumerate(lengths)]
    payloads = h264.packetise(nals, max_payload)
    assert all(len(payload) <= max_payload for payload in payloads)
    depacketiser = H264Depacketiser()
    assert [nal for payload in payloads for nal in depacketiser.receive(payload)] == nals


@given(sizes(3), st.integers(10, 300))
def test_h265_units_come_back(lengths: list[int], max_payload: int) -> None:
    nals = [h265_nal(number, length) for number, length in enumerate(lengths)]
    payloads = h265.packetise(nals, max_payload)
    assert all(len(payload) <= max_payload for payload in payloads)
    depacketiser = H265Depacketiser()
    assert [nal for payload in payloads for nal in depacketiser.receive(payload)] == nals


@pytest.mark.parametrize(("module", "nal"), [(h264, h264_nal(5, 1234)), (h265, h265_nal(19, 1234))])
def test_fragments_are_as_many_as_need_be_and_equal_but_for_rounding(module: ModuleType, nal: bytes) -> None:
    lengths = [len(payload) for payload in module.packetise([nal], MTU)]
    assert len(lengths) == 13
    assert len(set(lengths[:-1])) == 1
    assert 0 <= lengths[0] - lengths[-1] < len(lengths)


@given(size=st.integers(1, 100_000), most=st.integers(1, 2000))
def test_a_share_is_never_too_large_and_makes_no_more_fragments(size: int, most: int) -> None:
    share = equal_share(size, most)
    fewest = -(-size // most)
    assert 0 < share <= most
    assert -(-size // share) <= fewest
    assert share * fewest - size < fewest


def test_a_unit_one_byte_over_the_limit_is_fragmented_and_one_at_it_is_not() -> None:
    assert h264.packetise([h264_nal(1, MTU)], MTU) == [h264_nal(1, MTU)]
    assert [len(payload) for payload in h264.packetise([h264_nal(1, MTU + 1)], MTU)] == [52, 52]


def test_parameter_sets_share_a_packet_and_the_order_stays() -> None:
    nals = [h264_nal(7, 20), h264_nal(8, 5), h264_nal(5, 300), h264_nal(6, 10)]
    kinds = [payload[0] & 0x1F for payload in h264.packetise(nals, MTU)]
    assert kinds == [24, 28, 28, 28, 28, 6]


def test_a_stap_takes_the_highest_importance() -> None:
    (payload,) = h264.packetise([h264_nal(6, 5, nri=0), h264_nal(7, 5, nri=2)], MTU)
    assert payload[0] == 2 << 5 | 24


def test_aiortc_reads_our_h264() -> None:
    nals = [h264_nal(7, 20), h264_nal(8, 5), h264_nal(5, 333)]
    stream = b"".join(H264PayloadDescriptor.parse(payload)[1] for payload in h264.packetise(nals, MTU))
    assert stream == b"".join(b"\0\0\0\1" + nal for nal in nals)


def test_we_read_the_h264_of_aiortc() -> None:
    nals = [h264_nal(7, 20), h264_nal(8, 5), h264_nal(5, 5000)]
    depacketiser = H264Depacketiser()
    payloads = H264Encoder._packetize(iter(nals))
    assert [nal for payload in payloads for nal in depacketiser.receive(payload)] == nals


@pytest.mark.parametrize(
    ("module", "depacketiser", "nal"),
    [(h264, H264Depacketiser(), h264_nal(5, 500)), (h265, H265Depacketiser(), h265_nal(19, 500))],
)
def test_a_unit_whose_start_was_lost_is_given_up(
    module: ModuleType, depacketiser: H264Depacketiser | H265Depacketiser, nal: bytes
) -> None:
    first, *rest = module.packetise([nal], MTU)
    assert [got for payload in rest for got in depacketiser.receive(payload)] == []
    depacketiser.receive(first)
    depacketiser.reset()
    assert [got for payload in rest for got in depacketiser.receive(payload)] == []


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", Truncated),
        (b"\x00", Unsupported),
        (b"\x19abc", Unsupported),
        (b"\x1d\x80abc", Unsupported),
        (b"\x1c\x85", Truncated),
        (b"\x18\x00\x05abc", Truncated),
        (b"\x18\x00", Truncated),
        (b"\x18\x00\x00", Malformed),
        (b"\x18" + b"\x00\x01\x65" * 65, LimitExceeded),
    ],
)
def test_broken_h264_payloads_raise(payload: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        H264Depacketiser().receive(payload)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", Truncated),
        (b"\x02\x01", Truncated),
        (bytes([50 << 1, 1, 2, 3]), Unsupported),
        (bytes([49 << 1, 1, 0x80]), Truncated),
        (bytes([48 << 1, 1, 0, 9, 1]), Truncated),
        (bytes([48 << 1, 1, 0, 1, 1]), Malformed),
        (bytes([48 << 1, 1]) + b"\x00\x02\x02\x01" * 65, LimitExceeded),
    ],
)
def test_broken_h265_payloads_raise(payload: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        H265Depacketiser().receive(payload)


def test_a_unit_that_never_ends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, depacketiser, start, more in (
        (h264, H264Depacketiser(), b"\x7c\x85", b"\x7c\x05"),
        (h265, H265Depacketiser(), bytes([49 << 1, 1, 0x93]), bytes([49 << 1, 1, 0x13])),
    ):
        monkeypatch.setattr(module, "MAX_NAL_SIZE", 1000)
        depacketiser.receive(start + bytes(500))
        with pytest.raises(LimitExceeded):
            depacketiser.receive(more + bytes(501))
        assert depacketiser.receive(more + bytes(10)) == []


def test_mutations_parse_or_raise_wire_error() -> None:
    for payload in h264.packetise([h264_nal(7, 8), h264_nal(8, 5), h264_nal(5, 150)], 80):
        for mutation in mutations(payload):
            parses_or_raises_wire_error(H264Depacketiser().receive, mutation)
    for payload in h265.packetise([h265_nal(33, 8), h265_nal(34, 5), h265_nal(19, 150)], 80):
        for mutation in mutations(payload):
            parses_or_raises_wire_error(H265Depacketiser().receive, mutation)


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_payloads_parse_or_raise_wire_error(payloads: list[bytes]) -> None:
    for depacketiser in (H264Depacketiser(), H265Depacketiser()):
        for payload in payloads:
            parses_or_raises_wire_error(depacketiser.receive, payload)

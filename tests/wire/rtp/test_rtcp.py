"""RTCP: round trips, agreement with aiortc's classes, tables of broken packets, mutations."""

import pytest
from aiortc import rtp as theirs
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import mutations, parses_or_raises_wire_error
from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported
from wire.rtp import rtcp
from wire.rtp.rtcp import (
    Bye,
    Dlrr,
    Fir,
    Nack,
    Pli,
    ReceiverReport,
    ReferenceTime,
    Remb,
    ReportBlock,
    RtcpPacket,
    Sdes,
    SenderReport,
    TransportFeedback,
)

REPORT = ReportBlock(7, 12, -3, 0x1FFFF, 44, 0xAABBCCDD, 65_536)
EVERY: list[RtcpPacket] = [
    SenderReport(1, 0xE0000000_80000000, 90_000, 10, 1000, (REPORT,)),
    ReceiverReport(2, (REPORT, ReportBlock(8, 0, 0x7FFFFF, 1, 2))),
    Sdes(((1, "a name"), (2, ""))),
    Bye((1, 2), "over"),
    Bye((3,)),
    Nack(1, 2, (65_530, 65_535, 0, 10, 11, 400)),
    Pli(1, 2),
    Fir(1, ((2, 3), (4, 255))),
    Remb(1, 2_500_000, (2, 3)),
    TransportFeedback(1, 2, 65_534, 9, (25_600, None, 25_601, 25_990, None)),
    ReferenceTime(5, 1 << 60),
    Dlrr(6, ((5, 0x1234, 0x5678), (7, 0, 0))),
]
COMPOUND = b"".join(packet.to_bytes() for packet in EVERY)

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
reports = st.lists(
    st.builds(ReportBlock, u32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32), max_size=31
).map(tuple)
text = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=40)


@pytest.mark.parametrize("packet", EVERY, ids=lambda packet: type(packet).__name__)
def test_each_packet_comes_back(packet: RtcpPacket) -> None:
    data = packet.to_bytes()
    assert len(data) % 4 == 0
    assert rtcp.parse(data) == [packet]


def test_a_compound_is_read_in_order() -> None:
    assert rtcp.parse(COMPOUND) == EVERY
    assert rtcp.parse(b"") == []


@given(st.builds(SenderReport, u32, st.integers(0, (1 << 64) - 1), u32, u32, u32, reports))
def test_sender_reports_come_back(packet: SenderReport) -> None:
    assert rtcp.parse(packet.to_bytes()) == [packet]


@given(st.lists(st.tuples(u32, text), max_size=31).map(tuple))
def test_names_come_back(names: tuple[tuple[int, str], ...]) -> None:
    assert rtcp.parse(Sdes(names).to_bytes()) == [Sdes(names)]


@given(st.integers(0, 0xFFFF), st.sets(st.integers(0, 1000), min_size=1, max_size=100))
def test_lost_packets_come_back_across_the_wrap(first: int, offsets: set[int]) -> None:
    lost = tuple((first + offset) & 0xFFFF for offset in sorted(offsets))
    assert rtcp.parse(Nack(1, 2, lost).to_bytes()) == [Nack(1, 2, lost)]


@given(st.integers(0, 1 << 60))
def test_bit_rates_come_back_to_18_bits(bitrate: int) -> None:
    (packet,) = rtcp.parse(Remb(1, bitrate, (2,)).to_bytes())
    assert isinstance(packet, Remb)
    assert 0 <= bitrate - packet.bitrate <= bitrate >> 17


def test_aiortc_reads_the_same() -> None:
    sender, receiver, _, bye, _, nack, pli = theirs.RtcpPacket.parse(
        b"".join(packet.to_bytes() for packet in EVERY[:7])
    )
    assert (sender.ssrc, sender.sender_info.rtp_timestamp) == (1, 90_000)
    assert sender.sender_info.ntp_timestamp == 0xE0000000_80000000
    assert [report.packets_lost for report in receiver.reports] == [-3, 0x7FFFFF]
    (names,) = theirs.RtcpPacket.parse(Sdes(((1, "a name"),)).to_bytes())
    assert [(chunk.ssrc, chunk.items) for chunk in names.chunks] == [(1, [(1, b"a name")])]
    assert bye.sources == [1, 2]
    assert [sequence & 0xFFFF for sequence in nack.lost] == [65_530, 65_535, 0, 10, 11, 400], "aiortc does not wrap"
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, 1, 2)
    (remb,) = theirs.RtcpPacket.parse(Remb(1, 2_500_000, (2, 3)).to_bytes())
    assert theirs.unpack_remb_fci(remb.fci) == (2_500_000 & ~0xF, [2, 3])


def test_we_read_what_aiortc_writes() -> None:
    data = bytes(theirs.RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=2, lost=[5, 6, 40]))
    data += bytes(theirs.RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=theirs.pack_remb_fci(1_000_000, [2])))
    data += bytes(theirs.RtcpByePacket(sources=[4]))
    assert rtcp.parse(data) == [Nack(1, 2, (5, 6, 40)), Remb(1, 1_000_000, (2,)), Bye((4,))]


def test_unknown_kinds_are_skipped() -> None:
    application = b"\x80\xcc\x00\x02" + bytes(8)
    foreign = b"\x85\xcd\x00\x02" + bytes(8) + b"\x83\xce\x00\x02" + bytes(8) + b"\x8f\xce\x00\x03" + bytes(12)
    history = b"\x80\xcf\x00\x03" + bytes(4) + b"\x07\x00\x00\x01" + bytes(4)
    assert rtcp.parse(application + foreign + history + Pli(1, 2).to_bytes()) == [Pli(1, 2)]


def test_padding_of_the_last_packet_is_taken_off() -> None:
    padded = b"\xa1\xce\x00\x03" + bytes(8) + b"\0\0\0\x04"
    assert rtcp.parse(padded) == [Pli(0, 0)]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x80\xc9\x00", Truncated),
        (b"\x80\xc9\x00\x02" + bytes(4), Truncated),
        (b"\x40\xc9\x00\x00", Unsupported),
        (b"\x80\xc9\x00\x00", Truncated),
        (b"\x81\xc9\x00\x01" + bytes(4), Truncated),
        (b"\x80\xc8\x00\x01" + bytes(4), Truncated),
        (b"\xa0\xc9\x00\x01" + bytes(4), Malformed),
        (b"\xa0\xc9\x00\x01" + b"\0\0\0\x09", Malformed),
        (b"\x81\xca\x00\x02" + bytes(4) + b"\x01\xff\0\0", Truncated),
        (b"\x82\xca\x00\x01" + bytes(4), Truncated),
        (b"\x81\xcb\x00\x00", Truncated),
        (b"\x80\xcb\x00\x01\x09abc", Truncated),
        (b"\x81\xcd\x00\x01" + bytes(4), Truncated),
        (b"\x84\xce\x00\x03" + bytes(12), Malformed),
        (b"\x8f\xce\x00\x04" + bytes(8) + b"REMB\xff\0\0\0", Truncated),
        (b"\x80\xcf\x00\x02" + bytes(4) + b"\x05\x00\x00\x09", Truncated),
        (b"\x80\xc9\x00\x01\0\0\0\0" * 65, LimitExceeded),
        (b"\x81\xcd\x00\x83" + bytes(8) + b"\x00\x00\xff\xff" * 129, LimitExceeded),
        (b"\x8f\xcd\x00\x05" + bytes(10) + b"\xff\xff" + bytes(8), LimitExceeded),
        (b"\x8f\xcd\x00\x05" + bytes(10) + b"\x00\x09" + bytes(8), Truncated),
    ],
)
def test_broken_packets_raise(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        rtcp.parse(data)


def test_mutations_parse_or_raise_wire_error() -> None:
    for packet in EVERY:
        for mutation in mutations(packet.to_bytes()):
            parses_or_raises_wire_error(rtcp.parse, mutation)


@given(st.integers(192, 210), st.integers(0, 31), st.binary(max_size=80))
def test_any_body_parses_or_raises_wire_error(kind: int, count: int, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    parses_or_raises_wire_error(rtcp.parse, bytes([0x80 | count, kind, 0, len(body) // 4]) + body)


def test_a_name_that_is_too_long_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="300"):
        Sdes(((1, "x" * 300),)).to_bytes()

"""Reports that are taken in without Python say the same as with it, and everything else is left alone."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.endpoint import UdpRoute
from relay.report_inbox import ReportInbox, ReportReader, open_inbox, take_reports
from tests.support.mutations import mutations
from tests.support.rtp_viewers import keys
from tests.support.whep_client import viewer
from tests.support.whep_node import config, publishing, whep_node
from wire.dtls import SrtpProfile
from wire.rtp import rtcp
from wire.rtp.rtcp import Bye, Fir, Nack, Pli, ReceiverReport, ReferenceTime, Remb, ReportBlock, RtcpPacket, Sdes
from wire.srtp import GcmReceiver, GcmSender

PROFILE = SrtpProfile.AEAD_AES_128_GCM
BLOCK = ReportBlock(7, 0, -3, 0x1FFFF, 44, 0xAABBCCDD, 65_536)
OTHER = ReportBlock(8, 0, 0x7FFFFF, 1, 2)
PLAIN: list[list[RtcpPacket]] = [
    [ReceiverReport(1, (BLOCK,))],
    [ReceiverReport(1, (BLOCK, OTHER)), Remb(1, 2_500_000, (7, 8))],
    [ReceiverReport(1), Sdes(((1, "viewer"),)), Remb(1, 10_000_000, ())],
]
ASIDE: list[list[RtcpPacket]] = [
    [Nack(1, 7, (5, 6))],
    [ReceiverReport(1, (BLOCK,)), Nack(1, 7, (5,))],
    [ReceiverReport(1, (BLOCK,)), Pli(1, 7)],
    [ReceiverReport(1, (BLOCK,)), Fir(1, ((7, 1),))],
    [ReceiverReport(1), ReferenceTime(1, 99)],
    [ReceiverReport(1), Bye((1,))],
    [rtcp.SenderReport(1, 2, 3, 4, 5)],
    [ReceiverReport(1, (BLOCK,) * 5)],
    [ReceiverReport(1, (BLOCK, ReportBlock(8, 1, 1, 1, 2)))],
]


@pytest.fixture
def inbox() -> ReportInbox:
    return native_inbox()


def native_inbox() -> ReportInbox:
    made = open_inbox()
    if made is None:
        pytest.skip("relay._fanout was not built: it needs a C compiler and OpenSSL's headers")
    return made


class Link:
    """A viewer's sender of RTCP, the reader of what it sends, and what Python would read it with."""

    def __init__(self, inbox: ReportInbox, seed: int = 1) -> None:
        theirs, ours = keys(PROFILE, seed)
        self.sender = GcmSender(theirs.local_key, theirs.local_salt)
        self.python = GcmReceiver(ours.remote_key, ours.remote_salt)
        self.reader: ReportReader = inbox.reader(self.python.rtcp_key, self.python.rtcp_salt.to_bytes(12, "big"))

    def seal(self, *packets: RtcpPacket) -> bytes:
        return self.sender.protect_rtcp(b"".join(packet.to_bytes() for packet in packets))

    def read(self, datagram: bytes) -> bool:
        return bool(self.reader.read(datagram))  # type: ignore[attr-defined]


@pytest.mark.parametrize("packets", PLAIN)
def test_a_plain_report_is_taken_in(inbox: ReportInbox, packets: list[RtcpPacket]) -> None:
    link, before = Link(inbox), time.monotonic()
    assert take_reports(link.reader) is None
    assert link.read(link.seal(*packets))
    reports = take_reports(link.reader)
    assert reports is not None
    assert before <= reports.at <= time.monotonic()
    blocks = [block for packet in packets if isinstance(packet, ReceiverReport) for block in packet.reports]
    assert reports.blocks == tuple((reports.at, block) for block in blocks)
    assert reports.remb == next((packet.bitrate for packet in packets if isinstance(packet, Remb)), None)
    assert take_reports(link.reader) is None


@pytest.mark.parametrize("packets", ASIDE)
def test_anything_else_is_left_to_python(inbox: ReportInbox, packets: list[RtcpPacket]) -> None:
    link = Link(inbox)
    datagram = link.seal(*packets)
    assert not link.read(datagram)
    assert take_reports(link.reader) is None
    assert rtcp.parse(link.python.unprotect_rtcp(datagram)) == packets


u32 = st.integers(0, 0xFFFFFFFF)
block = st.builds(
    ReportBlock, u32, st.sampled_from((0, 0, 0, 1, 255)), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32
)
BLOCKS = st.lists(block, max_size=4, unique_by=lambda each: each.ssrc)


@given(BLOCKS, st.integers(0, 1 << 40), st.lists(u32, max_size=5))
def test_it_reads_the_numbers_that_python_reads(blocks: list[ReportBlock], bitrate: int, ssrcs: list[int]) -> None:
    link = Link(native_inbox())
    datagram = link.seal(ReceiverReport(3, tuple(blocks)), Remb(3, bitrate, tuple(ssrcs)))
    assert link.read(datagram) is not any(each.fraction_lost for each in blocks)
    reports = take_reports(link.reader)
    if reports is None:
        assert any(each.fraction_lost for each in blocks)
        return
    report, remb = rtcp.parse(link.python.unprotect_rtcp(datagram))
    assert isinstance(report, ReceiverReport)
    assert isinstance(remb, Remb)
    assert tuple(each for _, each in reports.blocks) == report.reports
    assert reports.remb == remb.bitrate


def test_what_is_authentic_but_broken_is_left_to_python(inbox: ReportInbox) -> None:
    """Whoever has the keys may still send anything: only what Python would read as reports is taken in."""
    link, taken = Link(inbox), 0
    for compound in mutations(b"".join(packet.to_bytes() for packet in PLAIN[1])):
        if len(compound) < 8 or compound[4:8] != PLAIN[1][0].to_bytes()[4:8]:
            continue  # no RTCP at all, or another source
        datagram = link.sender.protect_rtcp(compound)
        if link.read(datagram):
            taken += 1
            packets = rtcp.parse(link.python.unprotect_rtcp(datagram))
            assert all(isinstance(packet, ReceiverReport | Remb | Sdes) for packet in packets)
            reports = take_reports(link.reader)
            assert reports is not None
            blocks = [each for packet in packets if isinstance(packet, ReceiverReport) for each in packet.reports]
            assert dict(each[:2] for _, each in reports.blocks) == dict(each[:2] for each in blocks)
    assert taken > 100


@given(st.binary(max_size=200), st.integers(0, 99))
def test_what_is_not_authentic_says_nothing(noise: bytes, at: int) -> None:
    link = Link(native_inbox())
    assert not link.read(noise)
    sealed = link.seal(*PLAIN[1])
    at %= len(sealed)
    assert not link.read(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
    assert not link.read(sealed[:at])
    assert take_reports(link.reader) is None


def test_the_newest_word_on_each_stream_counts(inbox: ReportInbox) -> None:
    link = Link(inbox)
    for highest in (5, 9):
        blocks = (ReportBlock(7, 0, 0, highest, 0), ReportBlock(8, 0, 0, highest, 0))
        assert link.read(link.seal(ReceiverReport(1, blocks)))
    assert link.read(link.seal(ReceiverReport(1, (ReportBlock(8, 0, 0, 77, 0),))))
    reports = take_reports(link.reader)
    assert reports is not None
    assert [(each.ssrc, each.highest_sequence) for _, each in reports.blocks] == [(7, 9), (8, 77)]
    assert reports.blocks[0][0] < reports.blocks[1][0] == reports.at


def test_an_estimate_that_falls_is_news_and_one_that_wavers_is_not(inbox: ReportInbox) -> None:
    link = Link(inbox)
    for bitrate, is_plain in ((1_000_000, True), (3_000_000, True), (2_900_000, True), (2_000_000, False)):
        assert link.read(link.seal(ReceiverReport(1), Remb(1, bitrate, (7,)))) is is_plain
    assert link.read(link.seal(ReceiverReport(1), Remb(1, 2_000_000, (7,)))), "it is known by now"


def test_a_fifth_stream_is_left_to_python(inbox: ReportInbox) -> None:
    link = Link(inbox)
    for ssrc in range(4):
        assert link.read(link.seal(ReceiverReport(1, (ReportBlock(ssrc, 0, 0, 0, 0),))))
    assert not link.read(link.seal(ReceiverReport(1, (ReportBlock(4, 0, 0, 0, 0),))))


def test_a_repetition_is_not_heard_again_and_reordering_is_no_repetition(inbox: ReportInbox) -> None:
    link = Link(inbox)
    datagrams = [link.seal(ReceiverReport(1, (ReportBlock(7, 0, 0, number, 0),))) for number in range(100)]
    for number in (3, 1, 2, 0, 99, 50):
        assert link.read(datagrams[number])
    take_reports(link.reader)
    for number in (3, 1, 2, 0, 99, 50, 10):  # 10 is too old to tell
        assert not link.read(datagrams[number])
    assert take_reports(link.reader) is None
    assert link.read(datagrams[60])


def test_another_source_is_left_to_python(inbox: ReportInbox) -> None:
    link = Link(inbox)
    assert link.read(link.seal(ReceiverReport(1, (BLOCK,))))
    assert not link.read(link.seal(ReceiverReport(2, (BLOCK,))))


def test_sizes_and_types_are_checked(inbox: ReportInbox) -> None:
    with pytest.raises(ValueError, match="15"):
        inbox.reader(bytes(15), bytes(12))
    with pytest.raises(ValueError, match="13"):
        inbox.reader(bytes(16), bytes(13))
    with pytest.raises(TypeError, match="Reader"):
        inbox.listen(b"somewhere", object())  # type: ignore[arg-type]


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def test_a_socket_is_read_for_all(inbox: ReportInbox, ours: socket.socket) -> None:
    link, stranger = Link(inbox), Link(inbox, seed=2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs, socket.socket(type=socket.SOCK_DGRAM) as elsewhere:
        theirs.bind(("127.0.0.1", 0))
        for sock in (theirs, elsewhere):
            sock.connect(ours.getsockname())
        address = UdpRoute(ours, theirs.getsockname()).raw_sockaddr
        inbox.listen(address, link.reader)
        assert len(inbox) == 1
        plain, nack = link.seal(*PLAIN[1]), link.seal(*ASIDE[0])
        for datagram in (plain, b"", b"\x80\x60short", nack, plain):
            theirs.send(datagram)
        elsewhere.send(plain)
        theirs.send([stranger.seal(*PLAIN[0]) for _ in range(5)][-1])  # under an index that was not heard yet
        received = inbox.receive(ours.fileno())
        assert [datagram for datagram, _, _ in received][:4] == [b"", b"\x80\x60short", nack, plain]
        assert len(received) == 5
        assert {raw for _, raw, _ in received} == {address, UdpRoute(ours, elsewhere.getsockname()).raw_sockaddr}
        assert inbox.taken == 2, "the repetition is not heard, but nobody else's either"
        assert inbox.receive(ours.fileno()) == []
        inbox.forget(address, stranger.reader)
        theirs.send(link.seal(*PLAIN[0]))
        assert inbox.receive(ours.fileno()) == []
        inbox.forget(address, link.reader)
        theirs.send(link.seal(*PLAIN[0]))
        assert len(inbox.receive(ours.fileno())) == 1
        assert len(inbox) == 0
    assert inbox.receive(-1) == []


async def test_a_viewers_reports_reach_its_session_and_keep_it_alive(tmp_path: Path) -> None:
    native_inbox()
    async with whep_node(config(tmp_path)) as node, publishing(node.hub), viewer(node.whep) as client:
        await client.until(1)
        endpoint, (session,) = node.node.webrtc.endpoint, node.node.webrtc.whep.sessions()
        client.checking = False
        ssrc = client.packets[0].ssrc
        peer = session.port.peer
        heard_at = peer.next_timeout(0.0)
        async with asyncio.timeout(10):
            while not session.estimate.jitter or session.estimate.bits_per_second(client.now()) != 3_000_000:
                client.send_rtcp(ReceiverReport(1, (ReportBlock(ssrc, 0, 0, 2, 900),)), Remb(1, 3_000_000, (ssrc,)))
                await asyncio.sleep(0.05)
        assert endpoint.reports_taken > 0
        later = peer.next_timeout(0.0)
        assert heard_at is not None
        assert later is not None
        assert later > heard_at
        client.send_rtcp(Nack(1, ssrc, (1,)))
        async with asyncio.timeout(10):
            while session.counters.repaired == 0:
                await asyncio.sleep(0.01)

"""Counting a batch at once has to say what counting packet by packet says, and has to know when it cannot."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.datagrams import DatagramBatch
from bench.packet_counter import PacketCounter
from bench.rtp_meter import RtpMeter
from wire.rtp.packet import RtpPacket
from wire.rtp.rtcp import ReceiverReport
from wire.stun import Address, binding_success

VIDEO, AUDIO = (108, 1000), (111, 2000)
SIZE = 100


def packet(kind: tuple[int, int], sequence: int, *, marker: bool = False) -> bytes:
    return RtpPacket(kind[0], sequence & 0xFFFF, 0, kind[1], bytes(SIZE - 12), marker=marker).to_bytes()


def received(datagrams: Sequence[bytes], room: int = 32) -> tuple[DatagramBatch, int]:
    """The datagrams in a batch as the kernel puts them there."""
    batch = DatagramBatch(room)
    with socket.socket(type=socket.SOCK_DGRAM) as there, socket.socket(type=socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        for datagram in datagrams:
            there.sendto(datagram, here.getsockname())
        return batch, batch.receive(here.fileno())


def meters(first: int = 0) -> tuple[RtpMeter, RtpMeter, PacketCounter]:
    made = [RtpMeter(ssrc, payload_type, 90_000, first) for payload_type, ssrc in (VIDEO, AUDIO)]
    counter = PacketCounter()
    for meter in made:
        counter.add(meter)
    return made[0], made[1], counter


@given(
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 3)), min_size=1, max_size=40),
)
def test_a_batch_counts_as_its_packets_do(first: int, steps: list[tuple[bool, bool, int]]) -> None:
    """Each step is (picture?, marker, how far the sequence number goes): over 1 something was lost."""
    video, audio, counter = meters(first)
    one_by_one = {True: RtpMeter(VIDEO[1], VIDEO[0], 90_000, first), False: RtpMeter(AUDIO[1], AUDIO[0], 48_000, first)}
    at = {True: first, False: first}
    datagrams = []
    for is_video, marker, step in steps:
        at[is_video] += step
        datagrams.append(packet(VIDEO if is_video else AUDIO, at[is_video], marker=marker))
        one_by_one[is_video].take(at[is_video] & 0xFFFF)
    assert counter.count(*received(datagrams)) == SIZE * len(datagrams)
    for counted, expected in ((video, one_by_one[True]), (audio, one_by_one[False])):
        assert (counted.received, counted.highest) == (expected.received, expected.highest)


@pytest.mark.parametrize(
    "odd",
    [
        ReceiverReport(1).to_bytes(),
        binding_success(bytes(12), Address("127.0.0.1", 9), b"password"),
        b"\x15\xfe\xfd" + bytes(20),
        packet((109, 3000), 5),
        packet((108, 1001), 5),
        b"\x80\x6c",
    ],
    ids=["RTCP", "STUN", "DTLS", "another kind", "another source", "too short"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_needs_a_closer_look_leaves_the_whole_batch_uncounted(odd: bytes, place: int) -> None:
    video, audio, counter = meters()
    datagrams = [packet(AUDIO, 1), packet(AUDIO, 2)]
    datagrams.insert(place, odd)
    assert counter.count(*received(datagrams)) is None
    assert (video.received, audio.received) == (0, 0)


def test_a_kind_that_gets_a_new_source_goes_on_with_it() -> None:
    video, _, counter = meters()
    newer = RtpMeter(4000, VIDEO[0], 90_000, 0)
    counter.add(newer)
    assert counter.count(*received([packet((VIDEO[0], 4000), 1)])) == SIZE
    assert (video.received, newer.received) == (0, 1)

"""Order: unwrapping, history, the reorder buffer, and pictures out of packets, over lossy links in fake time."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.rtp import h264
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.history import PacketHistory
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import GIVE_UP_AFTER, InOrder, ReorderBuffer
from wire.rtp.sequence import Unwrapper, sequence_distance


def packet(index: int, *, timestamp: int = 0, payload: bytes = b"x", marker: bool = False) -> RtpPacket:
    return RtpPacket(96, index & 0xFFFF, timestamp & 0xFFFFFFFF, 1, payload, marker=marker)


def sequences(items: list[InOrder]) -> list[int]:
    return [item.packet.sequence for item in items]


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-30_000, 30_000), max_size=50))
def test_unwrapped_numbers_step_as_the_counter_did(first: int, steps: list[int]) -> None:
    unwrap = Unwrapper(16)
    true, last = first, unwrap(first)
    for step in steps:
        true += step
        now = unwrap(true & 0xFFFF)
        assert now - last == step
        last = now


def test_unwrapping_passes_the_wrap_in_both_directions() -> None:
    unwrap = Unwrapper(32)
    start = unwrap(0xFFFFFFFE)
    assert [unwrap(value) - start for value in (1, 0xFFFFFFFF, 5)] == [3, 1, 7]
    assert unwrap(0) > 0


@pytest.mark.parametrize(
    ("later", "earlier", "distance"), [(1, 65_535, 2), (65_535, 1, -2), (5, 5, 0), (40_000, 1, -25_537)]
)
def test_distances_are_signed(later: int, earlier: int, distance: int) -> None:
    assert sequence_distance(later, earlier) == distance


def test_history_answers_what_it_still_has() -> None:
    history: PacketHistory[bytes] = PacketHistory(8)
    for index in (65_530, 65_531, 65_540, 65_541):
        history.put(index, b"%d" % index)
    assert history.get(65_541) == b"65541"
    assert history.get(65_540) == b"65540"
    assert [history.get(index) for index in (65_530, 65_533, 65_542, -1)] == [None] * 4
    with pytest.raises(ValueError, match="65541"):
        history.put(65_541, b"")
    history.clear()
    assert history.get(65_541) is None
    with pytest.raises(ValueError, match="12"):
        PacketHistory(12)


def test_what_is_in_order_passes_at_once_across_the_wrap() -> None:
    buffer = ReorderBuffer()
    for index in range(65_530, 65_550):
        assert sequences(buffer.receive(packet(index), 1.0)) == [index & 0xFFFF]
    assert buffer.next_timeout() is None


def test_a_reordered_packet_releases_what_waited_for_it() -> None:
    buffer = ReorderBuffer()
    buffer.receive(packet(1), 1.0)
    assert buffer.receive(packet(3), 1.0) == []
    assert buffer.receive(packet(4), 1.0) == []
    assert sequences(buffer.receive(packet(2), 1.01)) == [2, 3, 4]
    assert (buffer.repaired, buffer.lost, buffer.duplicates) == (1, 0, 0)


def test_repeats_and_late_packets_are_counted_only() -> None:
    buffer = ReorderBuffer()
    for index in (5, 6, 8, 8, 6):
        buffer.receive(packet(index), 1.0)
    assert buffer.duplicates == 2


def test_holes_are_asked_for_at_once_and_then_once_per_round_trip() -> None:
    buffer = ReorderBuffer()
    buffer.receive(packet(65_534), 1.0)
    buffer.receive(packet(1), 1.0)
    assert buffer.requests(1.0, rtt=0.05) == (65_535, 0)
    assert buffer.requests(1.04, rtt=0.05) == ()
    assert buffer.next_timeout() == pytest.approx(1.05)
    buffer.receive(packet(0), 1.045)
    assert buffer.requests(1.05, rtt=0.05) == (65_535,)
    assert buffer.requests(1.06, rtt=0.0) == ()


def test_an_old_hole_is_given_up_and_said() -> None:
    buffer = ReorderBuffer()
    buffer.receive(packet(1), 1.0)
    buffer.receive(packet(4), 1.0)
    buffer.receive(packet(5), 1.1)
    buffer.receive(packet(7), 1.2)
    assert buffer.handle_timeout(1.0 + GIVE_UP_AFTER - 0.01) == []
    released = buffer.handle_timeout(1.0 + GIVE_UP_AFTER)
    assert sequences(released) == [4, 5]
    assert [item.after_gap for item in released] == [True, False]
    assert buffer.lost == 2
    assert sequences(buffer.receive(packet(6), 1.3)) == [6, 7]


def test_several_old_holes_are_given_up_together() -> None:
    buffer = ReorderBuffer()
    for index in (1, 3, 5, 6):
        buffer.receive(packet(index), 1.0)
    released = buffer.handle_timeout(2.0)
    assert sequences(released) == [3, 5, 6]
    assert [item.after_gap for item in released] == [True, True, False]


def test_a_sender_that_numbers_anew_is_followed_after_two_packets() -> None:
    buffer = ReorderBuffer()
    buffer.receive(packet(100), 1.0)
    assert buffer.receive(packet(30_000), 1.0) == []
    assert sequences(buffer.receive(packet(101), 1.0)) == [101]
    assert buffer.receive(packet(30_000), 1.0) == []
    released = buffer.receive(packet(30_001), 1.0)
    assert (sequences(released), released[0].after_gap) == ([30_001], True)
    assert sequences(buffer.receive(packet(30_002), 1.0)) == [30_002]


@given(st.integers(0, 2**32), st.floats(0, 0.4), st.integers(0, 0xFFFF))
def test_what_comes_out_is_in_order_and_each_packet_is_out_or_lost(seed: int, loss: float, first: int) -> None:
    rng = random.Random(seed)
    buffer = ReorderBuffer()
    order = sorted(range(200), key=lambda number: number + rng.random() * 8)
    out: list[InOrder] = []
    for step, number in enumerate(order):
        if rng.random() >= loss:
            out += buffer.receive(packet(first + number), step / 100)
        out += buffer.handle_timeout(step / 100)
        assert len(buffer._holes) <= 200
    out += buffer.handle_timeout(100.0)
    indices = [item.index for item in out]
    assert indices == sorted(set(indices))
    assert all(item.after_gap == (item.index - before.index != 1) for before, item in pairwise(out))


def picture(time: int, size: int = 250, index: int = 0) -> tuple[list[bytes], list[RtpPacket]]:
    nals = [bytes([0x67]) + b"sps", bytes([0x65]) + bytes(size)]
    payloads = h264.packetise(nals, 100)
    last = len(payloads) - 1
    return nals, [
        packet(index + number, timestamp=time, payload=payload, marker=number == last)
        for number, payload in enumerate(payloads)
    ]


def feed(
    packets: list[RtpPacket], *, gap_before: frozenset[int] = frozenset()
) -> tuple[list[RtpUnit], AccessUnitAssembler]:
    assembler = AccessUnitAssembler(H264Depacketiser())
    units = []
    for number, item in enumerate(packets):
        units += assembler.receive(InOrder(number, item, after_gap=number in gap_before))
    return units, assembler


def test_a_picture_is_complete_at_its_marker() -> None:
    nals, packets = picture(0xFFFFFFF0)
    more, next_packets = picture(0x10)
    units, _ = feed(packets + next_packets)
    assert [unit.nals for unit in units] == [tuple(nals), tuple(more)]
    assert units[1].rtp_time - units[0].rtp_time == 0x20
    assert not any(unit.after_loss for unit in units)


def test_a_new_timestamp_ends_a_picture_whose_marker_never_came() -> None:
    nals, packets = picture(0)
    without = [packet(item.sequence, timestamp=0, payload=item.payload) for item in packets]
    units, _ = feed(without + picture(3000)[1])
    assert [unit.nals for unit in units] == [tuple(nals)] * 2


def test_a_gap_drops_the_pictures_it_touches_and_the_next_one_says_so() -> None:
    one, two, three = (picture(time)[1] for time in (0, 3000, 6000))
    units, assembler = feed([*one[:-1], *two[1:], *three], gap_before=frozenset({len(one) - 1}))
    assert [(unit.rtp_time & 0xFFFFFFFF, unit.after_loss) for unit in units] == [(6000, True)]
    assert assembler.damaged == 2


def test_a_gap_between_pictures_still_damages_the_second() -> None:
    one, two, three = (picture(time)[1] for time in (0, 3000, 6000))
    units, _ = feed([*one, *two[1:], *three], gap_before=frozenset({len(one)}))
    assert [unit.after_loss for unit in units] == [False, True]


def test_padding_between_pictures_changes_nothing() -> None:
    one, two = picture(0)[1], picture(3000)[1]
    padding = packet(9, timestamp=0, payload=b"")
    assert len(feed([*one, padding, *two])[0]) == 2
    units, _ = feed([*one, padding, *two], gap_before=frozenset({len(one)}))
    assert len(units) == 1, "the gap may have swallowed the beginning of the second picture"


def test_a_payload_that_breaks_its_format_damages_one_picture() -> None:
    broken = packet(0, timestamp=0, payload=b"\x1f", marker=True)
    units, assembler = feed([broken, *picture(3000)[1]])
    assert [unit.after_loss for unit in units] == [True]
    assert assembler.damaged == 1


def test_a_picture_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wire.rtp.assembly.MAX_UNIT_SIZE", 1000)
    units, assembler = feed(picture(0, size=1200)[1] + picture(3000)[1])
    assert len(units) == 1
    assert assembler.damaged == 1

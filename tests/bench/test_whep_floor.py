"""The schedule of the floor, and the floor itself on loopback."""

from __future__ import annotations

import socket

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from bench.children import Child
from bench.viewers import READY, START, STOP
from bench.whep_floor import (
    MAX_SEGMENTS,
    MAX_SEND,
    DatagramSchedule,
    Floor,
    WhepFloorPlan,
    gso_available,
    run_whep_floor,
    run_whep_readers,
    runs_of,
)


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([], ()),
        ([100], ((1, 100, 100),)),
        ([100, 100, 40], ((3, 100, 40),)),
        ([100, 40, 100], ((2, 100, 40), (1, 100, 100))),
        ([40, 100, 100], ((1, 40, 40), (2, 100, 100))),
        ([1200] * 60, ((54, 1200, 1200), (6, 1200, 1200))),
        ([50] * 100, ((64, 50, 50), (36, 50, 50))),
    ],
)
def test_equal_sizes_and_a_shorter_end_share_a_send(sizes: list[int], runs: tuple[tuple[int, int, int], ...]) -> None:
    assert runs_of(sizes) == runs


@given(st.lists(st.integers(29, 1500), max_size=200))
def test_every_byte_is_in_one_run_and_no_run_is_too_long(sizes: list[int]) -> None:
    runs = runs_of(sizes)
    assert sum(count for count, _, _ in runs) == len(sizes)
    assert sum((count - 1) * first + last for count, first, last in runs) == sum(sizes)
    assert all(count <= MAX_SEGMENTS and (count - 1) * first + last <= MAX_SEND for count, first, last in runs)


def test_schedule_keeps_the_pace_of_rtp_time() -> None:
    schedule = DatagramSchedule.of([(90_000, (100, 50)), (93_000, (80,)), (96_000, (80,))])
    assert [offset for offset, _ in schedule.pictures] == pytest.approx([0, 1 / 30, 2 / 30])
    assert schedule.length == pytest.approx(0.1)
    with pytest.raises(ValueError, match="1 pictures"):
        DatagramSchedule.of([(0, (1,))])


@pytest.mark.parametrize("gso", [True, False])
def test_the_same_datagrams_leave_with_and_without_segmentation(*, gso: bool) -> None:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(type=kind) as sender, socket.socket(type=kind) as receiver:
        receiver.bind(("127.0.0.1", 0))
        floor = Floor(sender, [(AESGCM(bytes(16)), receiver.getsockname())], gso=gso and gso_available())
        for run in runs_of([500, 500, 200, 90]):
            floor.send_to_all(run)
        assert [len(receiver.recv(2048)) for _ in range(4)] == [500, 500, 200, 90]


@pytest.mark.e2e
def test_every_viewer_of_the_floor_gets_every_packet() -> None:
    schedule = DatagramSchedule.of([(3000 * n, (1000, 1000, 300, 100)) for n in range(10)])
    with Child("readers", run_whep_readers, 3) as readers:
        ports = readers.hear(30)
        with Child("floor", run_whep_floor, WhepFloorPlan(schedule, ports)) as floor:
            assert (readers.hear(30), floor.hear(30)) == (READY, READY)
            readers.tell(START)
            floor.tell(START)
            assert not floor._control.poll(0.3)
            floor.tell(STOP)
            report = floor.hear(30)
        readers.tell(STOP)
        assert readers.hear(30) == 0
    assert report.packets % 12 == 0
    assert report.packets >= 60
    assert report.bytes == report.packets // 4 * 2400
    assert report.sends == report.packets * (2 if report.gso else 4) // 4
    assert report.short == 0
    assert report.gso is gso_available()

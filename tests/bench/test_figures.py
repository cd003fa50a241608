"""Percentiles, limits, the floor's schedule, and what /proc says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.figures import Spread, table
from bench.floor import Schedule
from bench.limits import allow_open_files, source_address
from bench.process_figures import cpu_seconds, memory, process_tree


def test_percentiles_are_nearest_rank() -> None:
    assert Spread.of([x / 1000 for x in range(100, 0, -1)], 1000) == Spread(100, 50, 95, 99, 100)
    assert Spread.of([7]) == Spread(1, 7, 7, 7, 7)
    assert Spread.of([]) == Spread(0, None, None, None, None)
    assert str(Spread.of([])) == "no values"


def test_table_is_aligned() -> None:
    assert table([("a", "1"), ("long", "2")]) == "a     1\nlong  2"


PICTURES = [(1000 + 33 * n, 100 + n) for n in range(6)]


def test_schedule_writes_each_picture_when_nothing_is_merged() -> None:
    schedule = Schedule.of(PICTURES, 0)
    assert [size for _, size in schedule.writes] == [100, 101, 102, 103, 104, 105]
    assert [round(at * 1000) for at, _ in schedule.writes] == [0, 33, 66, 99, 132, 165]
    assert schedule.length == pytest.approx(0.198)


def test_schedule_merges_and_loses_no_byte() -> None:
    schedule = Schedule.of(PICTURES, 100)
    assert [size for _, size in schedule.writes] == [303, 312]
    assert [round(at * 1000) for at, _ in schedule.writes] == [66, 165]
    assert sum(size for _, size in Schedule.of(PICTURES, 140).writes) == 615


def test_schedule_needs_a_rate() -> None:
    with pytest.raises(ValueError, match="1 pictures"):
        Schedule.of(PICTURES[:1], 0)


@pytest.mark.parametrize(
    ("host", "number", "total", "address"),
    [
        ("127.0.0.1", 5, 1000, None),
        ("127.0.0.1", 5, 50_000, "127.0.0.2"),
        ("127.0.0.1", 45_000, 50_000, "127.0.0.4"),
        ("localhost", 20_000, 50_000, "127.0.0.3"),
        ("192.0.2.1", 45_000, 50_000, None),
        ("example.org", 45_000, 50_000, None),
    ],
)
def test_viewers_near_the_port_limit_are_spread_on_loopback(
    host: str, number: int, total: int, address: str | None
) -> None:
    assert source_address(host, number, total) == address


def test_open_files_beyond_the_hard_limit_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"1000000000000 viewers need \d+ open files, the hard limit is \d+"):
        allow_open_files(10**12)


def test_open_files_that_are_allowed_already_stay_so() -> None:
    allow_open_files(1)


def test_children_are_charged_to_their_parent() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in process_tree(os.getpid())
        assert cpu_seconds(child.pid) >= 0.28
        assert cpu_seconds(os.getpid()) >= cpu_seconds(child.pid)
        assert memory(os.getpid()).rss > memory(child.pid).rss > 1_000_000
        assert memory(os.getpid()).rss > memory(os.getpid(), alone=True).rss > 1_000_000
        child.communicate("\n")
    assert cpu_seconds(os.getpid()) >= 0.28


def test_own_time_agrees_with_the_process_clock() -> None:
    assert cpu_seconds(os.getpid()) == pytest.approx(sum(os.times()[:4]), abs=0.1)
    assert cpu_seconds(os.getpid(), alone=True) == pytest.approx(sum(os.times()[:2]), abs=0.1)


def test_a_process_that_does_not_run_is_named() -> None:
    with pytest.raises(ProcessLookupError, match="4194305"):
        process_tree(4_194_305)

"""The floor: what the same bytes cost when nothing but the writes is left.

A bare loop writes one shared buffer to each of N sockets, one write per merge window and viewer, non-blocking, with
the sizes and the times of the pictures that a parsed viewer recorded. No policy, no back-pressure, no framing: a
server cannot be cheaper than this in Python, so the ratio of its cost to the floor is the price of its policies.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from statistics import median

from bench.limits import allow_open_files
from bench.viewers import READY, STOP

__all__ = ["FloorPlan", "FloorReport", "Schedule", "run_floor"]

BACKLOG = 4096  # connections that may wait while the loop is not accepting


@dataclass(frozen=True, slots=True)
class Schedule:
    """Writes as (seconds from the start, bytes), and after how many seconds they begin again."""

    writes: tuple[tuple[float, int], ...]
    length: float

    @classmethod
    def of(cls, pictures: Sequence[tuple[int, int]], merge_ms: int) -> Schedule:
        """From (timestamp in ms, bytes) of successive pictures, joined while less than `merge_ms` have passed.

        ValueError for fewer than two pictures: there is no rate to be seen.
        """
        if len(pictures) < 2:
            raise ValueError(f"{len(pictures)} pictures recorded, at least 2 are needed")
        times = [timestamp for timestamp, _ in pictures]
        interval = median(b - a for a, b in pairwise(times))
        length = times[-1] - times[0] + interval
        writes: list[tuple[float, int]] = []
        size, flushed = 0, times[0] - interval
        for timestamp, count in pictures:
            size += count
            if timestamp - flushed >= merge_ms - interval / 2:
                writes.append(((timestamp - times[0]) / 1000, size))
                size, flushed = 0, timestamp
        if size:
            writes.append(((times[-1] - times[0]) / 1000, size))
        return cls(tuple(writes), length / 1000)


@dataclass(frozen=True, slots=True)
class FloorPlan:
    """`count` viewers will connect to a port of 127.0.0.1 that the process tells first."""

    schedule: Schedule
    count: int


@dataclass(frozen=True, slots=True)
class FloorReport:
    """`short` counts writes that a socket did not take whole: with readers that keep up there are none."""

    seconds: float
    cpu_seconds: float
    writes: int
    bytes: int
    short: int


def run_floor(plan: FloorPlan, control: Connection) -> None:
    """A process's main: sends its port, READY when all are there, awaits START, and a FloorReport after STOP."""
    allow_open_files(plan.count)
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        control.send(listener.getsockname()[1])
        viewers = [listener.accept()[0] for _ in range(plan.count)]
    for viewer in viewers:
        viewer.setblocking(False)
        viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    control.send(READY)
    control.recv()
    control.send(_write(plan.schedule, viewers, control))
    for viewer in viewers:
        viewer.close()


def _write(schedule: Schedule, viewers: list[socket.socket], control: Connection) -> FloorReport:
    payload = memoryview(os.urandom(max(size for _, size in schedule.writes)))
    writes = written = short = rounds = 0
    begun, cpu_before = time.monotonic(), time.process_time()
    while not control.poll():
        offset, size = schedule.writes[rounds % len(schedule.writes)]
        due = begun + offset + rounds // len(schedule.writes) * schedule.length
        time.sleep(max(0.0, due - time.monotonic()))
        short += _write_all(viewers, payload[:size])
        writes += len(viewers)
        written += size * len(viewers)
        rounds += 1
    if control.recv() != STOP:
        raise RuntimeError("the floor was told something else than to stop")
    return FloorReport(time.monotonic() - begun, time.process_time() - cpu_before, writes, written, short)


def _write_all(viewers: Sequence[socket.socket], buffer: memoryview) -> int:
    """One write each; how many did not go out whole."""
    short, size = 0, len(buffer)
    for viewer in viewers:
        try:
            if viewer.send(buffer) < size:
                short += 1
        except BlockingIOError:
            short += 1
    return short

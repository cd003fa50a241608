"""The floor of WebRTC: what the same packets cost when they are only encrypted and sent.

A bare loop sends each recorded picture to each of N sockets: one AES-GCM call per packet into one buffer, one `sendmsg`
per run of equal sizes (UDP GSO, udp(7)), from one socket, with a key per viewer. No queue, no RTCP, no policy, and one
batch per picture. It is Python with `cryptography`, as a server in Python would be: a server whose sender is compiled
may stand below it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from multiprocessing.connection import Connection
from statistics import median
from struct import Struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.datagrams import BATCH, SWEEP_S, SWEEP_STEP_S, DatagramBatch, dropped_by_kernel, widen_buffer
from bench.limits import allow_open_files
from bench.viewers import READY, START, STOP
from bench.whep_probe import SentPicture

__all__ = [
    "DatagramSchedule",
    "Floor",
    "WhepFloorPlan",
    "WhepFloorReport",
    "gso_available",
    "run_whep_floor",
    "run_whep_readers",
    "runs_of",
]

TICKS_PER_S = 90_000
HEADER_SIZE = 20  # RTP with abs-send-time; a few bytes more or less cost nothing
TAG_SIZE = 16
MAX_SEGMENTS = 64  # udp(7): of one GSO send
MAX_SEND = 65_507  # bytes of one IPv4 UDP payload, which a GSO send is until it is cut
_SOL_UDP, _UDP_SEGMENT = 17, 103  # linux/udp.h; Python has no names for them
_SEGMENT = Struct("=H")  # in the machine's own byte order
_READ_ROOM = 64  # bytes kept of what is only counted

Run = tuple[int, int, int]
"""(packets, bytes of each but the last, bytes of the last)."""


def runs_of(sizes: Sequence[int]) -> tuple[Run, ...]:
    """Cut a picture's datagrams into sends: equal sizes, and at the end one that may be shorter."""
    runs: list[Run] = []
    count = first = last = 0
    for size in sizes:
        fits = count < MAX_SEGMENTS and count * first + size <= MAX_SEND
        if count and last == first and size <= first and fits:
            count, last = count + 1, size
        else:
            if count:
                runs.append((count, first, last))
            count, first, last = 1, size, size
    if count:
        runs.append((count, first, last))
    return tuple(runs)


@dataclass(frozen=True, slots=True)
class DatagramSchedule:
    """Pictures as (seconds from the start, sends), and after how many seconds they begin again."""

    pictures: tuple[tuple[float, tuple[Run, ...]], ...]
    length: float

    @classmethod
    def of(cls, sent: Sequence[SentPicture]) -> DatagramSchedule:
        """From RTP times and datagram sizes. ValueError for fewer than two pictures: there is no rate to be seen."""
        if len(sent) < 2:
            raise ValueError(f"{len(sent)} pictures recorded, at least 2 are needed")
        times = [timestamp for timestamp, _ in sent]
        interval = median(after - before for before, after in pairwise(times))
        pictures = tuple(((timestamp - times[0]) / TICKS_PER_S, runs_of(sizes)) for timestamp, sizes in sent)
        return cls(pictures, (times[-1] - times[0] + interval) / TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class WhepFloorPlan:
    """Send to these ports of 127.0.0.1."""

    schedule: DatagramSchedule
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WhepFloorReport:
    """`short` counts sends that found no room."""

    seconds: float
    cpu_seconds: float
    packets: int
    sends: int
    bytes: int
    short: int
    gso: bool


def gso_available() -> bool:
    """Whether this kernel cuts one send into datagrams (Linux 4.18)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        try:
            sender.sendmsg([bytes(8)], [_segments_of(4)], 0, receiver.getsockname())
        except OSError:
            return False
        return len(receiver.recv(16)) == 4


def run_whep_floor(plan: WhepFloorPlan, control: Connection) -> None:
    """A process's main: says READY, awaits START, and sends a WhepFloorReport after STOP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_SEND * 64)
        viewers = [(AESGCM(AESGCM.generate_key(128)), ("127.0.0.1", port)) for port in plan.ports]
        control.send(READY)
        control.recv()
        control.send(Floor(sock, viewers, gso=gso_available()).run(plan.schedule, control))


class Floor:
    """The bare loop: `viewers` are a key and an address each."""

    def __init__(self, sock: socket.socket, viewers: Sequence[tuple[AESGCM, tuple[str, int]]], *, gso: bool) -> None:
        self._sock = sock
        self._viewers = viewers
        self._gso = gso
        self._out = memoryview(bytearray(MAX_SEND + 1))
        self._clear = memoryview(os.urandom(MAX_SEND))
        self._header = os.urandom(HEADER_SIZE)
        self._index = self._packets = self._sends = self._bytes = self._short = 0

    def run(self, schedule: DatagramSchedule, control: Connection) -> WhepFloorReport:
        begun, cpu_before, number = time.monotonic(), time.process_time(), 0
        while not control.poll():
            lap, at = divmod(number, len(schedule.pictures))
            offset, runs = schedule.pictures[at]
            time.sleep(max(0.0, begun + offset + lap * schedule.length - time.monotonic()))
            for run in runs:
                self.send_to_all(run)
            number += 1
        if control.recv() != STOP:
            raise RuntimeError("the floor was told something else than to stop")
        seconds, cpu = time.monotonic() - begun, time.process_time() - cpu_before
        return WhepFloorReport(seconds, cpu, self._packets, self._sends, self._bytes, self._short, self._gso)

    def send_to_all(self, run: Run) -> None:
        count, first, last = run
        places = [(k * first, first if k < count - 1 else last) for k in range(count)]
        packets = [
            (self._clear[: max(0, size - HEADER_SIZE - TAG_SIZE)], at, max(at + size, at + HEADER_SIZE + TAG_SIZE))
            for at, size in places
        ]
        total = places[-1][0] + last
        segments = [_segments_of(first)] if self._gso and count > 1 else []
        out, header = self._out, self._header
        for aead, address in self._viewers:
            index = self._index
            for payload, at, end in packets:
                out[at : at + HEADER_SIZE] = header
                aead.encrypt_into(index.to_bytes(12, "big"), payload, header, out[at + HEADER_SIZE : end])
                index += 1
            self._send(total, first, segments, address, single=count == 1)
        self._index += count
        self._packets += count * len(self._viewers)
        self._bytes += total * len(self._viewers)

    def _send(
        self, total: int, size: int, segments: list[tuple[int, int, bytes]], address: tuple[str, int], *, single: bool
    ) -> None:
        try:
            if segments or single:
                self._sends += 1
                self._sock.sendmsg([self._out[:total]], segments, 0, address)
                return
            for at in range(0, total, size):
                self._sends += 1
                self._sock.sendto(self._out[at : min(at + size, total)], address)
        except BlockingIOError:
            self._short += 1


def _segments_of(size: int) -> tuple[int, int, bytes]:
    return (_SOL_UDP, _UDP_SEGMENT, _SEGMENT.pack(size))


def run_whep_readers(count: int, control: Connection) -> None:
    """A process's main: sends the ports of `count` sockets, then READY, awaits START and STOP, and sends how many
    datagrams the sockets had no room for. They are drained as the viewers that only count are: each now and then.
    """
    allow_open_files(count)
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
        widen_buffer(sock)
    control.send(tuple(sock.getsockname()[1] for sock in sockets))
    control.send(READY)
    _drain_all([sock.fileno() for sock in sockets], control)
    control.send(sum(dropped_by_kernel(sock) for sock in sockets))
    for sock in sockets:
        sock.close()


def _drain_all(sockets: Sequence[int], control: Connection) -> None:
    """Until STOP: everybody each `SWEEP_S`, a few in each step."""
    batch, number, stopped = DatagramBatch(_READ_ROOM), 0, False
    a_step = ceil(len(sockets) * SWEEP_STEP_S / SWEEP_S)
    while not stopped:
        for _ in range(a_step):
            while batch.receive(sockets[number]) == BATCH:
                continue
            number = (number + 1) % len(sockets)
        if control.poll(SWEEP_STEP_S):
            stopped = control.recv() != START

"""Many viewers from one process: non-blocking sockets and one epoll loop that throws the bytes away.

A viewer is parsed until its first keyframe; after that, one in `parse_every` is parsed on and the others only count.
Their bytes are discarded inside the kernel (`MSG_TRUNC`, tcp(7)), so that the load costs as little as can be.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from bench.flv_client import HEARTBEAT, Target
from bench.flv_probe import FlvProbe
from bench.limits import allow_open_files, source_address
from wire.errors import WireError

__all__ = ["READY", "START", "STOP", "ViewerPlan", "ViewerReport", "run_viewers"]

READY, START, STOP = "ready", "start", "stop"

SCRATCH_SIZE = 1 << 20  # bytes to take at once
HEARTBEAT_S = 10.0  # a WebSocket viewer that discards cannot answer pings, so it sends pongs unasked
TICK_S = 0.01  # while viewers still join
REQUEST_TIMEOUT_S = 20.0  # to a first keyframe, with room for servers that hold an early player for 10 s
WATCHED = select.EPOLLIN | select.EPOLLRDHUP


@dataclass(frozen=True, slots=True)
class ViewerPlan:
    """What one process does. Without a request the sockets are raw: bytes come at once and mean nothing.

    `first` is the number of this process's first viewer among `total`; `ramp` is viewers per second; of each 100
    viewers `stalled` stop reading when the measurement starts.
    """

    target: Target
    request: bool
    first: int
    count: int
    total: int
    ramp: float
    stalled: float = 0.0
    parse_every: int = 100


@dataclass(slots=True)
class ViewerReport:
    """What one process saw. Lists have an entry per viewer, or per picture and parsed viewer; times are seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    watching: int = 0
    first_byte: list[float] = field(default_factory=list)
    first_keyframe: list[float] = field(default_factory=list)
    largest_gap: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    bytes: int = 0
    reads: int = 0
    pieces: int = 0
    parsed: int = 0
    pictures: list[tuple[int, int]] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    stalled: int = 0
    stalled_closed: int = 0


class _Viewer:
    __slots__ = (
        "first_byte",
        "first_keyframe",
        "gap",
        "last",
        "open",
        "parsed",
        "pieces_before",
        "probe",
        "reads",
        "received",
        "sock",
        "stalled",
        "started",
    )

    def __init__(self, sock: socket.socket, *, probe: FlvProbe | None, parsed: bool, now: float) -> None:
        self.sock = sock
        self.probe = probe
        self.parsed = parsed
        self.started = self.last = now
        self.first_byte: float | None = None
        self.first_keyframe: float | None = None
        self.gap = 0.0
        self.received = self.reads = self.pieces_before = 0
        self.stalled = False
        self.open = True

    def measure_from(self, now: float) -> None:
        self.last, self.gap, self.received, self.reads = now, 0.0, 0, 0
        if self.probe:
            self.probe.measuring = True
            self.pieces_before = self.probe.pieces


def run_viewers(plan: ViewerPlan, control: Connection) -> None:
    """A process's main: says READY, awaits START, then STOP, and sends its ViewerReport."""
    allow_open_files(plan.count)
    _ViewerLoop(plan, control).run()


class _ViewerLoop:
    def __init__(self, plan: ViewerPlan, control: Connection) -> None:
        self._plan = plan
        self._control = control
        self._address = socket.gethostbyname(plan.target.host)
        self._epoll = select.epoll()
        self._viewers: dict[int, _Viewer] = {}
        self._scratch = bytearray(SCRATCH_SIZE)
        self._report = ViewerReport()
        self._waiting = 0  # for a first keyframe, or for the connection where there is no request
        self._measured_from: float | None = None
        self._cpu_before = 0.0

    def run(self) -> None:
        self._epoll.register(self._control.fileno(), select.EPOLLIN)
        begun = time.monotonic()
        ready = False
        beat = begun + HEARTBEAT_S
        while self._measured_from is None or not self._report.seconds:
            now = time.monotonic()
            if not ready:
                self._open_until(round((now - begun) * self._plan.ramp) + 1, now)
                ready = len(self._viewers) == self._plan.count and self._settled(now)
                if ready:
                    self._control.send(READY)
            if self._plan.target.websocket and now > beat:
                beat = now + HEARTBEAT_S
                self._send_heartbeats()
            self._serve(TICK_S if not ready else 1.0)
        self._control.send(self._finish())

    def _open_until(self, wanted: int, now: float) -> None:
        while len(self._viewers) < min(wanted, self._plan.count):
            number = self._plan.first + len(self._viewers)
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if (source := source_address(self._address, number, self._plan.total)) is not None:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
            probe = FlvProbe(websocket=self._plan.target.websocket) if self._plan.request else None
            parsed = self._plan.request and number % self._plan.parse_every == 0
            viewer = self._viewers[sock.fileno()] = _Viewer(sock, probe=probe, parsed=parsed, now=now)
            self._epoll.register(sock.fileno(), WATCHED | select.EPOLLOUT)
            self._waiting += 1
            error = sock.connect_ex((self._address, self._plan.target.port))
            if error not in (0, errno.EINPROGRESS):
                self._lose(viewer, os.strerror(error))

    def _settled(self, now: float) -> bool:
        """Every viewer watches or is lost; one that waits too long is given up."""
        if not self._waiting:
            return True
        late = [v for v in self._viewers.values() if v.open and v.first_keyframe is None]
        for viewer in late:
            if now - viewer.started > REQUEST_TIMEOUT_S:
                self._lose(viewer, f"no keyframe within {REQUEST_TIMEOUT_S:.0f} s")
        return not self._waiting

    def _serve(self, timeout: float) -> None:
        events = self._epoll.poll(timeout, self._plan.count + 1)
        now = time.monotonic()
        viewers, scratch = self._viewers, self._scratch
        for fd, event in events:
            viewer = viewers.get(fd)
            if viewer is None:
                self._obey(now)
            elif viewer.probe is None and event == select.EPOLLIN:
                try:
                    count = viewer.sock.recv_into(scratch, SCRATCH_SIZE, socket.MSG_TRUNC)
                except OSError as error:
                    self._fail(viewer, error)
                    continue
                gap = now - viewer.last
                viewer.gap = max(viewer.gap, gap)
                viewer.last = now
                viewer.received += count
                viewer.reads += 1
            else:
                self._attend(fd, viewer, event, now)

    def _attend(self, fd: int, viewer: _Viewer, event: int, now: float) -> None:
        """Everything but the common case."""
        if event & select.EPOLLOUT and not event & (select.EPOLLERR | select.EPOLLHUP):
            self._connected(fd, viewer, now)
        elif viewer.stalled:
            self._lose(viewer, "stalled")
        elif viewer.open:
            self._read(viewer, now)

    def _connected(self, fd: int, viewer: _Viewer, now: float) -> None:
        self._epoll.modify(fd, WATCHED)
        if self._plan.request:
            self._send(viewer, self._plan.target.request())
        else:
            viewer.first_keyframe = now
            self._waiting -= 1

    def _read(self, viewer: _Viewer, now: float) -> None:
        try:
            data = viewer.sock.recv(SCRATCH_SIZE)
            if not data:
                self._lose(viewer, "closed by the server")
                return
            viewer.gap = max(viewer.gap, now - viewer.last)
            viewer.last = now
            viewer.received += len(data)
            viewer.reads += 1
            if viewer.probe:
                self._parse(viewer, viewer.probe, data)
        except (OSError, WireError) as error:
            self._fail(viewer, error)

    def _send(self, viewer: _Viewer, data: bytes) -> None:
        """So few bytes always find room in a socket's buffer."""
        try:
            viewer.sock.send(data)
        except OSError as error:
            self._fail(viewer, error)

    def _fail(self, viewer: _Viewer, error: OSError | WireError) -> None:
        """A socket that only has nothing for us now is not lost."""
        if not isinstance(error, BlockingIOError):
            self._lose(viewer, (error.strerror if isinstance(error, OSError) else None) or str(error))

    def _parse(self, viewer: _Viewer, probe: FlvProbe, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if viewer.first_byte is None:
            viewer.first_byte = now_ns / 1e9
        probe.receive_data(data, now_ns)
        if probe.keyframe_seen and viewer.first_keyframe is None:
            viewer.first_keyframe = now_ns / 1e9
            self._waiting -= 1
            if not viewer.parsed:
                viewer.probe = None

    def _lose(self, viewer: _Viewer, reason: str) -> None:
        if viewer.first_keyframe is None:
            self._waiting -= 1
        if viewer.stalled:
            self._report.stalled_closed += 1
        else:
            self._report.lost[reason] += 1
        viewer.open = False
        # Closed at the end only: the kernel would give its number, our key, to the next viewer.
        self._epoll.unregister(viewer.sock.fileno())

    def _send_heartbeats(self) -> None:
        for viewer in self._viewers.values():
            if viewer.open and viewer.first_keyframe is not None:
                self._send(viewer, HEARTBEAT)

    def _obey(self, now: float) -> None:
        """START or STOP. EOFError, which ends this process, when the one that started it is gone."""
        order = self._control.recv()
        if order == START:
            self._measured_from = now
            self._cpu_before = time.process_time()
            self._stall()
            for viewer in self._viewers.values():
                viewer.measure_from(now)
        elif order == STOP and self._measured_from is not None:
            self._report.seconds = now - self._measured_from
            self._report.cpu_seconds = time.process_time() - self._cpu_before

    def _stall(self) -> None:
        """Evenly among the viewers, and never a parsed one."""
        for number, (fd, viewer) in enumerate(self._viewers.items(), self._plan.first):
            share = self._plan.stalled / 100
            if viewer.open and not viewer.parsed and int((number + 1) * share) > int(number * share):
                viewer.stalled = True
                self._epoll.modify(fd, select.EPOLLRDHUP)

    def _finish(self) -> ViewerReport:
        report, now = self._report, time.monotonic()
        for viewer in self._viewers.values():
            report.stalled += viewer.stalled
            _append(report.first_byte, viewer.first_byte, viewer.started)
            _append(report.first_keyframe, viewer.first_keyframe, viewer.started)
            if viewer.open and not viewer.stalled:
                report.watching += 1
                report.largest_gap.append(max(viewer.gap, now - viewer.last))
                report.bytes += viewer.received
                report.reads += viewer.reads
                self._add_probe(viewer)
            viewer.sock.close()
        return report

    def _add_probe(self, viewer: _Viewer) -> None:
        probe = viewer.probe
        if probe is None or not viewer.parsed:
            return
        self._report.parsed += 1
        self._report.pieces += probe.pieces - viewer.pieces_before
        self._report.latency += [ns / 1e9 for ns in probe.latencies_ns]
        self._report.pictures = self._report.pictures or probe.pictures


def _append(values: list[float], at: float | None, since: float) -> None:
    if at is not None:
        values.append(at - since)

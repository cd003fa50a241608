"""Many WebRTC viewers from one process: a UDP socket each, one epoll loop, and reports when they are due."""

from __future__ import annotations

import gc
import os
import select
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from multiprocessing.connection import Connection

from bench.datagrams import SWEEP_S
from bench.limits import allow_open_files
from bench.media_sample import MediaSample
from bench.picture_log import PictureFigures, judge
from bench.timeline_origin import TimelineOrigin
from bench.viewers import READY, REQUEST_TIMEOUT_S, START, STOP
from bench.whep_http import Finished, HttpWorkers, SessionCreated, WhepRefused, WhepUrl
from bench.whep_peer import PeerLost
from bench.whep_probe import SentPicture
from bench.whep_viewer import REPORT_S, ViewerSurroundings, WhepViewer
from wire.dtls import DtlsContext
from wire.errors import WireError

__all__ = ["WhepPlan", "WhepReport", "run_whep_viewers"]

TICK_S = 0.01  # between two looks at the timers of those that join or are checked
LIP_VIEWERS = 2  # of a process: decoding pictures takes time afterwards, and all see the same ones
SILENT_S = 3.0  # a viewer that got nothing for so long at the end was not watching
LEAVE_S = 4.0  # for the DELETEs; less than the parent's patience with a process that should end
SWITCH_S = 0.0005  # the loop must not wait 5 ms, Python's usual turn, for a thread that speaks HTTP


@dataclass(frozen=True, slots=True)
class WhepPlan:
    """What one process does. `first` is the number of its first viewer; one in `decrypt_every` is checked. `samples`
    are the seconds of the window at which some media is kept.
    """

    url: WhepUrl
    first: int
    count: int
    ramp: float
    decrypt_every: int
    samples: tuple[float, ...] = ()


@dataclass(slots=True)
class WhepReport:
    """What one process saw. Lists have an entry per viewer; times are seconds.

    `expected` and `missing` count RTP packets by sequence number, repairs left out, and `sound_expected` and
    `sound_missing` those of the sound alone; `unheard` viewers were promised sound and got none. `dropped` are
    datagrams that the viewers' own sockets had no room for. `figures` to `sent` and `largest_gap` are of the checked
    viewers. `origins` says where the viewers' Streamer-Timeline put zero, and `timeline_distance` how far the first
    packet was from it.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    watching: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)
    connected: list[float] = field(default_factory=list)
    first_packet: list[float] = field(default_factory=list)
    first_keyframe: list[float] = field(default_factory=list)
    largest_gap: list[float] = field(default_factory=list)
    bytes: int = 0
    packets: int = 0
    reads: int = 0
    expected: int = 0
    missing: int = 0
    dropped: int = 0
    sound_expected: int = 0
    sound_missing: int = 0
    unheard: int = 0
    checked: int = 0
    figures: PictureFigures = field(default_factory=PictureFigures)
    unrepaired: int = 0
    repaired: int = 0
    retransmissions: int = 0
    damaged: int = 0
    discarded: int = 0
    sounds: int = 0
    sound_gaps: int = 0
    sound_steps_back: int = 0
    sound_malformed: int = 0
    samples: list[MediaSample] = field(default_factory=list)
    sent: list[SentPicture] = field(default_factory=list)
    profiles: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    timeline_distance: list[float] = field(default_factory=list)
    undeleted: Counter[str] = field(default_factory=Counter)
    receive_buffer: int = 0


def run_whep_viewers(plan: WhepPlan, control: Connection) -> None:
    """A process's main: says READY, awaits START, then STOP, and sends its WhepReport."""
    allow_open_files(plan.count)
    sys.setswitchinterval(SWITCH_S)
    loop = _WhepLoop(plan, control)
    try:
        loop.run()
    finally:
        loop.leave()
    control.send(loop.report)


class _WhepLoop:
    def __init__(self, plan: WhepPlan, control: Connection) -> None:
        self.report = WhepReport()
        self._plan = plan
        self._control = control
        # one certificate for all: what a client's own costs is its machine's, never the server's
        context = DtlsContext(today=datetime.now(UTC))
        self._around = ViewerSurroundings.towards(context, plan.url)
        self._http = HttpWorkers()
        self._epoll = select.epoll()
        self._viewers: list[WhepViewer] = []
        self._by_fd: dict[int, WhepViewer] = {}
        self._joining: dict[int, WhepViewer] = {}
        self._checked: list[WhepViewer] = []
        self._counting: deque[WhepViewer] = deque()
        self._swept_at = 0.0
        self._rota: deque[tuple[float, WhepViewer]] = deque()
        self._deleting = self._lip_viewers = 0
        self._measured_from: float | None = None
        self._cpu_before = 0.0

    def run(self) -> None:
        for fd in (self._control.fileno(), self._http.fd):
            self._epoll.register(fd, select.EPOLLIN)
        begun = tick_at = time.monotonic()
        ready = False
        while not self.report.seconds:
            now = time.monotonic()
            if now >= tick_at:
                tick_at = now + TICK_S
                self._open_until(round((now - begun) * self._plan.ramp) + 1, now)
                self._tick(now)
                self._sweep(now)
            self._send_reports(now)
            if not ready and len(self._viewers) == self._plan.count and not self._joining:
                ready = True
                self._control.send(READY)
            self._serve(max(0.0, tick_at - time.monotonic()))
        self._summarise()

    def leave(self) -> None:
        """Say goodbye and DELETE every session that the server gave, as far as `LEAVE_S` allows."""
        for viewer in self._viewers:
            if viewer.open:
                viewer.close()
                self._delete(viewer)
        deadline = time.monotonic() + LEAVE_S
        while self._deleting and (left := deadline - time.monotonic()) > 0:
            select.select([self._http.fd], [], [], left)
            self._take_outcomes(time.monotonic())
        if self._deleting:
            self.report.undeleted[f"no answer to DELETE within {LEAVE_S:.0f} s"] += self._deleting
        self._http.close()
        for viewer in self._viewers:
            viewer.sock.close()

    def _open_until(self, wanted: int, now: float) -> None:
        while len(self._viewers) < min(wanted, self._plan.count):
            number = self._plan.first + len(self._viewers)
            checked = number % self._plan.decrypt_every == 0
            lips = checked and self._lip_viewers < LIP_VIEWERS
            self._lip_viewers += lips
            viewer = WhepViewer(number, self._around, checked=checked, now=now, lips=lips)
            self.report.receive_buffer = viewer.receive_buffer
            self._by_fd[viewer.sock.fileno()] = self._joining[len(self._viewers)] = viewer
            self._http.post(len(self._viewers), self._plan.url, viewer.offer())
            self._viewers.append(viewer)
            self._epoll.register(viewer.sock.fileno(), select.EPOLLIN)

    def _serve(self, timeout: float) -> None:
        for fd, _ in self._epoll.poll(timeout, self._plan.count + 2):
            now = time.monotonic()
            viewer = self._by_fd.get(fd)
            if viewer is not None:
                try:
                    viewer.drain(now)
                except (PeerLost, OSError) as error:
                    self._lose(viewer, _reason(error))
            elif fd == self._http.fd:
                self._take_outcomes(now)
            elif fd == self._control.fileno():
                self._obey(now)

    def _take_outcomes(self, now: float) -> None:
        for finished in self._http.finished():
            if finished.method == "POST":
                self._take_answer(self._viewers[finished.whose], finished, now)
                continue
            self._deleting -= 1
            if isinstance(finished.outcome, Exception):
                self.report.undeleted[_reason(finished.outcome)] += 1

    def _take_answer(self, viewer: WhepViewer, finished: Finished, now: float) -> None:
        created = finished.outcome
        if not isinstance(created, SessionCreated):
            self._lose(viewer, "no answer" if created is None else _reason(created))
        elif not viewer.open:  # it was lost meanwhile, but the server does not know
            viewer.session = created.session
            self._delete(viewer)
        else:
            try:
                viewer.answered(created, now)
            except (WireError, OSError, PeerLost) as error:
                self._lose(viewer, _reason(error))

    def _tick(self, now: float) -> None:
        for index, viewer in list(self._joining.items()):
            self._let_tick(viewer, now)
            if viewer.connected_at is not None and not viewer.reporting:
                viewer.reporting = True
                self._rota.append((now + REPORT_S, viewer))
            if viewer.open and viewer.keyframe_at is None and now - viewer.started > REQUEST_TIMEOUT_S:
                self._lose(viewer, f"no {viewer.waiting_for} within {REQUEST_TIMEOUT_S:.0f} s")
            if viewer.keyframe_at is not None or not viewer.open:
                del self._joining[index]
                if viewer.open:
                    self._watch(viewer)
        for viewer in self._checked:
            self._let_tick(viewer, now)

    def _watch(self, viewer: WhepViewer) -> None:
        """It has joined. Those that count are not waited for: waking up for each packet costs more than counting it,
        and on one machine the server would pay for a part of it.
        """
        if viewer.checked:
            self._checked.append(viewer)
        elif viewer.counts:
            self._let_sleep(viewer)
            self._counting.append(viewer)

    def _let_sleep(self, viewer: WhepViewer) -> None:
        """Its packets wake nobody up any more."""
        if self._by_fd.pop(viewer.sock.fileno(), None) is not None:
            self._epoll.unregister(viewer.sock.fileno())

    def _sweep(self, now: float) -> None:
        """Read the next few of those that count, so many that it is everybody's turn each `SWEEP_S`."""
        share = min(1.0, (now - self._swept_at) / SWEEP_S)
        self._swept_at = now
        self._sweep_next(ceil(share * len(self._counting)), now)

    def _sweep_next(self, count: int, now: float) -> None:
        for _ in range(count):
            viewer = self._counting.popleft()
            if not viewer.open:
                continue
            self._counting.append(viewer)
            try:
                viewer.sweep(now)
            except (PeerLost, OSError) as error:
                self._lose(viewer, _reason(error))

    def _let_tick(self, viewer: WhepViewer, now: float) -> None:
        if viewer.open:
            try:
                viewer.tick(now)
            except (PeerLost, OSError) as error:
                self._lose(viewer, _reason(error))

    def _send_reports(self, now: float) -> None:
        rota = self._rota
        while rota and rota[0][0] <= now:
            due, viewer = rota.popleft()
            if not viewer.open:
                continue
            rota.append((max(due, now - REPORT_S) + REPORT_S, viewer))
            try:
                viewer.report(now)
            except (PeerLost, OSError) as error:
                self._lose(viewer, _reason(error))

    def _lose(self, viewer: WhepViewer, reason: str) -> None:
        if not viewer.open:
            return
        self.report.lost[reason] += 1
        self._let_sleep(viewer)
        viewer.close()
        viewer.sock.close()  # else what is still sent to it would overflow there, and count as the kernel's loss
        self._delete(viewer)

    def _delete(self, viewer: WhepViewer) -> None:
        if viewer.session is not None:
            self._deleting += 1
            self._http.delete(viewer.number - self._plan.first, viewer.session)
            viewer.session = None

    def _obey(self, now: float) -> None:
        """START or STOP. EOFError, which ends this process, when the one that started it is gone."""
        order = self._control.recv()
        self._sweep_next(len(self._counting), now)  # what came until now is counted on this side of the border
        if order == START:
            gc.freeze()  # the viewers stay until the end: looking through them again and again would hold the loop up
            self._measured_from = now
            self._cpu_before = time.process_time()
            for viewer in self._viewers:
                if viewer.open:
                    viewer.measure_from(now, self._plan.samples)
        elif order == STOP and self._measured_from is not None:
            self.report.seconds = now - self._measured_from
            self.report.cpu_seconds = time.process_time() - self._cpu_before

    def _summarise(self) -> None:
        report, now = self.report, time.monotonic()
        for viewer in self._viewers:
            _append(report.answered, viewer.answered_at, viewer.started)
            _append(report.connected, viewer.connected_at, viewer.started)
            _append(report.first_packet, viewer.first_packet_at, viewer.started)
            _append(report.first_keyframe, viewer.keyframe_at, viewer.started)
            if viewer.open and now - viewer.last > SILENT_S:
                self._lose(viewer, f"nothing arrived in the last {SILENT_S:.0f} s")
            if viewer.open:
                self._add(viewer, now)
            self._add_timeline(viewer)

    def _add(self, viewer: WhepViewer, now: float) -> None:
        report = self.report
        expected, missing = viewer.missing()
        report.watching += 1
        report.bytes += viewer.received
        report.packets += viewer.packets
        report.expected += expected
        report.missing += missing
        expected, missing = viewer.missing_sound()
        report.sound_expected += expected
        report.sound_missing += missing
        report.unheard += viewer.promised_sound and expected == missing
        report.dropped += viewer.dropped()
        if viewer.peer:
            report.profiles[viewer.peer.profile] += 1
        self._add_probe(viewer, now)

    def _add_probe(self, viewer: WhepViewer, now: float) -> None:
        probe, report = viewer.probe, self.report
        if probe is None or viewer.peer is None or self._measured_from is None:
            return
        report.checked += 1
        report.reads += viewer.reads
        report.largest_gap.append(max(viewer.gap, now - viewer.last))
        report.figures.add(judge(probe.pictures, self._measured_from, now))
        report.unrepaired += probe.lost
        report.repaired += probe.repaired
        report.retransmissions += probe.retransmissions
        report.damaged += probe.damaged
        report.discarded += viewer.peer.discarded + probe.malformed
        report.sounds += probe.sound.packets
        report.sound_gaps += probe.sound.gaps
        report.sound_steps_back += probe.sound.steps_back
        report.sound_malformed += probe.sound.malformed
        if probe.taker is not None:
            probe.taker.finish()
            report.samples += probe.taker.samples
        report.sent = report.sent or probe.sent

    def _add_timeline(self, viewer: WhepViewer) -> None:
        if viewer.timeline is None:
            return
        origin = TimelineOrigin.parse(viewer.timeline)
        self.report.origins["unreadable" if origin is None else origin.label] += 1
        if origin is not None and viewer.first_rtp_time is not None:
            self.report.timeline_distance.append(origin.distance(viewer.first_rtp_time))


def _append(values: list[float], at: float | None, since: float) -> None:
    if at is not None:
        values.append(at - since)


def _reason(error: Exception) -> str:
    """The part of an error that is the same for all viewers, so that they can be counted together."""
    if isinstance(error, PeerLost | WhepRefused | WireError):
        return str(error)
    return (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "") or str(error)

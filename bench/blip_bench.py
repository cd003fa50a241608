"""Does a host's blip reach a viewer? Hosts are killed, come back, and take over, while one viewer keeps watching."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

from bench.children import Child, ChildError
from bench.demo_host import DemoHost, DemoOptions
from bench.figures import Spread
from bench.lip_sync import Flash, read_flashes
from bench.watcher import Arrival, Watcher
from wire.flv_tag import AUDIO, VIDEO

__all__ = ["BlipOptions", "BlipResult", "run_blip_bench"]

READY_S = 30.0
"""For a host's process to load its libraries on a busy machine."""
RETURN_S = 20.0
"""A picture that is not back by then has not come back."""
STOP_TO_TAKEOVER_S = 0.2
"""What the frozen host sent is with the viewer by then, so the next picture is the new host's."""


@dataclass(frozen=True, slots=True)
class BlipOptions:
    """`blips` alternate: a host that is killed and is back after `outage` seconds, and one that is taken over from."""

    url: str
    publish: str
    blips: int = 10
    outage: float = 3.0
    play: float = 11.0
    width: int = 640
    height: int = 360
    bitrate: int = 800_000


@dataclass(frozen=True, slots=True)
class BlipResult:
    """Milliseconds. `return_ms` is from the new host's first move, its connect, to its first picture at the viewer.

    A gap is a step of FLV timestamps beyond the kind's usual step. Lip sync is beep minus flash.
    """

    blips: int
    survived: bool
    ended: str | None
    return_ms: Spread
    video_step_ms: float
    video_gap_ms: float
    audio_gap_ms: float
    lip_sync_ms: Spread
    lip_sync_shift_ms: float
    flashes: int
    flashes_without_beep: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_blip_bench(options: BlipOptions) -> BlipResult:
    """Raises ChildError when a host cannot publish, OSError when the viewer cannot connect."""
    returns: list[float] = []
    hosts = [_Host(options, number) for number in (1, 2)]
    try:
        hosts[0].go()
        with Watcher(options.url) as watcher:
            if watcher.first_picture_after(0.0, time.monotonic() + RETURN_S) is None:
                raise ChildError("no picture reached the viewer")
            for blip in range(options.blips):
                time.sleep(options.play)
                if watcher.ended is not None:
                    break
                returns.append(_blip(options, hosts, watcher, is_takeover=blip % 2 == 1))
                hosts.append(_Host(options, blip + 3))
            time.sleep(options.play)
            ended = watcher.ended
    finally:
        for host in hosts:
            host.kill()
    return _result(options, watcher, returns, ended)


def _blip(options: BlipOptions, hosts: list[_Host], watcher: Watcher, *, is_takeover: bool) -> float:
    """End the first host and start the second. Returns the seconds until the viewer saw it."""
    old, new = hosts.pop(0), hosts[0]
    if is_takeover:
        old.freeze()
        time.sleep(STOP_TO_TAKEOVER_S)
    else:
        old.kill()
        time.sleep(options.outage)
    began = new.go()
    arrival = watcher.first_picture_after(began, RETURN_S)
    old.kill()
    return float("inf") if arrival is None else arrival.at - began


class _Host:
    """A demo host in a process of its own, loaded and waiting for its turn."""

    def __init__(self, options: BlipOptions, number: int) -> None:
        demo = DemoOptions(
            url=options.publish,
            width=options.width,
            height=options.height,
            fps=Fraction(30),
            bitrate=options.bitrate,
            number=number,
        )
        self._child = Child(f"host {number}", _publish, demo)
        self._is_killed = False

    def go(self) -> float:
        """Publish from now on. The monotonic second in which it was told."""
        self._child.hear(READY_S)
        began = time.monotonic()
        self._child.tell("go")
        return began

    def freeze(self) -> None:
        """The network or the machine of the host is gone, and nobody has told the server."""
        os.kill(self._child.pid, signal.SIGSTOP)

    def kill(self) -> None:
        if not self._is_killed:
            self._is_killed = True
            os.kill(self._child.pid, signal.SIGKILL)
            self._child.__exit__(None, None, None)


def _publish(options: DemoOptions, control: Connection) -> None:
    """A host's process: ready, told to go, and then publishing until it is killed or its parent is gone."""
    host = DemoHost(options)
    control.send("ready")
    control.recv()
    threading.Thread(target=host.run, daemon=True).start()
    control.recv()


def _result(options: BlipOptions, watcher: Watcher, returns: list[float], ended: str | None) -> BlipResult:
    flashes = read_flashes(bytes(watcher.flv))
    apart = [flash.beep_ms for flash in flashes if flash.beep_ms is not None]
    step, video_gap = _gap(watcher.arrivals, VIDEO)
    return BlipResult(
        blips=len(returns),
        survived=ended is None and len(returns) == options.blips and float("inf") not in returns,
        ended=ended,
        return_ms=Spread.of(returns, 1000),
        video_step_ms=step,
        video_gap_ms=video_gap,
        audio_gap_ms=_gap(watcher.arrivals, AUDIO)[1],
        lip_sync_ms=Spread.of([abs(ms) for ms in apart]),
        lip_sync_shift_ms=_shift(flashes),
        flashes=len(flashes),
        flashes_without_beep=len(flashes) - len(apart),
    )


def _gap(arrivals: list[Arrival], kind: int) -> tuple[float, float]:
    """The usual step of a kind's timestamps, and how much the largest step is beyond it."""
    times = [arrival.tag.timestamp for arrival in arrivals if arrival.tag.kind == kind]
    steps = [after - before for before, after in pairwise(times)]
    if not steps:
        return 0.0, 0.0
    usual = float(statistics.median(steps))
    return usual, max(steps) - usual


def _shift(flashes: list[Flash]) -> float:
    """The largest change of lip sync from one host to the next."""
    by_host: dict[int, list[float]] = {}
    for flash in flashes:
        if flash.beep_ms is not None:
            by_host.setdefault(flash.number, []).append(flash.beep_ms)
    medians = [statistics.median(values) for values in by_host.values()]
    return max((abs(after - before) for before, after in pairwise(medians)), default=0.0)

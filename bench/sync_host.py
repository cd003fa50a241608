"""The host of a sync run: a process that publishes the demo's show and writes down when each frame was captured."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import av.logging

from bench.children import Child
from bench.demo_host import DemoHost, DemoOptions, OnCapture
from bench.sync_live import LiveMedia
from bench.whip_publisher import WhipPublisher, is_whip_url

__all__ = ["Capture", "Captures", "SyncHost", "read_captures"]

READY_S = 60.0
"""For a host's process to load its libraries on a busy machine."""
RETRY_S = 0.5
PUNCTUAL_S = 30.0
"""Short enough that no clock drifts by more than a millisecond."""
_RECORD = struct.Struct("<Id")


@dataclass(frozen=True, slots=True)
class Capture:
    """Host `number` began to make the frame with this code at this Unix second."""

    number: int
    code_ms: int
    wall: float


class Captures:
    """All frames of all hosts, in order of time: the ground truth."""

    def __init__(self, captures: Iterable[Capture]) -> None:
        self._all = sorted(captures, key=lambda capture: capture.wall)
        self._walls = [capture.wall for capture in self._all]
        self._by_code = {(capture.number, capture.code_ms): capture for capture in self._all}

    def at(self, wall: float) -> Capture | None:
        """What was being captured at this Unix second: the newest frame that had begun. None before the first."""
        index = bisect_right(self._walls, wall)
        return self._all[index - 1] if index else None

    def punctual(self, wall: float) -> Capture | None:
        """What tells best which code belongs to this Unix second: of the host that was on, the capture of the last
        seconds that was least late. On a busy machine a host makes frames late, and a camera would not.
        """
        newest = self.at(wall)
        if newest is None:
            return None
        end = bisect_right(self._walls, wall)
        begin = bisect_right(self._walls, wall - PUNCTUAL_S)
        near = [capture for capture in self._all[begin:end] if capture.number == newest.number]
        return min(near, key=lambda capture: capture.wall - capture.code_ms / 1000, default=None)

    def steps(self) -> list[float]:
        """Seconds between one capture and the next of the same host."""
        return [b.wall - a.wall for a, b in pairwise(self._all) if a.number == b.number]

    def of(self, number: int, code_ms: int) -> Capture | None:
        return self._by_code.get((number, code_ms))


class SyncHost:
    """One host, loaded and waiting for its turn. `captures` may be read while it runs and after it was killed."""

    def __init__(self, options: DemoOptions, folder: Path) -> None:
        self.number = options.number
        self._file = folder / f"captures-{options.number}"
        self._file.touch()
        self._child = Child(f"host {options.number}", _publish, options, self._file)
        self._is_killed = False

    @property
    def pid(self) -> int:
        return self._child.pid

    def go(self) -> None:
        """Publish from now on. ChildError when it cannot begin."""
        self._child.hear(READY_S)
        self._child.tell("go")

    def captures(self) -> list[Capture]:
        return read_captures(self._file.read_bytes(), self.number)

    def kill(self) -> None:
        """SIGKILL: no goodbye to the server."""
        if not self._is_killed:
            self._is_killed = True
            with suppress(ProcessLookupError):  # it ended by itself
                os.kill(self._child.pid, signal.SIGKILL)
            self._child.__exit__(None, None, None)


def read_captures(records: bytes, number: int) -> list[Capture]:
    """Of host `number`. A record that a kill cut short is left out."""
    whole = len(records) - len(records) % _RECORD.size
    return [Capture(number, code, wall) for code, wall in _RECORD.iter_unpack(records[:whole])]


def _publish(options: DemoOptions, file: Path, control: Connection) -> None:
    """A host's process: ready, told to go, and then publishing until it is killed or its parent is gone."""
    av.logging.set_level(av.logging.FATAL)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)

    def note(pts_ms: int, wall: float) -> None:
        # One write a frame: whatever kills this process, what it has captured is known.
        os.write(descriptor, _RECORD.pack(pts_ms, wall))

    publisher = _WhipHost(options, note) if is_whip_url(options.url) else DemoHost(options, note)
    control.send("ready")
    control.recv()
    threading.Thread(target=publisher.run, daemon=True).start()
    control.recv()


class _WhipHost:
    def __init__(self, options: DemoOptions, on_capture: OnCapture) -> None:
        self._options = options
        self._on_capture = on_capture

    def run(self) -> None:
        """For ever; a server that cannot be reached yet is tried again, as by RTMP."""
        while True:
            publisher = WhipPublisher(self._options.url, LiveMedia(self._options, self._on_capture))
            try:
                publisher.connect()
                publisher.run(_never)
            except OSError:
                time.sleep(RETRY_S)
            finally:
                publisher.close()


def _never(seconds: float) -> bool:
    """Nobody stops it: wait."""
    time.sleep(seconds)
    return False

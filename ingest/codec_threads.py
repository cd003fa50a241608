"""Threads that a codec starts for itself: whose they are, and what they use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["CodecThreads"]

_TASKS = Path("/proc/self/task")
_opening = threading.Lock()


class CodecThreads:
    """The CPU of a Python thread and of the threads that codecs started on its behalf (x265 encodes in its own)."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._ended_ns = 0

    def adopt(self) -> None:
        """The calling thread's time counts from now on."""
        self._ids.add(threading.get_native_id())

    @contextmanager
    def opening(self) -> Iterator[None]:
        """A codec is opened inside: threads that are new at the end are its own. One codec at a time."""
        with _opening:
            before = _tasks()
            yield
            python = {thread.native_id for thread in threading.enumerate()}
            self._ids |= _tasks() - before - python

    @contextmanager
    def closing(self) -> Iterator[None]:
        """A codec is closed inside: what its threads have used is kept."""
        times = {tid: _used_ns(tid) for tid in self._ids}
        yield
        gone = self._ids - _tasks()
        self._ended_ns += sum(times[tid] for tid in gone)
        self._ids -= gone

    @property
    def cpu_seconds(self) -> float:
        return (self._ended_ns + sum(_used_ns(tid) for tid in tuple(self._ids))) / 1e9

    def settle(self) -> None:
        """The calling thread is about to end."""
        own = threading.get_native_id()
        self._ended_ns += _used_ns(own)
        self._ids.discard(own)


def _tasks() -> set[int]:
    return {int(name) for name in os.listdir(_TASKS)}


def _used_ns(tid: int) -> int:
    with suppress(OSError, ValueError):  # it may end at any moment
        # proc(5): time on the CPU in nanoseconds comes first
        return int((_TASKS / str(tid) / "schedstat").read_text().split()[0])
    return 0

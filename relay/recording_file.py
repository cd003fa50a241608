"""The writing side of recordings: one thread that takes whole FLV tags from queues and appends them to files.

A file is only ever appended to, in whole tags behind a complete prelude, and nothing is written back into it later. So
it plays while it grows, and after a crash at any moment it is a file that ends early. What was handed over is with the
kernel within `interval` seconds, where the death of this process cannot harm it. fsync happens once, when a file is
closed: a power failure may cost what the kernel had not written yet (some 30 s), a slow disk is never made slower.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["RecorderCounters", "RecordingFile", "RecordingWriter", "WriterLimits", "create"]

logger = logging.getLogger(__name__)

MAX_BUFFERS = 512
"""Tags in one write: Linux takes up to 1024 (IOV_MAX)."""
MAX_WRITE = 1024 * 1024
"""Bytes after which a write is long enough."""
FILE_MODE, FOLDER_MODE = 0o640, 0o750
"""Recordings are for the server's own group, not for everybody."""


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """`interval` is seconds between writes. `reserve_bytes` are left free on the disk, which others need as well: the
    event store shares it by default. `max_parts` bounds the files that a publisher who changes its tracks can make."""

    interval: float = 0.25
    reserve_bytes: int = 1024**3
    max_parts: int = 100


@dataclass(slots=True)
class RecorderCounters:
    """Plain counts over all recordings. `drops` counts units and events by reason, `skips` the holes they left."""

    bytes: int = 0
    files: int = 0
    failures: int = 0
    skips: int = 0
    drops: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _NewPart:
    """From here on in a new file, which begins with `prelude`."""

    prelude: bytes


@dataclass(frozen=True, slots=True)
class _Mark:
    """Tell `done` once everything before it has been written; `closes` the file as well."""

    done: Future[None]
    closes: bool


def create(path: Path) -> int:
    """A new file's descriptor. FileExistsError, and never through a link: nothing is overwritten."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


class RecordingFile:
    """The queue and the files of one recording: `FOLDER/NAME.flv`, `NAME.2.flv` and so on.

    `put`, `begin_part` and `mark` belong to the event loop and return at once, `drain` to the writing thread. An
    OSError ends the recording: `failure` then says why, and whatever is still queued is let go.
    """

    def __init__(
        self, folder: Path, name: str, counters: RecorderCounters, limits: WriterLimits, open_new: Callable[[Path], int]
    ) -> None:
        self.failure: str | None = None
        self.paths: list[Path] = []
        self.bytes_written = 0
        self._folder = folder
        self._name = name
        self._counters = counters
        self._limits = limits
        self._open_new = open_new
        self._queue: deque[bytes | _NewPart | _Mark] = deque()
        self._bytes_in = self._bytes_out = 0
        self._number = 0
        self._fd: int | None = None
        self._bytes_in_part = 0
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<RecordingFile {self._name} parts={len(self.paths)} queued={self.queued} failure={self.failure}>"

    @property
    def queued(self) -> int:
        """Bytes that were handed over and are not written yet."""
        return self._bytes_in - self._bytes_out

    def put(self, tag: bytes) -> None:
        self._bytes_in += len(tag)
        self._queue.append(tag)

    def begin_part(self, prelude: bytes) -> None:
        self._bytes_in += len(prelude)
        self._queue.append(_NewPart(prelude))

    def mark(self, *, closes: bool) -> Future[None]:
        """The future is done when everything before the mark is written. Nobody can cancel it."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()
        self._queue.append(_Mark(done, closes))
        return done

    def drain(self) -> bool:
        """Write what is queued. True when the file is closed for good."""
        while self._queue:
            try:
                self._step()
            except OSError as exc:
                self._fail(exc)
        return self._is_closed

    def _step(self) -> None:
        item = self._queue[0]
        if isinstance(item, bytes):
            self._write(self._take_tags())
            return
        self._queue.popleft()
        if isinstance(item, _NewPart):
            self._bytes_out += len(item.prelude)
            self._open(item.prelude)
        else:
            self._reach(item)

    def _reach(self, mark: _Mark) -> None:
        try:
            if mark.closes:
                self._is_closed = True
                self._close()
        finally:
            mark.done.set_result(None)

    def _take_tags(self) -> list[bytes]:
        tags: list[bytes] = []
        size = 0
        while self._queue and len(tags) < MAX_BUFFERS and size < MAX_WRITE and isinstance(self._queue[0], bytes):
            tag = self._queue.popleft()
            assert isinstance(tag, bytes)  # this thread alone takes from the left
            tags.append(tag)
            size += len(tag)
        self._bytes_out += size
        return tags

    def _open(self, prelude: bytes) -> None:
        if self.failure is not None:
            return
        self._close()
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        while self._fd is None:
            self._number += 1
            if self._number > self._limits.max_parts:
                raise OSError(errno.EMFILE, f"{self._limits.max_parts} parts of one broadcast are the limit")
            suffix = f".{self._number}" if self._number > 1 else ""
            path = self._folder / f"{self._name}{suffix}.flv"
            with suppress(FileExistsError):  # an earlier recording of this broadcast: it stays, the next number is free
                self._fd = self._open_new(path)
        self.paths.append(path)
        self._counters.files += 1
        self._write([prelude])

    def _write(self, tags: Sequence[bytes]) -> None:
        if self._fd is None:
            return
        self._check_space(self._fd)
        total = sum(map(len, tags))
        written = 0
        try:
            written = os.writev(self._fd, tags)
            while written < total:
                written += os.write(self._fd, b"".join(tags)[written:])
        except OSError:
            _cut_to_whole_tags(self._fd, self._bytes_in_part, tags, written)
            raise
        self.bytes_written += total
        self._bytes_in_part += total
        self._counters.bytes += total

    def _check_space(self, fd: int) -> None:
        disk = os.fstatvfs(fd)
        free = disk.f_bavail * disk.f_frsize
        if free < self._limits.reserve_bytes:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, less than the reserve of {self._limits.reserve_bytes}")

    def _close(self) -> None:
        fd, self._fd, self._bytes_in_part = self._fd, None, 0
        if fd is not None:
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _fail(self, exc: OSError) -> None:
        self.failure = exc.strerror or str(exc)
        self._counters.failures += 1
        logger.warning(
            "recording of broadcast %s stopped after %d bytes, the stream goes on: %s",
            *(self._name, self.bytes_written, exc),
            extra={"room": self._folder.name},
        )
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class RecordingWriter:
    """The thread. It lives as long as there are files, and looks at each of them every `interval` seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._files: list[RecordingFile] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, file: RecordingFile) -> None:
        with self._lock:
            self._files.append(file)
            if self._thread is None:
                # A disk that hangs for ever must not keep the process from ending: hence a daemon.
                self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Write now instead of at the next interval."""
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval)
            self._wake.clear()
            with self._lock:
                files = list(self._files)
            closed = [file for file in files if file.drain()]
            with self._lock:
                self._files = [file for file in self._files if file not in closed]
                if not self._files:
                    self._thread = None
                    return


def _cut_to_whole_tags(fd: int, start: int, tags: Sequence[bytes], written: int) -> None:
    """A full disk takes part of a write: leave no half tag behind."""
    whole = 0
    for tag in tags:
        if whole + len(tag) > written:
            break
        whole += len(tag)
    with suppress(OSError):  # the first error is the one to tell; players skip half a tag at the end
        os.ftruncate(fd, start + whole)

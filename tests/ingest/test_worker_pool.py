"""One process waits while others work, and takes over from any of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest import worker_pool
from ingest.transcode_limits import TranscodeCounters
from ingest.worker_pool import WorkerPool
from ingest.worker_process import WORKER_COMMAND, WorkerExit
from tests.support.transcode import PLAIN_COMMAND


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "SPARE_AFTER", 0.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def close(pool: WorkerPool) -> None:
    pool.close()
    async with asyncio.timeout(5):
        await pool.wait_closed()
    assert pool.spare_pid is None


async def test_the_spare_one_is_taken_and_another_one_follows() -> None:
    pool = WorkerPool(WORKER_COMMAND, TranscodeCounters())
    ended: list[WorkerExit] = []
    first = pool.take(lambda message: None, ended.append)
    assert pool.spare_pid is None
    pool.keep_spare(True)
    await until(lambda: pool.spare_pid)
    spare = pool.spare_pid
    first.kill()
    second = pool.take(lambda message: None, ended.append)
    assert second.pid == spare
    await until(lambda: len(ended) == 1)
    await until(lambda: pool.spare_pid)
    assert pool.spare_pid != spare
    assert pool.working == 1
    second.kill()
    await close(pool)
    assert len(ended) == 2


async def test_a_spare_one_that_was_stopped_or_has_died_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "SPARE_AGAIN", 0.0)
    pool = WorkerPool(PLAIN_COMMAND, TranscodeCounters())
    pool.keep_spare(True)
    await until(lambda: pool.spare_pid)
    dead = pool.spare_pid
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    await until(lambda: pool.spare_pid not in (None, dead))
    stopped = pool.spare_pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    await until(lambda: Path(f"/proc/{stopped}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    process = pool.take(lambda message: None, lambda how: None)
    assert process.pid not in (dead, stopped)
    process.kill()
    await close(pool)


async def test_nothing_waits_where_nothing_works() -> None:
    pool = WorkerPool(WORKER_COMMAND, TranscodeCounters())
    pool.keep_spare(True)
    await until(lambda: pool.spare_pid)
    pool.keep_spare(False)
    assert pool.spare_pid is None
    await close(pool)


async def test_a_command_that_does_not_exist_leaves_no_spare() -> None:
    pool = WorkerPool(("/nonexistent",), TranscodeCounters())
    pool.keep_spare(True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert pool.spare_pid is None
    with pytest.raises(OSError, match="nonexistent"):
        pool.take(lambda message: None, lambda how: None)
    await close(pool)

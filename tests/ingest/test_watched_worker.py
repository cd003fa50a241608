"""Which silence is a hang: asleep, busy with nothing, or only waiting for a processor."""

from __future__ import annotations

import asyncio
import sys

import pytest

from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import Message, Ready
from ingest.watched_worker import WatchedWorker
from ingest.worker_pool import WorkerPool
from ingest.worker_process import WorkerExit

SAY_READY = (
    "import socket, sys, time\ns = socket.socket(fileno=int(sys.argv[1]))\ns.sendall(b'\\0\\0\\0\\x02\\x91\\x04')\n"
)
PROGRAMS = {"asleep": SAY_READY + "time.sleep(60)", "busy": SAY_READY + "while True: pass"}


class Customer:
    """It waits for one answer."""

    patience = 5
    owed = 1
    answers = 0

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_lost = asyncio.Event()

    @property
    def debtors(self) -> tuple[Customer]:
        return (self,)

    def heard(self, message: Message) -> None:
        self.messages.append(message)

    def lost(self, how: WorkerExit, *, seconds: float, was_ready: bool) -> None:
        self.is_lost.set()


@pytest.mark.parametrize("program", PROGRAMS)
async def test_one_that_does_not_answer_is_killed(program: str) -> None:
    counters, customer = TranscodeCounters(), Customer()
    pool = WorkerPool((sys.executable, "-c", PROGRAMS[program]), counters)
    WatchedWorker(customer, pool, counters, failures=0)
    async with asyncio.timeout(10):
        await customer.is_lost.wait()
        await pool.wait_closed()
    assert customer.messages == [Ready()]
    assert counters.hangs == 1

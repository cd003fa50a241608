from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ingest.rtmp_server import RtmpIngest
from ingest.rtmp_session import SessionLimits
from media.clock import SystemClock
from media.hub import Hub


def make_ingest(*, max_connections: int = 1000, max_per_address: int = 100) -> RtmpIngest:
    hub = Hub(SystemClock(), new_epoch=lambda: "epoch")
    return RtmpIngest(
        hub,
        lambda room, secret, address: None,
        limits=SessionLimits(handshake=0.05),
        max_connections=max_connections,
        max_per_address=max_per_address,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(("total", "each"), [(2, 100), (1000, 2)])
async def test_connections_are_limited_in_all_and_for_each_address(total: int, each: int) -> None:
    ingest = make_ingest(max_connections=total, max_per_address=each)
    ((host, port),) = await ingest.listen("127.0.0.1", 0)
    first = await asyncio.open_connection(host, port)
    second = await asyncio.open_connection(host, port)
    await until(lambda: ingest.connections == 2)
    third = await asyncio.open_connection(host, port)
    assert await third[0].read() == b""
    assert (ingest.counters.connections, ingest.counters.refused) == (3, 1)
    first[1].close()
    await until(lambda: ingest.connections == 1)
    fourth = await asyncio.open_connection(host, port)
    await until(lambda: ingest.connections == 2)
    for _, writer in (second, third, fourth):
        writer.close()
    await until(lambda: not ingest.connections)
    ingest.close()


async def test_the_sweep_closes_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.rtmp_server.SWEEP_INTERVAL", 0.01)
    ingest = make_ingest()
    ((host, port),) = await ingest.listen("127.0.0.1", 0)
    sweeping = asyncio.create_task(ingest.run())
    reader, writer = await asyncio.open_connection(host, port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await until(lambda: not ingest.connections)
    sweeping.cancel()
    ingest.close()


async def test_closing_ends_every_connection_and_listens_no_more() -> None:
    ingest = make_ingest()
    ((host, port),) = await ingest.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    await until(lambda: ingest.connections == 1)
    ingest.close()
    ingest.close()
    assert await reader.read() == b""
    writer.close()
    await until(lambda: not ingest.connections)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)

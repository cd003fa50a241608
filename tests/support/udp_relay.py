"""A bad path between real sockets: datagrams are lost, doubled and delayed by a seed. A socket upstream per client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from tests.support.link import Conditions

RTP = range(128, 192)


class UdpRelay:
    """Listens on `port` and sends on to `upstream`. Only media suffers, in the direction of the client, so that a
    test's loss is the loss it asked for; `lost` counts it.
    """

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self.upstream = 0
        self.port = 0
        self.lost = self.passed = 0
        self._conditions = conditions
        self._random = random.Random(seed)
        self._clients: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._waiting: dict[tuple[str, int], list[bytes]] = {}

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener, _ = await self._loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self.port = self._listener.get_extra_info("sockname")[1]

    def close(self) -> None:
        for transport in (self._listener, *self._clients.values()):
            transport.close()

    def _from_client(self, datagram: bytes, client: tuple[str, int]) -> None:
        transport = self._clients.get(client)
        if transport is not None:
            transport.sendto(datagram)
            return
        self._waiting.setdefault(client, []).append(datagram)
        if len(self._waiting[client]) == 1:
            self._opening = self._loop.create_task(self._open(client))

    async def _open(self, client: tuple[str, int]) -> None:
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Side(lambda datagram, _: self._from_server(datagram, client)),
            remote_addr=("127.0.0.1", self.upstream),
        )
        self._clients[client] = transport
        for datagram in self._waiting.pop(client):
            transport.sendto(datagram)

    def _from_server(self, datagram: bytes, client: tuple[str, int]) -> None:
        conditions, chance = self._conditions, self._random.random
        media = datagram[0] in RTP and not 192 <= datagram[1] <= 223
        if media and chance() < conditions.loss:
            self.lost += 1
            return
        self.passed += media
        delay = conditions.delay + chance() * conditions.jitter
        for _ in range(2 if media and chance() < conditions.duplication else 1):
            self._loop.call_later(delay, self._listener.sendto, datagram, client)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Any], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._take(data, addr)

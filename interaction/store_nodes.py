"""Which server has a key: always the same one, or on a cluster the node that owns the key's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, RedisError

__all__ = ["ClusterNodes", "OneNode", "StoreNodes"]

Address = tuple[str, int]


class StoreNodes(Protocol):
    """Clients by key. `doubt()` says that an answer showed the map of keys to be old, or a node to be gone."""

    clustered: bool

    async def node(self, key: str) -> Redis: ...

    def doubt(self) -> None: ...

    async def aclose(self) -> None: ...


class OneNode:
    """A single server, or the master that Sentinels name: redis-py asks them for each new connection."""

    clustered = False

    def __init__(self, client: Redis, sentinels: Sequence[Redis] = ()) -> None:
        self._client = client
        self._sentinels = sentinels

    async def node(self, key: str) -> Redis:
        return self._client

    def doubt(self) -> None:
        """There is nothing to doubt: a connection that fails is made anew."""

    async def aclose(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
        for sentinel in self._sentinels:
            await sentinel.aclose()


class ClusterNodes:
    """The masters of a cluster.

    A client of our own rather than redis-py's RedisCluster: that one closes the connections to all nodes when one of
    them fails, and cannot send many calls to a node at once. A slot that is being moved answers ASK; the call is then
    repeated until the move is done.
    """

    clustered = True

    def __init__(self, seeds: Sequence[Address], make: Callable[[Address], Redis]) -> None:
        self._seeds = list(seeds)
        self._make = make
        self._clients: dict[Address, Redis] = {}
        self._owners: list[tuple[int, int, Address]] = []
        self._doubted = True
        self._lock = asyncio.Lock()

    async def node(self, key: str) -> Redis:
        """The client of the master that has `key`. Raises ClusterDownError where none is known."""
        if self._doubted:
            async with self._lock:
                if self._doubted:
                    await self._learn()
        slot = key_slot(key.encode())
        for first, last, address in self._owners:
            if first <= slot <= last:
                return self._client(address)
        self._doubted = True
        raise ClusterDownError(f"no node has slot {slot}")

    def doubt(self) -> None:
        self._doubted = True

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _learn(self) -> None:
        """Ask the nodes that were masters, then the seeds, for the map; the first that answers is believed."""
        known = dict.fromkeys([*(address for _, _, address in self._owners), *self._seeds])
        failure: Exception | None = None
        for address in known:
            try:
                slots = await self._client(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
            except (RedisError, OSError) as exc:
                failure = exc
                continue
            self._owners = [_owner(row, asked=address) for row in slots]
            self._doubted = False
            return
        raise ClusterDownError(f"none of {len(known)} nodes of the cluster answers") from failure

    def _client(self, address: Address) -> Redis:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._make(address)
        return client


def _owner(row: Any, *, asked: Address) -> tuple[int, int, Address]:
    """One row of CLUSTER SLOTS: first slot, last slot, the master, its replicas. No host: the one that was asked."""
    first, last, master = row[0], row[1], row[2]
    host = master[0].decode() if isinstance(master[0], bytes) else master[0]
    return first, last, (host or asked[0], master[1])

"""Which store a URL names, and a client for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from interaction.store_nodes import ClusterNodes, OneNode, StoreNodes

__all__ = ["StoreUrlError", "connect"]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
MAX_CONNECTIONS = 64
"""A node uses a handful; a cluster's readers one per room."""
CLUSTER_CONNECTIONS = 2_000


class StoreUrlError(ValueError):
    """The URL names no store that can be used."""


def connect(url: str, *, timeout_s: float) -> StoreNodes:
    """Clients for `url`; nothing is sent yet. Raises StoreUrlError."""
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss", "unix"):
        return OneNode(Redis.from_url(url, max_connections=MAX_CONNECTIONS, **_options(timeout_s)))
    if scheme in ("redis+sentinel", "rediss+sentinel"):
        return _sentinel(url, timeout_s)
    if scheme in ("redis+cluster", "rediss+cluster"):
        return _cluster(url, timeout_s)
    raise StoreUrlError(
        f"redis.url has the scheme {scheme!r}, which is none of redis, unix, redis+sentinel, redis+cluster"
    )


def _options(timeout_s: float) -> dict[str, Any]:
    # Our own store repeats calls, because it alone knows until when: so redis-py does not.
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }


def _sentinel(url: str, timeout_s: float) -> OneNode:
    parts = urlsplit(url)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise StoreUrlError("redis.url for Sentinel needs the service's name: redis+sentinel://HOST:PORT/SERVICE")
    options = _options(timeout_s) | _credentials(url) | {"db": int(db or 0), "ssl": parts.scheme.startswith("rediss")}
    asked = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "protocol": 2}
    sentinel = Sentinel(_addresses(url, SENTINEL_PORT), sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(service, **options)
    return OneNode(client, sentinel.sentinels)


def _cluster(url: str, timeout_s: float) -> ClusterNodes:
    options = _options(timeout_s) | _credentials(url) | {"ssl": urlsplit(url).scheme.startswith("rediss")}

    def make(address: tuple[str, int]) -> Redis:
        host, port = address
        return Redis(host=host, port=port, max_connections=CLUSTER_CONNECTIONS, **options)

    return ClusterNodes(_addresses(url, DEFAULT_PORT), make)


def _addresses(url: str, port: int) -> list[tuple[str, int]]:
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    addresses = []
    for host in filter(None, hosts):
        name, _, given = host.rpartition(":") if ":" in host else (host, "", "")
        if given and not given.isdigit():
            raise StoreUrlError(f"redis.url has the port {given!r}")
        addresses.append((name.strip("[]"), int(given or port)))
    if not addresses:
        raise StoreUrlError("redis.url names no host")
    return addresses


def _credentials(url: str) -> dict[str, Any]:
    user, found, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    return {"username": unquote(user) or None, "password": unquote(password)} if found else {}

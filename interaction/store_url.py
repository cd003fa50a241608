"""Which store a URL names, and a client for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

__all__ = ["StoreUrlError", "connect"]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
MAX_CONNECTIONS = 64
"""A node uses a handful; a cluster's readers one per room."""
CLUSTER_CONNECTIONS = 2_000


class StoreUrlError(ValueError):
    """The URL names no store that can be used."""


def connect(url: str, *, timeout_s: float) -> Redis | RedisCluster:
    """A client for `url`; nothing is sent yet. Raises StoreUrlError."""
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss", "unix"):
        return Redis.from_url(url, max_connections=MAX_CONNECTIONS, **_options(timeout_s))
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


def _sentinel(url: str, timeout_s: float) -> Redis:
    parts = urlsplit(url)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise StoreUrlError("redis.url for Sentinel needs the service's name: redis+sentinel://HOST:PORT/SERVICE")
    options = _options(timeout_s) | _credentials(url) | {"db": int(db or 0), "ssl": parts.scheme.startswith("rediss")}
    asked = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "protocol": 2}
    sentinel = Sentinel(_addresses(url, SENTINEL_PORT), sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(service, **options)
    return client


def _cluster(url: str, timeout_s: float) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in _addresses(url, DEFAULT_PORT)]
    options = _options(timeout_s) | _credentials(url) | {"ssl": urlsplit(url).scheme.startswith("rediss")}
    # Losing one of the masters must not close the slots of the others.
    return RedisCluster(
        startup_nodes=nodes, require_full_coverage=False, max_connections=CLUSTER_CONNECTIONS, **options
    )


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

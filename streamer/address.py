"""HOST:PORT, the way people write it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NewType

__all__ = ["Address", "AddressList", "peer_group"]

ANY_HOST = "0.0.0.0"
"""What `:8080` listens on."""
IPV6_PREFIX = 64
"""One IPv6 customer has at least a /64, so counting single addresses would count nothing."""

AddressList = NewType("AddressList", tuple[str, ...])
"""Addresses and names as people write them, each with `:PORT` or without."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 lets the system pick a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `:PORT` or `[IPV6]:PORT`. Raises ValueError with a sentence."""
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            raise ValueError("needs HOST:PORT, for example 0.0.0.0:8080")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
            raise ValueError(f"port {port!r} is not a number from 0 to 65535")
        return cls(_host(host), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def peer_group(address: str) -> str:
    """What limits count as one peer: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a unix socket's peer has no address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_PREFIX), strict=False))


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1]
    if ":" in text:
        raise ValueError(f"an IPv6 host needs brackets: [{text}]:PORT")
    return text or ANY_HOST

"""The addresses that peers are told to send to. Names are resolved here: browsers refuse names as candidates."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from struct import pack

from wire.ice import host_candidate
from wire.stun import Address as PeerAddress

__all__ = ["Candidates", "local_addresses"]

_log = logging.getLogger(__name__)

REFRESH_INTERVAL_S = 60.0
"""How often names are resolved again: the address of a home line may change at night."""
_SIOCGIFADDR = 0x8915
_INTERFACE_REQUEST_SIZE = 256
_IPV6_TABLE = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE = "00"


@dataclass(frozen=True, slots=True)
class _Public:
    """One entry of `webrtc.public_addresses`: a numeric address or a name, and the port where it is another one."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> _Public:
        host, port = text.strip(), None
        if host.count(":") == 1 or host.startswith("["):
            host, _, digits = host.rpartition(":") if not host.endswith("]") else (host, "", "")
            port = int(digits) if digits else None
        return cls(host.strip("[]"), port)

    @property
    def is_numeric(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


class Candidates:
    """`public` are entries like `192.0.2.1`, `live.example.com` or `192.0.2.1:30189`; without any, local addresses are
    given, first the one that the peer has already reached by HTTP."""

    def __init__(self, public: Iterable[str], bound_host: str, port: int) -> None:
        self._public = [_Public.parse(entry) for entry in public]
        self._bound_host = bound_host
        self._port = port
        self._resolved: dict[str, tuple[str, ...]] = {}

    async def resolve(self) -> None:
        """Look the names up; one that cannot be found keeps what it had."""
        loop = asyncio.get_running_loop()
        for entry in self._public:
            if entry.is_numeric:
                continue
            try:
                found = await loop.getaddrinfo(entry.host, None, type=socket.SOCK_DGRAM)
            except OSError as exc:
                _log.warning("webrtc.public_addresses: %s cannot be resolved: %s", entry.host, exc)
                continue
            self._resolved[entry.host] = tuple(dict.fromkeys(str(item[4][0]).partition("%")[0] for item in found))

    async def run(self) -> None:
        """Resolve names again from time to time."""
        while any(not entry.is_numeric for entry in self._public):
            await asyncio.sleep(REFRESH_INTERVAL_S)
            await self.resolve()

    def lines(self, contacted: str | None, *, tcp: bool) -> tuple[str, ...]:
        """Values of `a=candidate`, the best first: all by UDP, then all by TCP."""
        addresses = list(self._addresses(contacted))
        made = [host_candidate(address, rank=rank) for rank, address in enumerate(addresses)]
        if tcp:
            made += [host_candidate(address, tcp=True, rank=rank) for rank, address in enumerate(addresses)]
        return tuple(made)

    def _addresses(self, contacted: str | None) -> Iterable[PeerAddress]:
        if self._public:
            for entry in self._public:
                hosts = (entry.host,) if entry.is_numeric else self._resolved.get(entry.host, ())
                yield from (PeerAddress(host, entry.port or self._port) for host in hosts)
            return
        hosts = (self._bound_host,) if self._bound_host not in ("0.0.0.0", "::") else local_addresses()
        first = () if contacted is None or self._bound_host not in ("0.0.0.0", "::") else (_plain(contacted),)
        for host in dict.fromkeys((*first, *hosts)):
            if self._bound_host == "0.0.0.0" and ":" in host:
                continue
            yield PeerAddress(host, self._port)


def local_addresses() -> tuple[str, ...]:
    """Numeric addresses of this machine's interfaces, IPv4 first; loopback and link-local ones only when alone."""
    found = [*_ipv4_addresses(), *_ipv6_addresses()]
    public = tuple(host for host in found if not ipaddress.ip_address(host).is_loopback)
    return public or tuple(found)


def _ipv4_addresses() -> Iterable[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = pack(f"{_INTERFACE_REQUEST_SIZE}s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without IPv4
            yield socket.inet_ntoa(answer[20:24])


def _ipv6_addresses() -> Iterable[str]:
    try:
        table = _IPV6_TABLE.read_text()
    except OSError:
        return  # a machine without IPv6
    for line in table.splitlines():
        words = line.split()
        if len(words) >= 4 and words[3] == _GLOBAL_SCOPE:
            yield str(ipaddress.IPv6Address(bytes.fromhex(words[0])))


def _plain(host: str) -> str:
    return host.partition("%")[0].removeprefix("::ffff:")

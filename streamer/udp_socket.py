"""The UDP socket of WebRTC: dual-stack, with large buffers, and knowing at which of our addresses it was contacted."""

from __future__ import annotations

import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct

from relay.endpoint import ControlMessage, UdpRoute
from relay.report_inbox import ReportInbox
from wire.stun import Address as PeerAddress

__all__ = ["MAX_WAITED", "Received", "UdpSocket", "bind_tcp"]

BUFFER_SIZE = 8 * 1024 * 1024
"""Bytes asked for in both directions. A keyframe to 200 viewers is 7 MB; the kernel gives what net.core allows."""
MAX_DATAGRAM = 2048
"""Larger than anybody's MTU for RTP and DTLS; the rest of a larger datagram is cut off and then fails its check."""
_MAPPED = "::ffff:"
_IPV4_INFO = Struct("=I4s4s")  # in_pktinfo: interface, local address, destination
_IPV6_INFO = Struct("=16sI")  # in6_pktinfo: address, interface
_FAMILY = Struct("=H")
_TIMESPEC = Struct("@ll")  # as SCM_TIMESTAMPNS: seconds and nanoseconds of Unix time
_CONTROL_SIZE = 128
_IP_PKTINFO = 8
"""linux/in.h; Python 3.11 has no name for it."""
_SO_TIMESTAMPNS = 35
"""asm-generic/socket.h. The control message of the same name has the same number."""
MAX_WAITED = 1.0
"""Seconds. What seems to have waited longer came before the wall clock was set."""
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT = 10, 23, 5
"""linux/in.h and in6.h."""
_WILDCARDS = ("0.0.0.0", "::", "")

Received = tuple[bytes, PeerAddress, tuple[ControlMessage, ...], float]
"""A datagram, who sent it, what to send with an answer so that it comes from the address that was contacted, and for
how many seconds it had waited in the socket, 0 where the kernel does not say."""


class UdpSocket:
    """Bound and non-blocking. Raises OSError when it cannot be. With an `inbox`, that one reads it."""

    def __init__(self, host: str, port: int, inbox: ReportInbox | None = None) -> None:
        self._inbox = inbox
        self.socket, self.host = _bind(host, port)
        self.port: int = self.socket.getsockname()[1]
        self._is_ipv6 = self.socket.family == socket.AF_INET6

    def __repr__(self) -> str:
        return f"<UdpSocket {self.host} {self.port}>"

    def receive(self, most: int) -> Iterator[Received]:
        """What is there now, `most` datagrams or fewer."""
        if self._inbox is not None:
            for datagram, raw, control in self._inbox.receive(self.socket.fileno()):
                yield datagram, _address(raw), _reply_control(control), _waited(control)
            return
        for _ in range(most):
            try:
                datagram, control, _, sender = self.socket.recvmsg(MAX_DATAGRAM, _CONTROL_SIZE)
            except OSError:  # nothing there, or an ICMP error of somebody's earlier datagram
                return
            yield datagram, PeerAddress(_plain(sender[0]), sender[1]), _reply_control(control), _waited(control)

    def route(self, address: PeerAddress, control: tuple[ControlMessage, ...]) -> UdpRoute:
        """How to reach an address."""
        host = address.host
        if not self._is_ipv6:
            return UdpRoute(self.socket, (host, address.port), control)
        return UdpRoute(self.socket, (host if ":" in host else _MAPPED + host, address.port), control)

    def close(self) -> None:
        self.socket.close()


def bind_tcp(beside: UdpSocket) -> socket.socket:
    """A TCP socket on the same address and port number. Raises OSError."""
    family = beside.socket.family
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if beside.host == "::" else 1)
        made.bind((beside.host, beside.port))
    except OSError:
        made.close()
        raise
    return made


def _bind(host: str, port: int) -> tuple[socket.socket, str]:
    if host != "::" and ":" not in host:
        return _bind_one(socket.AF_INET, host, port), host
    try:
        return _bind_one(socket.AF_INET6, host, port), host
    except OSError as exc:
        if host != "::" or exc.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        return _bind_one(socket.AF_INET, "0.0.0.0", port), "0.0.0.0"  # a machine without IPv6


def _bind_one(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_SIZE)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        if host in _WILDCARDS:
            _tell_contacted_address(made)
        if sys.platform == "linux":
            _ignore_path_mtu(made)
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _tell_contacted_address(made: socket.socket) -> None:
    """With each datagram: elsewhere there is but one."""
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _ignore_path_mtu(made: socket.socket) -> None:
    """Packets fit every usual path. One that claims less, perhaps by a forged ICMP message, gets fragments: the kernel
    would refuse to cut a send into segments larger than that."""
    with suppress(OSError):
        made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)  # of a dual-stack socket as well
    if made.family == socket.AF_INET6:
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)


def _reply_control(received: list[ControlMessage]) -> tuple[ControlMessage, ...]:
    for level, kind, value in received:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(value) >= _IPV4_INFO.size:
            _, local, _ = _IPV4_INFO.unpack_from(value)
            return ((level, kind, _IPV4_INFO.pack(0, local, bytes(4))),)
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(value) >= _IPV6_INFO.size:
            local, interface = _IPV6_INFO.unpack_from(value)
            is_link_local = local[0] == 0xFE and local[1] & 0xC0 == 0x80
            return ((level, kind, _IPV6_INFO.pack(local, interface if is_link_local else 0)),)
    return ()


def _waited(received: list[ControlMessage]) -> float:
    """By the kernel's time stamp. Both clocks are the wall clock: one that was set in between says nothing."""
    for level, kind, value in received:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            waited = (time.time_ns() - seconds * 1_000_000_000 - nanoseconds) / 1e9
            return waited if 0 <= waited <= MAX_WAITED else 0.0
    return 0.0


def _address(raw: bytes) -> PeerAddress:
    """Of a `struct sockaddr_in` or `sockaddr_in6`."""
    (family,) = _FAMILY.unpack_from(raw)
    port = int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET6:
        return PeerAddress(_plain(socket.inet_ntop(socket.AF_INET6, raw[8:24])), port)
    return PeerAddress(socket.inet_ntop(socket.AF_INET, raw[4:8]), port)


def _plain(host: str) -> str:
    """A numeric address without scope, IPv4 without its IPv6 coat."""
    host = host.partition("%")[0]
    return host[len(_MAPPED) :] if host.startswith(_MAPPED) and "." in host else host

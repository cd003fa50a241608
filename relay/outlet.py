"""Where a viewer's bytes leave the node: straight into its socket, or through its TLS transport."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

__all__ = ["MAX_BUFFERS", "Outlet", "SocketOutlet", "TcpPath", "TransportOutlet", "open_outlet"]

NOTSENT_LOWAT = 128 * 1024
"""Bytes the kernel may hold that it has not sent yet. Above it a write would only hide the backlog from us, and a
whole keyframe of a 2.5 Mb/s stream still fits in one call."""
MIN_NOTSENT_LOWAT = 16 * 1024
"""The least of it: below, the loop would wake up for every few packets."""
HELD_SECONDS = 0.15
"""How much of a slow rung the kernel may hold unsent: what it holds cannot be replaced by smaller pictures."""
USER_TIMEOUT_MS = 20_000
"""After this long without an acknowledgement the kernel gives the peer up (RFC 5482)."""
TLS_HIGH_WATER = 256 * 1024
"""Bytes a TLS transport may hold: its buffer is the only thing between us and the socket."""
TLS_POLL = 0.02
"""Seconds between looks at a full TLS transport, which cannot tell us when it has room."""
_TCP_INFO_SIZE = 168
"""Up to and with tcpi_delivery_rate."""
MAX_BUFFERS = 64
"""Buffers that `send_many` may be given: far below the kernel's 1,024, and more than one socket buffer holds."""


class TcpPath(NamedTuple):
    """A connection as the kernel sees it (`struct tcp_info` of linux/tcp.h).

    `unsent` bytes are held that were not sent yet, `acked` have arrived. `delivery_rate` is bytes a second lately; with
    `is_app_limited` the path could carry more than that. `rtt` is in seconds, `min_rtt` the least of the last minutes:
    what lies between them is waiting in the network.
    """

    unsent: int
    acked: int
    delivery_rate: int
    is_app_limited: bool
    rtt: float
    min_rtt: float


class Outlet(Protocol):
    """A non-blocking way out."""

    @property
    def path(self) -> TcpPath | None:
        """None where it is not known, or the connection is gone."""

    def set_rate(self, bits_per_second: int) -> None:
        """What will be sent: the kernel then holds a moment of it and no more."""

    @property
    def send(self) -> Callable[[bytes], int]:
        """Take what there is room for: 0 or BlockingIOError when there is none. OSError when the peer is gone."""

    def send_many(self, buffers: Sequence[memoryview]) -> int:
        """The same for several buffers at once, and always 0 when there is no room."""

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back, again and again, while there is room. Replaced by `stop_waiting`."""

    def stop_waiting(self) -> None: ...

    def close(self) -> None: ...


class SocketOutlet:
    """A second descriptor of the connection's socket: what it is given does not pass through the loop's buffers."""

    __slots__ = ("_held", "_loop", "_socket", "_waiting", "send")

    send: Callable[[bytes], int]

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = _duplicate(descriptor)
        self._loop = loop
        self._waiting = False
        self._held = NOTSENT_LOWAT
        self.send = self._socket.send

    @property
    def path(self) -> TcpPath | None:
        return _look(self._socket)

    def set_rate(self, bits_per_second: int) -> None:
        held = self._held = max(MIN_NOTSENT_LOWAT, min(int(bits_per_second / 8 * HELD_SECONDS), NOTSENT_LOWAT))
        with suppress(OSError):  # not TCP
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, held)

    def send_many(self, buffers: Sequence[memoryview]) -> int:
        if self._held < NOTSENT_LOWAT:
            # the kernel fills a whole 64 KB buffer before it looks at its limit again
            buffers = _first_bytes(buffers, self._held // 2)
        try:
            return self._socket.sendmsg(buffers)
        except BlockingIOError:
            return 0

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._waiting = True
        self._loop.add_writer(self._socket.fileno(), callback)

    def stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._socket.fileno())

    def close(self) -> None:
        self.stop_waiting()
        self._socket.close()


class TransportOutlet:
    """Through an asyncio transport: for TLS, where the bytes must pass through it."""

    def __init__(self, transport: asyncio.WriteTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    @property
    def path(self) -> TcpPath | None:
        sock = self._transport.get_extra_info("socket")
        found = None if sock is None or self._transport.is_closing() else _look(sock)
        return found and found._replace(unsent=found.unsent + self._transport.get_write_buffer_size())

    def set_rate(self, bits_per_second: int) -> None:
        """The transport's own buffer is larger than what the kernel holds."""

    def send(self, data: bytes) -> int:
        return self.send_many((memoryview(data),))

    def send_many(self, buffers: Sequence[memoryview]) -> int:
        if self._transport.is_closing():
            raise ConnectionResetError("the transport is closing")
        sent = 0
        for buffer in buffers:
            if self._transport.get_write_buffer_size() > TLS_HIGH_WATER:
                break
            self._transport.write(buffer)
            sent += len(buffer)
        return sent

    def when_writable(self, callback: Callable[[], None]) -> None:
        self.stop_waiting()

        def look() -> None:
            self._timer = self._loop.call_later(TLS_POLL, look)
            callback()

        self._timer = self._loop.call_later(TLS_POLL, look)

    def stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        self.stop_waiting()


def open_outlet(transport: asyncio.Transport) -> Outlet:
    """The straight way where there is one. OSError when the process has no descriptor left."""
    loop = asyncio.get_running_loop()
    sock = transport.get_extra_info("socket")
    if transport.get_extra_info("ssl_object") is not None or sock is None:
        return TransportOutlet(transport, loop)
    return SocketOutlet(sock.fileno(), loop)


def _first_bytes(buffers: Sequence[memoryview], size: int) -> list[memoryview]:
    taken: list[memoryview] = []
    for buffer in buffers:
        taken.append(buffer[:size])
        size -= len(buffer)
        if size <= 0:
            break
    return taken


class _HasOptions(Protocol):
    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


def _look(sock: _HasOptions) -> TcpPath | None:
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return None
    if len(raw) < _TCP_INFO_SIZE:
        return None  # a kernel before 4.9
    (rtt,) = struct.unpack_from("=I", raw, 68)
    (acked,) = struct.unpack_from("=Q", raw, 120)
    (unsent,) = struct.unpack_from("=I", raw, 144)
    (min_rtt,) = struct.unpack_from("=I", raw, 148)
    (rate,) = struct.unpack_from("=Q", raw, 160)
    return TcpPath(unsent, acked, rate, bool(raw[7] & 1), rtt / 1e6, min_rtt / 1e6)


def _duplicate(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=os.dup(descriptor))
    try:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    except OSError:
        sock.close()
        raise
    return sock

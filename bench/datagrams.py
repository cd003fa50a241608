"""Many datagrams in one call: recvmmsg(2), which Python's sockets lack, into one buffer that is used again."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from struct import Struct

__all__ = ["BATCH", "SWEEP_S", "SWEEP_STEP_S", "DatagramBatch", "dropped_by_kernel", "widen_buffer"]

SWEEP_S = (
    0.1  # between two reads of a socket that is only counted: 30 packets of 2.5 Mb/s, and it has room for thousands
)
SWEEP_STEP_S = 0.01  # a few at a time, so that the machine's other work is not held up
BATCH = 64  # datagrams in one call: two whole pictures of 2.5 Mb/s
RECEIVE_BUFFER = 4 << 20  # bytes asked of the kernel: a replayed GOP arrives faster than a busy loop reads
_SO_RCVBUFFORCE = 33  # beyond net.core.rmem_max, for root: asm-generic/socket.h
_SO_MEMINFO = 55
_MEMINFO = Struct("9I")
_DROPS = 8  # SK_MEMINFO_DROPS, linux/sock_diag.h
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_TRUNC  # udp(7): msg_len is the datagram's length even when it is cut


class _Buffer(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr of recvmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("buffers", ctypes.POINTER(_Buffer)),
        ("buffer_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr: the header, and the length that arrived."""

    _fields_ = (("header", _Header), ("size", ctypes.c_uint32))


_recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)


class DatagramBatch:
    """Room for `BATCH` datagrams of `room` bytes each; what is longer is cut, and its true length is still told.

    Datagram `k` begins at `k * room` of `buffer`, and its length on the wire is `sizes[k * stride + first]`.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.buffer = bytearray(BATCH * room)
        base = ctypes.addressof((ctypes.c_char * len(self.buffer)).from_buffer(self.buffer))
        self._parts = (_Buffer * BATCH)(*(_Buffer(base + k * room, room) for k in range(BATCH)))
        self._messages = (_Message * BATCH)()
        for message, part in zip(self._messages, self._parts, strict=True):
            message.header.buffers = ctypes.pointer(part)
            message.header.buffer_count = 1
        self._at = ctypes.addressof(self._messages)
        # attribute access through ctypes costs as much as the receive: the lengths are read as plain words
        self.sizes = memoryview(self._messages).cast("B").cast("I")
        self.stride = ctypes.sizeof(_Message) // 4
        self.first = _Message.size.offset // 4

    def receive(self, fd: int) -> int:
        """How many have come, 0 for none. OSError as recvmsg(2)."""
        count: int = _recvmmsg(fd, self._at, BATCH, _FLAGS, None)
        if count >= 0:
            return count
        error = ctypes.get_errno()
        if error in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(error, os.strerror(error))

    def size(self, number: int) -> int:
        """The length on the wire."""
        return self.sizes[number * self.stride + self.first]

    def lengths(self, count: int) -> list[int]:
        """Of the first `count` datagrams, on the wire."""
        return self.sizes[self.first : count * self.stride : self.stride].tolist()

    def datagram(self, number: int) -> bytes:
        """A copy, cut to the room there was."""
        at = number * self.room
        return bytes(self.buffer[at : at + min(self.room, self.size(number))])


def widen_buffer(sock: socket.socket) -> int:
    """Ask for a receive buffer of `RECEIVE_BUFFER` and return what the kernel gave, in its own doubled bytes."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def dropped_by_kernel(sock: socket.socket) -> int:
    """Datagrams that this socket had no room for: lost by the reader and not by the sender."""
    drops: int = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS]
    return drops

"""UDP segmentation (GSO): whether this machine has it, and what a refusal means."""

from __future__ import annotations

import errno
import logging
import os
import socket
from struct import pack

__all__ = ["REFUSALS", "SINGLE_SENDS", "UDP_SEGMENT", "Segmentation", "supports_segmentation"]

_log = logging.getLogger(__name__)

UDP_SEGMENT = 103
"""linux/udp.h; Python 3.11 has no name for it."""
REFUSALS = frozenset({errno.EIO, errno.EINVAL, errno.ENOTSUP, errno.ENOPROTOOPT, errno.EMSGSIZE})
"""What UDP_SEGMENT is answered by an old kernel, a device without checksum offload, or for one bad destination."""
SINGLE_SENDS = 1000
"""Sends to a viewer, packet by packet, before segmentation is tried again: half a minute of pictures. As in C."""
TRY_INTERVAL = 10.0
"""Seconds between two tries whether the machine still has it."""


class Segmentation:
    """Whether sends are segmented. `refused` counts the sends that were not let through."""

    def __init__(self, is_on: bool) -> None:
        self.is_on = is_on
        self.refused = 0
        self._tried_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Segmentation {self} refused={self.refused}>"

    def __str__(self) -> str:
        return "UDP segmentation" if self.is_on else "packet by packet"

    def note_refusal(self, error: int, now: float) -> None:
        """One send was refused, which may be its destination's fault alone: see whether it works elsewhere."""
        self.refused += 1
        if now - self._tried_at < TRY_INTERVAL:
            return
        self._tried_at = now
        reason = os.strerror(error)
        try:
            self.is_on = supports_segmentation()
        except OSError as exc:
            _log.warning("UDP segmentation was refused (%s), and cannot be tried: %s", reason, exc)
            return
        if self.is_on:
            _log.info("UDP segmentation was refused for a viewer (%s), %d times so far", reason, self.refused)
        else:
            _log.warning("UDP segmentation stopped working (%s): sending packet by packet", reason)


def supports_segmentation() -> bool:
    """Whether the kernel cuts one send into datagrams: two bytes to ourselves on loopback, as two datagrams.

    Raises OSError when there are no sockets left to try it with.
    """
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(0.1)
            sender.sendmsg([b"ab"], [(socket.IPPROTO_UDP, UDP_SEGMENT, pack("=H", 1))], 0, receiver.getsockname())
            return receiver.recv(16) == b"a" and receiver.recv(16) == b"b"
        except OSError:
            return False

"""One batch to many viewers: the interface, and the implementation in Python.

Every implementation passes one contract suite. A native one is used where it was built; `choose_fan_out` says which.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Sequence
from struct import pack, pack_into
from typing import Protocol

from relay.endpoint import UdpRoute
from relay.native_fanout import NativeFanOut, load_native
from relay.rtp_batch import MAX_HEADER_SIZE, MAX_RUN_BYTES, MAX_RUN_PACKETS, TAG_SIZE, RtpBatch
from relay.rtp_target import RtpTarget
from wire.srtp import GcmSender

__all__ = ["FanOut", "GcmFanOut", "PacketFanOut", "choose_fan_out", "native_fan_out", "supports_segmentation"]

_log = logging.getLogger(__name__)

UDP_SEGMENT = 103
"""linux/udp.h; Python 3.11 has no name for it."""
_SOL_UDP = socket.IPPROTO_UDP
_BUFFER_SIZE = MAX_RUN_BYTES + MAX_RUN_PACKETS * (MAX_HEADER_SIZE + TAG_SIZE)
_NO_SEGMENTATION = frozenset({errno.EIO, errno.EINVAL, errno.ENOTSUP, errno.ENOPROTOOPT, errno.EMSGSIZE})
"""What a device without checksum offload, or an old kernel, answers to UDP_SEGMENT."""


class FanOut(Protocol):
    """Encrypts the packets of a batch for each viewer and sends them.

    A target's `next` says what it still needs, and moves on with every packet that is sent; packets before it are left
    out. So a send that was cut short is continued by calling again, with the same bytes.
    """

    @property
    def name(self) -> str:
        """For the log."""

    def add(self, target: RtpTarget) -> None:
        """Prepare for a target; call before its first `send`."""

    def remove(self, target: RtpTarget) -> None:
        """Let go of what `add` prepared. Nothing happens when it was not added."""

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        """How many of the targets, from the front, are dealt with.

        Fewer than all: the socket is full; call again with the others when it is writable. A target that is dealt with
        and has a `next` before `batch.end` has a full connection of its own.
        """


class GcmFanOut:
    """AES-GCM by `cryptography` into one buffer, and a segmented send (UDP GSO) for each run of packets.

    Targets need a `GcmSender` and a UDP route.
    """

    def __init__(self, *, segmentation: bool) -> None:
        self.segmentation = segmentation
        self._buffer = bytearray(_BUFFER_SIZE)
        self._view = memoryview(self._buffer)

    @property
    def name(self) -> str:
        return f"Python, {'UDP segmentation' if self.segmentation else 'packet by packet'}"

    def add(self, target: RtpTarget) -> None:
        pass

    def remove(self, target: RtpTarget) -> None:
        pass

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        for number, target in enumerate(targets):
            if not self._send_to(target, batch):
                return number
        return len(targets)

    def _send_to(self, target: RtpTarget, batch: RtpBatch) -> bool:
        route = target.route
        if route is None:
            target.next = batch.end
            target.errors += 1
            return True
        sent = target.next - batch.first
        for start, end in batch.runs:
            if end > sent:
                if self.segmentation:
                    done = self._send_run(target, route, batch, max(start, sent), end)
                else:
                    done = self._send_singly(target, route, batch, max(start, sent), end)
                if not done:
                    return False
        return True

    def _send_run(self, target: RtpTarget, route: UdpRoute, batch: RtpBatch, start: int, end: int) -> bool:
        size = self._seal(target, batch, start, end)
        control = route.control
        if end - start > 1:
            segment = len(batch.headers(target.header)[start]) + len(batch.packets[start].payload) + TAG_SIZE
            control = (*control, (_SOL_UDP, UDP_SEGMENT, pack("=H", segment)))
        try:
            route.socket.sendmsg((self._view[:size],), control, 0, route.sockaddr or None)
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in _NO_SEGMENTATION and end - start > 1:
                _log.warning("UDP segmentation stopped working (%s): sending packet by packet", exc)
                self.segmentation = False
                return self._send_singly(target, route, batch, start, end)
            target.errors += 1  # no route, or a firewall of our own: this viewer's loss
        batch.note_sent(target, start, end)
        return True

    def _send_singly(self, target: RtpTarget, route: UdpRoute, batch: RtpBatch, start: int, end: int) -> bool:
        for at in range(start, end):
            size = self._seal(target, batch, at, at + 1)
            try:
                route.socket.sendmsg((self._view[:size],), route.control, 0, route.sockaddr or None)
            except BlockingIOError:
                return False
            except OSError:
                target.errors += 1
            batch.note_sent(target, at, at + 1)
        return True

    def _seal(self, target: RtpTarget, batch: RtpBatch, start: int, end: int) -> int:
        """Encrypt the packets behind each other; returns the bytes they take."""
        sender = target.sender
        assert isinstance(sender, GcmSender)
        encrypt_into, view, mask = sender.aead.encrypt_into, self._view, target.nonce_mask
        headers, packets = batch.headers(target.header), batch.packets
        own = batch.first - target.base
        at = 0
        for position in range(start, end):
            header, payload = headers[position], packets[position].payload
            index = own + position
            pack_into("!H", header, 2, index & 0xFFFF)
            body = at + len(header)
            view[at:body] = header
            at = body + len(payload) + TAG_SIZE
            # RFC 7714, 8.1: the nonce is SSRC and index, XOR the salt, which the mask holds with the SSRC
            encrypt_into((mask ^ index).to_bytes(12, "big"), payload, header, view[body:at])
        return at


class PacketFanOut:
    """Packet by packet through each viewer's own SRTP session and port: for AES-CM, and for ICE-TCP."""

    name = "one by one"

    def add(self, target: RtpTarget) -> None:
        pass

    def remove(self, target: RtpTarget) -> None:
        pass

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        for target in targets:
            self._send_to(target, batch)
        return len(targets)

    def _send_to(self, target: RtpTarget, batch: RtpBatch) -> None:
        headers = batch.headers(target.header)
        for at in range(max(0, target.next - batch.first), len(batch.packets)):
            index = target.next_own
            header = headers[at]
            pack_into("!H", header, 2, index & 0xFFFF)
            if not target.port.send(target.sender.protect(bytes(header) + batch.packets[at].payload, index)):
                return  # the same packet again later: the same bytes under the same index
            batch.note_sent(target, at, at + 1)


def choose_fan_out() -> FanOut:
    """The fastest one that this machine has."""
    segmentation = supports_segmentation()
    return native_fan_out(segmentation=segmentation) or GcmFanOut(segmentation=segmentation)


def native_fan_out(*, segmentation: bool) -> FanOut | None:
    """The one in C; None where it was not built."""
    module = load_native()
    return None if module is None else NativeFanOut(module, segmentation=segmentation)


def supports_segmentation() -> bool:
    """Whether the kernel cuts one send into datagrams: two bytes to ourselves on loopback, as two datagrams."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(0.1)
            sender.sendmsg([b"ab"], [(_SOL_UDP, UDP_SEGMENT, pack("=H", 1))], 0, receiver.getsockname())
            return receiver.recv(16) == b"a" and receiver.recv(16) == b"b"
        except OSError:
            return False

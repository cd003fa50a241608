"""The fan-out in C, where it was built: see `_fanout.c`."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence
from importlib import import_module
from struct import pack
from types import ModuleType

from relay.endpoint import UdpRoute
from relay.rtp_batch import HeaderKey, RtpBatch
from relay.rtp_target import RtpTarget
from wire.srtp import GcmSender

__all__ = ["NativeFanOut", "load_native"]

_log = logging.getLogger(__name__)


def load_native() -> ModuleType | None:
    """The extension module; None where it was not built, or cannot be loaded."""
    try:
        return import_module("relay._fanout")
    except ImportError:
        return None


class NativeFanOut:
    """Keeps a cipher of OpenSSL's for each target, as long as it is added."""

    def __init__(self, module: ModuleType, *, segmentation: bool) -> None:
        self.segmentation = segmentation
        self._module = module
        self._routes: dict[RtpTarget, UdpRoute | None] = {}

    @property
    def name(self) -> str:
        return f"C, {'UDP segmentation' if self.segmentation else 'packet by packet'}"

    def add(self, target: RtpTarget) -> None:
        sender = target.sender
        assert isinstance(sender, GcmSender)
        target.native = self._module.Session(sender.key, target.nonce_mask.to_bytes(12, "big"))
        self._set_route(target)

    def remove(self, target: RtpTarget) -> None:
        target.native = None
        self._routes.pop(target, None)

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        dealt_with = 0
        while dealt_with < len(targets):
            turn = targets[dealt_with : dealt_with + self._module.MAX_JOBS]
            done = self._send_turn(batch, turn)
            dealt_with += done
            if done < len(turn):
                break
        return dealt_with

    def _send_turn(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        fd = -1
        jobs = []
        for target in targets:
            route = target.route
            if route is not self._routes[target]:
                self._set_route(target)
            if route is not None:
                fd = route.socket.fileno()
            sent = max(0, target.next - batch.first) if route is not None else len(batch.packets)
            jobs.append((target.native, self._shared(batch, target.header), sent, batch.first - target.base))
        status, results = self._module.send(fd, jobs, self.segmentation)
        for target, job, (sent, errors) in zip(targets, jobs, results, strict=True):
            target.errors += errors
            if sent > job[2]:
                batch.note_sent(target, job[2], sent)
            elif target.route is None:
                target.next = batch.end
                target.errors += 1
        if status in (0, errno.EAGAIN):
            return next((at for at, target in enumerate(targets) if target.next < batch.end), len(targets))
        _log.warning("UDP segmentation stopped working (%s): sending packet by packet", os.strerror(status))
        self.segmentation = False
        return self._send_turn(batch, targets)

    def _shared(self, batch: RtpBatch, key: HeaderKey) -> object:
        """What all viewers with the same kind of header share."""
        found = batch.native.get(key)
        if found is None:
            found = batch.native[key] = self._module.Packets(
                tuple(map(bytes, batch.headers(key))),
                tuple([packet.payload for packet in batch.packets]),
                tuple([end for _, end in batch.runs]),
            )
        return found

    def _set_route(self, target: RtpTarget) -> None:
        route = self._routes[target] = target.route
        if route is None:
            return
        level, kind, value = route.control[0] if route.control else (0, 0, b"")
        target.native.route(_sockaddr(route), level, kind, value)  # type: ignore[attr-defined]


def _sockaddr(route: UdpRoute) -> bytes:
    """A `struct sockaddr_in` or `sockaddr_in6`, empty for a connected socket."""
    if not route.sockaddr:
        return b""
    host, port = route.sockaddr[:2]
    if route.socket.family == socket.AF_INET6:
        return pack("=H", socket.AF_INET6) + pack("!HI", port, 0) + socket.inet_pton(socket.AF_INET6, host) + bytes(4)
    return pack("=H", socket.AF_INET) + pack("!H", port) + socket.inet_pton(socket.AF_INET, host) + bytes(8)

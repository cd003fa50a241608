"""The fan-out in C, where it was built: see `_fanout.c`."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from types import ModuleType

from relay.rtp_batch import HeaderKey, RtpBatch
from relay.rtp_target import RtpTarget
from wire.srtp import GcmSender

__all__ = ["NativeFanOut"]

_log = logging.getLogger(__name__)


class NativeFanOut:
    """Keeps a cipher of OpenSSL's for each target, as long as it is added. The extension reads the targets itself."""

    def __init__(self, module: ModuleType, *, segmentation: bool) -> None:
        self.segmentation = segmentation
        self._module = module

    @property
    def name(self) -> str:
        return f"C, {'UDP segmentation' if self.segmentation else 'packet by packet'}"

    def add(self, target: RtpTarget) -> None:
        sender = target.sender
        assert isinstance(sender, GcmSender)
        target.native = self._module.Session(sender.key, target.nonce_mask.to_bytes(12, "big"))

    def remove(self, target: RtpTarget) -> None:
        target.native = None

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        dealt_with = 0
        while dealt_with < len(targets):
            turn = list(targets[dealt_with : dealt_with + self._module.MAX_JOBS])
            done = self._send_turn(batch, turn)
            dealt_with += done
            if done < len(turn):
                break
        return dealt_with

    def _send_turn(self, batch: RtpBatch, targets: list[RtpTarget]) -> int:
        while True:
            status, done = self._module.send(batch.native, batch.first, batch.end, targets, self.segmentation)
            if status in (0, errno.EAGAIN):
                return int(done)
            if status == self._module.NEW_ROUTE:
                _tell_route(targets[done])
            elif status == self._module.NEW_HEADER:
                key = targets[done].header
                batch.native[key] = self._pack(batch, key)
            else:
                _log.warning("UDP segmentation stopped working (%s): sending packet by packet", os.strerror(status))
                self.segmentation = False

    def _pack(self, batch: RtpBatch, key: HeaderKey) -> object:
        """What all viewers with the same kind of header share."""
        return self._module.Packets(
            tuple(map(bytes, batch.headers(key))),
            tuple([packet.payload for packet in batch.packets]),
            tuple([end for _, end in batch.runs]),
        )


def _tell_route(target: RtpTarget) -> None:
    route = target.route
    assert route is not None, "without a route there is nothing to tell"
    level, kind, value = route.control[0] if route.control else (0, 0, b"")
    target.native.route(route, route.socket.fileno(), route.raw_sockaddr, level, kind, value)  # type: ignore[attr-defined]

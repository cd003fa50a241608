"""The fan-out in C, where it was built: see `_fanout.c`."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from types import ModuleType

from relay.rtp_batch import Cargo, RtpBatch
from relay.rtp_target import RtpTarget
from relay.segmentation import Segmentation
from wire.srtp import GcmSender

__all__ = ["NativeFanOut"]


class NativeFanOut:
    """Keeps a cipher of OpenSSL's for each target, as long as it is added. The extension reads the targets itself."""

    def __init__(self, module: ModuleType, *, segmentation: bool) -> None:
        self._segmentation = Segmentation(segmentation)
        self._module = module

    @property
    def name(self) -> str:
        return f"C, {self._segmentation}"

    @property
    def refused(self) -> int:
        return self._segmentation.refused

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
            rider = () if batch.rider is None else (batch.rider.first, batch.rider.end)
            segmentation = self._segmentation.is_on
            status, done = self._module.send(batch.layouts, batch.first, batch.end, targets, segmentation, *rider)
            if status in (0, errno.EAGAIN):
                return int(done)
            if status == self._module.NEW_ROUTE:
                _tell_route(targets[done])
            elif status == self._module.NEW_HEADER:
                self._pack(batch, targets[done])
            else:
                self._segmentation.note_refusal(status, batch.stamped_at)

    def _pack(self, batch: RtpBatch, target: RtpTarget) -> None:
        """What all viewers with the same kind of header share, with and without a rider."""
        key, rider = target.header, target.rider
        batch.layouts[key] = self._packets(batch.cargo(key))
        if rider is not None and batch.rider is not None:
            batch.layouts[key, rider.header] = self._packets(batch.cargo(key, rider.header))

    def _packets(self, cargo: Cargo) -> object:
        ends = tuple([end for _, end in cargo.runs])
        return self._module.Packets(tuple(map(bytes, cargo.headers)), tuple(cargo.payloads), ends, cargo.own)


def _tell_route(target: RtpTarget) -> None:
    route = target.route
    assert route is not None, "without a route there is nothing to tell"
    level, kind, value = route.control[0] if route.control else (0, 0, b"")
    target.native.route(route, route.socket.fileno(), route.raw_sockaddr, level, kind, value)  # type: ignore[attr-defined]

"""One batch to many viewers: the interface, and the implementation in Python.

Every implementation passes one contract suite. A native one is used where it was built; `choose_fan_out` says which.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from struct import Struct, pack, pack_into
from typing import NamedTuple, Protocol

from relay.endpoint import ControlMessage
from relay.native import load_native
from relay.native_fanout import NativeFanOut
from relay.rtp_batch import TAG_SIZE, HeaderKey, RtpBatch
from relay.rtp_target import RtpTarget, find_place, find_rider, note_sent
from relay.segmentation import REFUSALS, SINGLE_SENDS, UDP_SEGMENT, Segmentation, supports_segmentation
from wire.srtp import GcmSender

__all__ = ["FanOut", "GcmFanOut", "PacketFanOut", "choose_fan_out", "native_fan_out"]

_SOL_UDP = socket.IPPROTO_UDP
_SEQUENCE = Struct("!H")


class FanOut(Protocol):
    """Encrypts the packets of a batch for each viewer and sends them.

    A target's `next` says what it still needs, and moves on with every packet that is sent; packets before it are left
    out. So a send that was cut short is continued by calling again, with the same bytes. The rider of a batch may be
    sent along to a target's rider, whose `next` then says so; it may also be left.
    """

    @property
    def name(self) -> str:
        """For the log."""

    @property
    def refused(self) -> int:
        """Segmented sends that were refused so far."""

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
        self._segmentation = Segmentation(segmentation)
        self._single: dict[RtpTarget, int] = {}
        self._used: tuple[RtpBatch, HeaderKey, HeaderKey | None, _Layout] | None = None

    @property
    def name(self) -> str:
        return f"Python, {self._segmentation}"

    @property
    def refused(self) -> int:
        return self._segmentation.refused

    def add(self, target: RtpTarget) -> None:
        pass

    def remove(self, target: RtpTarget) -> None:
        self._single.pop(target, None)

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
        rider = None if batch.rider is None else find_rider(batch, target)
        layout = self._find_layout(batch, target.header, None if rider is None else rider.header)
        sent = done = find_place(batch, target, rider)
        sendmsg, control, sockaddr = route.socket.sendmsg, route.control, route.sockaddr or None
        segmented = self._segmentation.is_on and not (self._single and self._is_single(target))
        for message in layout.messages(sent, segmented=segmented):
            layout.seal(batch, target, rider, message)
            try:
                sendmsg((message.view,), control + message.cut, 0, sockaddr)
            except BlockingIOError:
                break
            except OSError as exc:
                if message.cut and exc.errno in REFUSALS:
                    self._segmentation.note_refusal(exc.errno, batch.stamped_at)
                    self._single[target] = SINGLE_SENDS
                    note_sent(batch, target, rider, sent, done)
                    return self._send_to(target, batch)
                target.errors += 1  # no route, or a firewall of our own: this viewer's loss
            done = message.end
        if done > sent:
            note_sent(batch, target, rider, sent, done)
        return done >= layout.count

    def _is_single(self, target: RtpTarget) -> bool:
        """Whether this send is packet by packet, because a segmented one was refused for this viewer lately."""
        left = self._single.pop(target, 0)
        if left > 1:
            self._single[target] = left - 1
        return left > 0

    def _find_layout(self, batch: RtpBatch, key: HeaderKey, rider_key: HeaderKey | None) -> _Layout:
        """Most viewers have the very headers of the one before."""
        used = self._used
        if used is not None and used[0] is batch and used[1] is key and used[2] is rider_key:
            return used[3]
        whole = key if rider_key is None else (key, rider_key)
        layout = batch.layouts.get(whole)
        if layout is None:
            layout = batch.layouts[whole] = _Layout(batch, key, rider_key)
        assert isinstance(layout, _Layout)
        self._used = (batch, key, rider_key, layout)
        return layout


class _Message(NamedTuple):
    """Packets from `start` to `end` of a batch, which leave in one send: the bytes, and where the kernel cuts them."""

    start: int
    end: int
    view: memoryview
    cut: tuple[ControlMessage, ...]


class _Layout:
    """The packets of a batch and of its rider behind each other, as all viewers with one kind of header are sent them.

    The headers are in their places once; for a viewer, only the sequence numbers are written and the payloads are
    encrypted into theirs, over those of the viewer before.
    """

    __slots__ = ("_ends", "_own", "_packets", "_runs", "_singles", "_view", "_whole", "count")

    def __init__(self, batch: RtpBatch, key: HeaderKey, rider_key: HeaderKey | None) -> None:
        headers, payloads, self._own, self._runs = batch.cargo(key, rider_key)
        self.count = len(headers)
        view = memoryview(bytearray(sum(map(len, headers)) + sum(map(len, payloads)) + TAG_SIZE * self.count))
        self._view = view
        self._packets: list[tuple[int, memoryview, bytes, memoryview]] = []
        self._ends = [0]
        at = 0
        for header, payload in zip(headers, payloads, strict=True):
            body = at + len(header)
            end = body + len(payload) + TAG_SIZE
            view[at:body] = header
            self._packets.append((at + 2, view[at:body], payload, view[body:end]))
            self._ends.append(end)
            at = end
        self._singles: list[_Message] = []
        self._whole = [self._message(start, end) for start, end in self._runs]

    def messages(self, sent: int, *, segmented: bool) -> Iterable[_Message]:
        """What is to be sent to a viewer that has the first `sent` packets."""
        if not segmented:
            self._singles = self._singles or [self._message(at, at + 1) for at in range(len(self._packets))]
            return self._singles[sent:]
        if not sent:
            return self._whole
        return [self._message(max(start, sent), end) for start, end in self._runs if end > sent]

    def seal(self, batch: RtpBatch, target: RtpTarget, rider: RtpTarget | None, message: _Message) -> None:
        """Encrypt the packets of a message."""
        start, end, split = message.start, message.end, self._own
        if start < split:
            self._seal(target, batch.first - target.base, start, min(end, split))
        if end > split and rider is not None and batch.rider is not None:
            self._seal(rider, batch.rider.first - rider.base - split, max(start, split), end)

    def _seal(self, target: RtpTarget, own: int, start: int, end: int) -> None:
        """`own` is the viewer's own index of the packet at position 0."""
        sender = target.sender
        assert isinstance(sender, GcmSender)
        encrypt_into, write, view, mask = sender.aead.encrypt_into, _SEQUENCE.pack_into, self._view, target.nonce_mask
        own += start
        for sequence_at, header, payload, body in self._packets[start:end]:
            write(view, sequence_at, own & 0xFFFF)
            # RFC 7714, 8.1: the nonce is SSRC and index, XOR the salt, which the mask holds with the SSRC
            encrypt_into((mask ^ own).to_bytes(12, "big"), payload, header, body)
            own += 1

    def _message(self, start: int, end: int) -> _Message:
        at, size = self._ends[start], self._ends[start + 1] - self._ends[start]
        cut = ((_SOL_UDP, UDP_SEGMENT, pack("=H", size)),) if end - start > 1 else ()
        return _Message(start, end, self._view[at : self._ends[end]], cut)


class PacketFanOut:
    """Packet by packet through each viewer's own SRTP session and port: for AES-CM, and for ICE-TCP."""

    name = "one by one"
    refused = 0

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

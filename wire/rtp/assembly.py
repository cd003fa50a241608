"""Access units out of packets in order: NAL units with one timestamp, complete at the marker (RFC 6184, 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wire.errors import LimitExceeded, WireError
from wire.rtp.reorder import InOrder
from wire.rtp.sequence import Unwrapper

__all__ = ["AccessUnitAssembler", "Depacketiser", "RtpUnit"]

MAX_NALS = 1024
"""NAL units in one picture: some cameras send 48 slices, x264's slice-max-size a few hundred."""
MAX_UNIT_SIZE = 16 * 1024 * 1024
"""Twice the largest NAL unit."""


class Depacketiser(Protocol):
    """H.264's or H.265's."""

    def receive(self, payload: bytes) -> list[bytes]: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RtpUnit:
    """One complete picture as it came: `rtp_time` is the unwrapped timestamp (90 kHz, arbitrary zero).

    `after_loss` says that a picture before it was lost or damaged, so its references may be missing.
    """

    rtp_time: int
    nals: tuple[bytes, ...]
    after_loss: bool


class AccessUnitAssembler:
    """Pictures of one SSRC. A picture that a gap touches is dropped whole, and so is one that breaks its format."""

    def __init__(self, depacketiser: Depacketiser) -> None:
        self.damaged = 0
        self._depacketiser = depacketiser
        self._unwrap = Unwrapper(32)
        self._time: int | None = None
        self._nals: list[bytes] = []
        self._size = 0
        self._broken = False
        self._gap = False
        self._after_loss = False

    def receive(self, item: InOrder) -> list[RtpUnit]:
        """Take the next packet; returns the pictures that are complete now, at most two. Never raises."""
        packet = item.packet
        if item.after_gap:
            self._note_gap()
        if not packet.payload:  # padding, which browsers probe the bandwidth with
            return []
        units = []
        time = self._unwrap(packet.timestamp)
        if time != self._time:
            if self._time is not None:
                units += self._finish()  # its marker never came
            self._time = time
        self._broken = self._broken or self._gap
        self._gap = False
        if not self._broken:
            self._add(packet.payload)
        if packet.marker:
            units += self._finish()
        return units

    def _note_gap(self) -> None:
        # what was lost may be the end of one picture and the beginning of the next
        self._depacketiser.reset()
        self._broken = self._gap = True

    def _add(self, payload: bytes) -> None:
        try:
            nals = self._depacketiser.receive(payload)
            self._nals += nals
            self._size += sum(map(len, nals))
            if len(self._nals) > MAX_NALS or self._size > MAX_UNIT_SIZE:
                raise LimitExceeded(f"picture of {len(self._nals)} NAL units and {self._size} bytes")
        except WireError:
            self._broken = True  # counted when the picture ends

    def _finish(self) -> list[RtpUnit]:
        nals, broken, time = self._nals, self._broken, self._time
        self._nals, self._size, self._broken = [], 0, False
        self._time = None
        self._depacketiser.reset()
        if broken:
            self.damaged += 1
            self._after_loss = True
            return []
        if time is None or not nals:
            return []
        unit = RtpUnit(time, tuple(nals), self._after_loss)
        self._after_loss = False
        return [unit]

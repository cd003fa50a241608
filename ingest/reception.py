"""What a receiver tells the sender of one SSRC about its packets (RFC 3550, 6.4.1 and A.8)."""

from __future__ import annotations

from wire.rtp.rtcp import ReportBlock
from wire.rtp.sequence import Unwrapper

__all__ = ["ReceptionStatistics"]

_FRACTION = 256
_MAX_LOST = 0x7FFFFF
_DELAY_UNIT = 65_536
"""Delays count 1/65536 s."""


class ReceptionStatistics:
    """`receive` every original packet, retransmissions apart; `report` about once a second."""

    def __init__(self, clock_rate: int) -> None:
        self.fraction_lost = 0.0
        """Of the packets between the last two reports, 0 to 1."""
        self._clock_rate = clock_rate
        self._unwrap = Unwrapper(16)
        self._first = 0
        self._highest = -1
        self._received = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._reported = (0, 0)  # expected and received, at the last report
        self._sender_report: tuple[int, float] | None = None

    def receive(self, sequence: int, timestamp: int, now: float) -> None:
        index = self._unwrap(sequence)
        if self._highest < 0:
            self._first = self._highest = index
        self._first = min(self._first, index)
        self._highest = max(self._highest, index)
        self._received += 1
        self._note_jitter(timestamp, now)

    def note_sender_report(self, ntp: int, now: float) -> None:
        """`ntp` is 32.32 fixed point: its middle goes back to the sender, which learns the round trip from it."""
        self._sender_report = (ntp >> 16 & 0xFFFFFFFF, now)

    def report(self, ssrc: int, now: float) -> ReportBlock:
        expected = self._highest - self._first + 1 if self._highest >= 0 else 0
        last_expected, last_received = self._reported
        self._reported = (expected, self._received)
        interval = expected - last_expected
        lost = max(0, interval - (self._received - last_received))
        self.fraction_lost = lost / interval if interval > 0 else 0.0
        last_sr, heard_at = self._sender_report or (0, now)
        return ReportBlock(
            ssrc,
            fraction_lost=min(_FRACTION - 1, int(self.fraction_lost * _FRACTION)),
            packets_lost=min(expected - self._received, _MAX_LOST),
            highest_sequence=max(0, self._highest) & 0xFFFFFFFF,
            jitter=int(self._jitter),
            last_sr=last_sr,
            delay_since_sr=min(0xFFFFFFFF, int((now - heard_at) * _DELAY_UNIT)),
        )

    def _note_jitter(self, timestamp: int, now: float) -> None:
        # RFC 3550, A.8; differences of the 32-bit timestamp are signed
        transit = now * self._clock_rate - timestamp
        if self._transit is not None:
            difference = (transit - self._transit + (1 << 31)) % (1 << 32) - (1 << 31)
            self._jitter += (abs(difference) - self._jitter) / 16
        self._transit = transit

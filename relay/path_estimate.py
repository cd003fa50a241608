"""What a viewer's path carries, from its own reports."""

from __future__ import annotations

from wire.rtp.rtcp import ReportBlock

__all__ = ["PathEstimate"]

REMB_LIFETIME = 10.0
"""Seconds that a REMB counts: browsers repeat theirs at least every few seconds."""
LOSS_LIFETIME = 5.0
"""Seconds that a report's loss counts: reports come every second or so."""
START = 2_000_000
"""Bits per second, before anything is known."""
FLOOR = 50_000
CEILING = 100_000_000
LOW_LOSS = 0.02
HIGH_LOSS = 0.10
"""The loss-based controller of draft-ietf-rmcat-gcc-02, 6: below the first it grows by 5 %,
above the other it shrinks."""
REMEMBERED_REPORTS = 16
_NTP_FRACTION = 65_536


class PathEstimate:
    """`bits_per_second`: the viewer's own estimate (REMB) where it sends one, else one from loss. `rtt` in seconds."""

    __slots__ = ("_by_loss", "_remb", "_reported_at", "_sent", "_smooth_loss", "jitter", "loss", "rtt")

    def __init__(self) -> None:
        self.rtt: float | None = None
        self.loss = 0.0
        self.jitter = 0.0
        self._reported_at = float("-inf")
        self._smooth_loss = 0.0
        self._remb: tuple[int, float] | None = None
        self._by_loss = float(START)
        self._sent: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<PathEstimate rtt={self.rtt} loss={self.loss:.3f} remb={self._remb}>"

    def bits_per_second(self, now: float) -> int:
        remb = self.remb(now)
        return int(self._by_loss) if remb is None else remb

    def remb(self, now: float) -> int | None:
        """The viewer's own estimate; None where it sends none, or has not for long."""
        return self._remb[0] if self._remb is not None and now - self._remb[1] <= REMB_LIFETIME else None

    def recent_loss(self, now: float) -> float:
        """The share that was lost lately, the last report counting as much as all before it."""
        return self._smooth_loss if now - self._reported_at <= LOSS_LIFETIME else 0.0

    def note_sent(self, ntp: int, now: float) -> None:
        """A sender report with this NTP time has left: what comes back names its middle."""
        self._sent[ntp >> 16 & 0xFFFFFFFF] = now
        while len(self._sent) > REMEMBERED_REPORTS:
            del self._sent[next(iter(self._sent))]

    def note_remb(self, bitrate: int, now: float) -> None:
        self._remb = (max(FLOOR, min(bitrate, CEILING)), now)

    def note_report(self, report: ReportBlock, clock_rate: int, now: float, *, counts: bool = True) -> None:
        """A report about one of our streams (RFC 3550, 6.4.1). Without `counts` it says nothing but the round trip."""
        sent_at = self._sent.get(report.last_sr) if report.last_sr else None
        if sent_at is not None:
            self.rtt = max(0.0, now - sent_at - report.delay_since_sr / _NTP_FRACTION)
        if not counts:
            return
        self.loss = report.fraction_lost / 256
        self._smooth_loss = (self.recent_loss(now) + self.loss) / 2
        self._reported_at = now
        self.jitter = report.jitter / clock_rate
        if self.loss < LOW_LOSS:
            self._by_loss *= 1.05
        elif self.loss > HIGH_LOSS:
            self._by_loss *= 1 - self.loss / 2
        self._by_loss = max(FLOOR, min(self._by_loss, CEILING))

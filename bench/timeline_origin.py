"""The Streamer-Timeline header of a WHEP answer: `epoch=...;rtp=...;t=...`, one instant on two clocks of 90 kHz."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TimelineOrigin"]

_WRAP = 1 << 32
_TICKS_PER_S = 90_000


@dataclass(frozen=True, slots=True)
class TimelineOrigin:
    """The RTP time `rtp` is the media time `t` of the broadcast `epoch`."""

    epoch: str
    rtp: int
    t: int

    @classmethod
    def parse(cls, header: str) -> TimelineOrigin | None:
        """None for what is not such a header."""
        fields = dict(item.strip().partition("=")[::2] for item in header.split(";"))
        try:
            return cls(fields["epoch"], int(fields["rtp"]), int(fields["t"]))
        except (KeyError, ValueError):
            return None

    @property
    def zero(self) -> int:
        """The RTP time of media time 0."""
        return (self.rtp - self.t) % _WRAP

    @property
    def ticks_per_ms(self) -> int:
        return _TICKS_PER_S // 1000

    @property
    def label(self) -> str:
        """The same for all viewers of one broadcast: RTP time is (zero + t) modulo 2^32."""
        return f"{self.epoch}:{self.zero}"

    def distance(self, rtp_time: int) -> float:
        """Seconds from this instant to an RTP timestamp, negative for one before it."""
        return ((rtp_time - self.rtp + _WRAP // 2) % _WRAP - _WRAP // 2) / _TICKS_PER_S

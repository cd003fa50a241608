"""What a path carries, guessed from losses alone: for publishers that know no transport-wide feedback."""

from __future__ import annotations

__all__ = ["LossEstimate"]

FIRST = 1_500_000
"""Bits a second: what a phone's uplink carries at least."""
LOWEST = 150_000
HIGHEST = 8_000_000
GOOD_LOSS = 0.02
BAD_LOSS = 0.10
"""draft-ietf-rmcat-gcc-02, 6: up by 8 % below 2 % of loss, down by half the loss above 10 %."""
GROWTH = 1.08


class LossEstimate:
    """`update` about once a second."""

    def __init__(self) -> None:
        self.bits_per_second = FIRST

    def update(self, fraction_lost: float) -> int:
        """`fraction_lost` is 0 to 1. Returns the new estimate."""
        estimate = float(self.bits_per_second)
        if fraction_lost < GOOD_LOSS:
            estimate *= GROWTH
        elif fraction_lost > BAD_LOSS:
            estimate *= 1 - fraction_lost / 2
        self.bits_per_second = int(max(LOWEST, min(estimate, HIGHEST)))
        return self.bits_per_second

"""Opus in RTP (RFC 7587): one packet is one payload. Its length in time is in its first bytes (RFC 6716, 3)."""

from __future__ import annotations

from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = ["CLOCK_RATE", "duration"]

CLOCK_RATE = 48_000
MAX_DURATION = CLOCK_RATE * 120 // 1000
"""RFC 6716, 3.2.5: a packet holds at most 120 ms."""

# RFC 6716, 3.1, table 2: samples at 48 kHz of one frame, by configuration
_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)


def duration(packet: bytes) -> int:
    """Samples at 48 kHz of one Opus packet. Raises `WireError`."""
    if not packet:
        raise Truncated("empty Opus packet")
    frames = packet[0] & 3
    if frames == 3:  # code 3: the count follows
        if len(packet) < 2:
            raise Truncated("Opus packet of code 3 has no frame count")
        count = packet[1] & 0x3F
        if count == 0:
            raise Malformed("Opus packet of 0 frames")
    else:
        count = 1 if frames == 0 else 2
    samples = count * _frame_samples(packet[0] >> 3)
    if samples > MAX_DURATION:
        raise LimitExceeded(f"Opus packet of {samples} samples exceeds {MAX_DURATION}")
    return samples


def _frame_samples(configuration: int) -> int:
    if configuration < 12:
        return _SILK[configuration & 3]
    if configuration < 16:
        return _HYBRID[configuration & 1]
    return _CELT[configuration & 3]

"""Access units to RTP: payloads, and RTP time that says where on the timeline a picture or a sound belongs.

RTP time is `(origin + t) mod 2^32` for pictures, with `t` in 90 kHz ticks, and `(origin + t * 48000 / 90000) mod 2^32`
for Opus, whose RTP clock is 48 kHz (RFC 7587, 4.1). Both use one origin, the first four bytes of SHA-256 of the epoch,
so that every process that serves a broadcast gives a picture the same RTP time.
"""

from __future__ import annotations

from hashlib import sha256

from media.ticks import TICKS_PER_SECOND
from media.track import Codec, Track
from media.unit import AccessUnit
from wire.codecs import opus
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.errors import WireError
from wire.rtp import h264, h265

__all__ = [
    "MAX_PAYLOAD",
    "RTP_CODECS",
    "OpusClock",
    "audio_rtp_time",
    "packetise",
    "reorders",
    "rtp_origin",
    "video_rtp_time",
]

MAX_PAYLOAD = 1160
"""Bytes. With 20 of header and extension, 16 of tag, and 2 for a retransmission it stays below the 1,200 that every
path carries."""
RTP_CODECS = frozenset({Codec.H264, Codec.H265, Codec.OPUS})
"""What can be sent by RTP."""
OPUS_RATE = opus.SAMPLE_RATE
MAX_OPUS_SLIP = 2 * OPUS_RATE // 1000
"""Samples. A publisher's milliseconds are this far off its samples; beyond it, its clock is followed."""

_WRAP = 0xFFFFFFFF


def rtp_origin(epoch: str) -> int:
    """RTP time of `t` = 0."""
    return int.from_bytes(sha256(epoch.encode()).digest()[:4], "big")


def video_rtp_time(origin: int, t: int) -> int:
    """90 kHz, as the timeline itself."""
    return (origin + t) & _WRAP


def audio_rtp_time(origin: int, t: int) -> int:
    """48 kHz."""
    return (origin + t * OPUS_RATE // TICKS_PER_SECOND) & _WRAP


def packetise(unit: AccessUnit, max_payload: int = MAX_PAYLOAD) -> list[bytes]:
    """The payloads of one picture or sound, in order; a keyframe begins with its parameter sets.

    Raises ValueError for a codec that is not in `RTP_CODECS`.
    """
    config = unit.track.config
    if isinstance(config, H264Config):
        sets = (*config.sps, *config.pps) if unit.keyframe else ()
        return h264.packetise((*sets, *unit.parts), max_payload)
    if isinstance(config, H265Config):
        sets = (*config.vps, *config.sps, *config.pps) if unit.keyframe else ()
        return h265.packetise((*sets, *unit.parts), max_payload)
    if unit.track.codec is Codec.OPUS:
        return [unit.parts[0]]
    raise ValueError(f"{unit.track.codec} has no RTP payload format here")


def reorders(track: Track) -> bool:
    """Whether the configuration itself says that pictures are shown in another order than they are decoded."""
    if isinstance(track.config, H264Config):
        return bool(track.config.declared_reorder_depth)
    return isinstance(track.config, H265Config) and track.config.reorder_depth > 0


class OpusClock:
    """RTP time of Opus packets in a row. It counts samples, since times that were milliseconds once would click."""

    def __init__(self, origin: int) -> None:
        self._origin = origin
        self._next: int | None = None

    def rtp_time(self, t: int, packet: bytes) -> int:
        """RTP time of a packet at `t` ticks."""
        exact = audio_rtp_time(self._origin, t)
        time = self._next
        if time is None or _distance(exact, time) > MAX_OPUS_SLIP:
            time = exact
        self._next = (time + _samples(packet)) & _WRAP
        return time


def _distance(one: int, other: int) -> int:
    return abs(((one - other + (1 << 31)) & _WRAP) - (1 << 31))


def _samples(packet: bytes) -> int:
    try:
        return opus.packet_samples(packet)
    except WireError:
        return 0  # unreadable: the next packet is placed by its own time

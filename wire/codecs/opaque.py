"""Codecs that pass through unread: AV1, MP3, Speex and G.711."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OpaqueConfig"]


@dataclass(frozen=True, slots=True)
class OpaqueConfig:
    """The configuration record as it came (av1C for AV1, empty for sound without one).

    `sample_rate` in Hz and `channels` are what the envelope said about sound, None for video.
    """

    record: bytes
    sample_rate: int | None = None
    channels: int | None = None

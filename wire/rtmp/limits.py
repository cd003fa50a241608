"""How much of everything one RTMP connection may ask for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RtmpLimits"]


@dataclass(frozen=True, slots=True)
class RtmpLimits:
    """Limits of one connection; passing one raises `LimitExceeded`. Sizes are in bytes."""

    video_size: int = 8 << 20
    """One picture. A 4K keyframe at 60 Mb/s stays under 4 MiB."""
    audio_size: int = 256 << 10
    """One audio message. AAC frames are under 8 KiB; 256 KiB leaves room for PCM blocks."""
    data_size: int = 1 << 20
    """Metadata and other script data."""
    command_size: int = 64 << 10
    """A command, and every kind of message that is only skipped."""
    chunk_streams: int = 64
    """Encoders use 3 to 6; each keeps a header, and may keep a part of a message."""
    partial_size: int = 16 << 20
    """Parts of messages, summed over the chunk streams: one picture, a large one interleaved, and slack."""
    min_chunk_size: int = 64
    """RTMP 1.0, 5.4.1 allows 1, at which each byte of media would cost as much work as a whole chunk."""
    empty_messages: int = 1_000
    """A message without a body is one byte on the wire: a flood of them is work for nothing."""
    commands: int = 4_096
    """Commands of a connection; a publisher sends about ten."""
    message_streams: int = 8
    """Streams that are created and not deleted; a publisher has one."""
    early_tags: int = 64
    """Tags between a publish request and its answer, for encoders which do not wait."""
    early_size: int = 2 << 20
    """The size of those tags: a first keyframe and a few frames."""

    def message_size(self, kind: int) -> int:
        """The largest body of a message of type `kind`."""
        match kind:
            case 8:
                return self.audio_size
            case 9 | 22:
                return self.video_size
            case 15 | 18:
                return self.data_size
            case _:
                return self.command_size

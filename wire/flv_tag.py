"""One FLV tag, which is also one RTMP audio, video or data message: both carry the same body bytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AUDIO", "SCRIPT", "VIDEO", "FlvTag"]

# Video File Format Specification v10, E.4.1: TagType; RTMP 1.0, 7.1 uses the same numbers as message type ids.
AUDIO = 8
VIDEO = 9
SCRIPT = 18


@dataclass(frozen=True, slots=True)
class FlvTag:
    """`kind` is AUDIO, VIDEO or SCRIPT. `timestamp` is milliseconds as on the wire, 0 <= timestamp < 2**32."""

    kind: int
    timestamp: int
    body: bytes

    def __repr__(self) -> str:
        name = {AUDIO: "audio", VIDEO: "video", SCRIPT: "script"}.get(self.kind, str(self.kind))
        return f"FlvTag({name} {self.timestamp} ms, {len(self.body)} bytes)"

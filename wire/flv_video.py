"""Bodies of FLV video tags and RTMP video messages: FLV 10.1 E.4.3 and Enhanced RTMP v2, "Enhanced Video".

Codecs are named h264, h265 and av1. H.264 is always written in the legacy form, the others with a FourCC.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.errors import Truncated, Unsupported
from wire.flv_enhanced import read_byte, read_fourcc, read_track, skip_modifiers

__all__ = [
    "VideoCommand",
    "VideoConfigRecord",
    "VideoEnd",
    "VideoEvent",
    "VideoFrame",
    "VideoMetadata",
    "encode_video_config",
    "encode_video_end",
    "encode_video_frame",
    "parse_video",
    "video_frame_header",
]

_KEY, _INTER, _DISPOSABLE, _GENERATED_KEY, _COMMAND = 1, 2, 3, 4, 5
_START, _FRAMES, _END, _FRAMES_X, _METADATA, _MULTITRACK = 0, 1, 2, 3, 4, 6
# E.4.3.1: CodecID; 12 is what encoders used for H.265 before there was a standard
_CODEC_IDS = {7: "h264", 12: "h265"}
_FOURCCS = {b"avc1": "h264", b"hvc1": "h265", b"av01": "av1"}
_FOURCC_OF = {codec: fourcc for fourcc, codec in _FOURCCS.items()}
_EX_HEADER = 0x80


@dataclass(frozen=True, slots=True)
class VideoConfigRecord:
    """A sequence start: avcC, hvcC or av1C."""

    codec: str
    record: bytes


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture: length-prefixed NAL units, or OBUs for AV1. `composition_ms` is pts - dts, signed 24 bits.

    `data` is empty in the placeholder tags of some encoders.
    """

    codec: str
    keyframe: bool
    disposable: bool
    composition_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class VideoEnd:
    """The end of a sequence."""

    codec: str


@dataclass(frozen=True, slots=True)
class VideoCommand:
    """0 starts a client-side seek, 1 ends it; nothing to a live stream."""

    code: int


@dataclass(frozen=True, slots=True)
class VideoMetadata:
    """Enhanced packet type 4: colour description as AMF, unread. Not for viewers, who may fail on it."""

    codec: str
    data: bytes


VideoEvent = VideoConfigRecord | VideoFrame | VideoEnd | VideoCommand | VideoMetadata


def parse_video(body: bytes) -> VideoEvent:
    """One body. Truncated, Malformed, LimitExceeded; Unsupported for other codecs and for further tracks."""
    first = read_byte(body, 0)
    if first & _EX_HEADER:
        return _parse_enhanced(body, first >> 4 & 7, first & 0x0F)
    frame_type, codec_id = first >> 4, first & 0x0F
    if frame_type == _COMMAND:
        return VideoCommand(read_byte(body, 1))
    if codec_id not in _CODEC_IDS:
        raise Unsupported(f"FLV video codec id {codec_id}")
    packet_type = read_byte(body, 1)
    # E.4.3.1: the composition time is there in every packet type, and means something in frames only
    payload = body[2:] if packet_type == _FRAMES else body[5:]
    return _packet(_CODEC_IDS[codec_id], frame_type, packet_type, payload)


def encode_video_config(codec: str, record: bytes, *, legacy_hevc: bool = False) -> bytes:
    """The body of a sequence start."""
    if codec == "h264" or (codec == "h265" and legacy_hevc):
        return bytes([_KEY << 4 | _legacy_id(codec), _START, 0, 0, 0]) + record
    return bytes([_EX_HEADER | _KEY << 4 | _START]) + _fourcc(codec) + record


def video_frame_header(
    codec: str, keyframe: bool, composition_ms: int = 0, *, disposable: bool = False, legacy_hevc: bool = False
) -> bytes:
    """What stands before a picture's data, for `encode_tag_parts`. OverflowError beyond signed 24 bits."""
    frame_type = _KEY if keyframe else _DISPOSABLE if disposable else _INTER
    if codec == "h264" or (codec == "h265" and legacy_hevc):
        head = bytes([frame_type << 4 | _legacy_id(codec), _FRAMES])
    else:
        head = bytes([_EX_HEADER | frame_type << 4 | _FRAMES]) + _fourcc(codec)
    return head if codec == "av1" else head + composition_ms.to_bytes(3, "big", signed=True)


def encode_video_frame(frame: VideoFrame, *, legacy_hevc: bool = False) -> bytes:
    """The body of a picture."""
    header = video_frame_header(
        frame.codec, frame.keyframe, frame.composition_ms, disposable=frame.disposable, legacy_hevc=legacy_hevc
    )
    return header + frame.data


def encode_video_end(codec: str, *, legacy_hevc: bool = False) -> bytes:
    """The body of a sequence end."""
    if codec == "h264" or (codec == "h265" and legacy_hevc):
        return bytes([_KEY << 4 | _legacy_id(codec), _END, 0, 0, 0])
    return bytes([_EX_HEADER | _KEY << 4 | _END]) + _fourcc(codec)


def _parse_enhanced(body: bytes, frame_type: int, packet_type: int) -> VideoEvent:
    packet_type, position = skip_modifiers(body, packet_type, 1)
    if frame_type == _COMMAND and packet_type != _METADATA:
        return VideoCommand(read_byte(body, position))
    if packet_type == _MULTITRACK:
        packet_type, fourcc, payload = read_track(body, position, _MULTITRACK)
    else:
        fourcc, payload = body[position : position + 4], body[position + 4 :]
    codec = read_fourcc(fourcc, _FOURCCS)
    if packet_type == _METADATA:
        return VideoMetadata(codec, payload)
    if packet_type == _FRAMES_X or (packet_type == _FRAMES and codec == "av1"):
        return _frame(codec, frame_type, 0, payload)
    return _packet(codec, frame_type, packet_type, payload)


def _packet(codec: str, frame_type: int, packet_type: int, payload: bytes) -> VideoEvent:
    if packet_type == _START:
        return VideoConfigRecord(codec, payload)
    if packet_type == _END:
        return VideoEnd(codec)
    if packet_type != _FRAMES:
        raise Unsupported(f"{codec} packet type {packet_type}")
    if len(payload) < 3:
        raise Truncated(f"{codec} frame of {len(payload)} bytes ends in its composition time")
    return _frame(codec, frame_type, int.from_bytes(payload[:3], "big", signed=True), payload[3:])


def _frame(codec: str, frame_type: int, composition_ms: int, data: bytes) -> VideoFrame:
    keyframe = frame_type in (_KEY, _GENERATED_KEY)
    return VideoFrame(codec, keyframe, frame_type == _DISPOSABLE, composition_ms, data)


def _legacy_id(codec: str) -> int:
    return 7 if codec == "h264" else 12


def _fourcc(codec: str) -> bytes:
    if codec not in _FOURCC_OF:
        raise Unsupported(f"FLV has no video codec {codec}")
    return _FOURCC_OF[codec]

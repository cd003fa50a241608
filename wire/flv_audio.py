"""Bodies of FLV audio tags and RTMP audio messages: FLV 10.1 E.4.2 and Enhanced RTMP v2, "Enhanced Audio".

Codecs are named aac, opus, mp3, speex, pcma and pcmu. Opus is written with a FourCC, all others in the legacy form.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.errors import Unsupported
from wire.flv_enhanced import read_byte, read_fourcc, read_track, skip_modifiers

__all__ = [
    "AudioConfigRecord",
    "AudioEnd",
    "AudioEvent",
    "AudioFrame",
    "AudioMultichannel",
    "AudioSilence",
    "audio_frame_header",
    "encode_audio_config",
    "encode_audio_end",
    "encode_audio_frame",
    "parse_audio",
]

_START, _FRAMES, _END, _MULTICHANNEL, _MULTITRACK = 0, 1, 2, 4, 5
# E.4.2.1: SoundFormat
_MP3, _PCMA, _PCMU, _EX_HEADER, _AAC, _SPEEX, _MP3_8K = 2, 7, 8, 9, 10, 11, 14
_FORMATS = {_MP3: "mp3", _PCMA: "pcma", _PCMU: "pcmu", _SPEEX: "speex", _MP3_8K: "mp3"}
# These formats have one rate whatever SoundRate says
_FIXED_RATES = {_PCMA: 8_000, _PCMU: 8_000, _SPEEX: 16_000, _MP3_8K: 8_000}
_SOUND_RATES = (5_512, 11_025, 22_050, 44_100)
_FOURCCS = {b"mp4a": "aac", b"Opus": "opus", b".mp3": "mp3"}
_AAC_BYTE = 0xAF  # E.4.2.1: AAC always says 44 kHz, 16 bits, stereo, and means nothing by it


@dataclass(frozen=True, slots=True)
class AudioConfigRecord:
    """A sequence start: an AudioSpecificConfig, or an OpusHead."""

    codec: str
    record: bytes


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One frame of sound, empty in the placeholders of some encoders.

    `sample_rate` and `channels` are the tag's word for codecs without a record, else None.
    """

    codec: str
    data: bytes
    sample_rate: int | None = None
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class AudioEnd:
    """The end of a sequence."""

    codec: str


@dataclass(frozen=True, slots=True)
class AudioMultichannel:
    """Enhanced packet type 4: how channels map to loudspeakers, unread."""

    codec: str
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioSilence:
    """A message of no bytes, which Enhanced RTMP defines as the start of silence."""


AudioEvent = AudioConfigRecord | AudioFrame | AudioEnd | AudioMultichannel | AudioSilence


def parse_audio(body: bytes) -> AudioEvent:
    """One body. Truncated, Malformed, LimitExceeded; Unsupported for other codecs and for further tracks."""
    if not body:
        return AudioSilence()
    sound_format = body[0] >> 4
    if sound_format == _EX_HEADER:
        return _parse_enhanced(body)
    if sound_format == _AAC:
        return AudioFrame("aac", body[2:]) if read_byte(body, 1) else AudioConfigRecord("aac", body[2:])
    if sound_format not in _FORMATS:
        raise Unsupported(f"FLV sound format {sound_format}")
    rate = _FIXED_RATES.get(sound_format, _SOUND_RATES[body[0] >> 2 & 3])
    channels = 1 if sound_format == _SPEEX else 1 + (body[0] & 1)
    return AudioFrame(_FORMATS[sound_format], body[1:], rate, channels)


def encode_audio_config(codec: str, record: bytes) -> bytes:
    """The body of a sequence start. Unsupported for codecs without one."""
    if codec == "aac":
        return bytes([_AAC_BYTE, _START]) + record
    if codec == "opus":
        return bytes([_EX_HEADER << 4 | _START]) + b"Opus" + record
    raise Unsupported(f"FLV has no sequence start for {codec}")


def audio_frame_header(codec: str, sample_rate: int | None = None, channels: int | None = None) -> bytes:
    """What stands before a frame's data, for `encode_tag_parts`; rate and channels matter to mp3, pcma and pcmu.

    MP3 at a rate that FLV cannot say (48 kHz) is marked 44 kHz: decoders read the MP3 frame's own header.
    """
    if codec == "aac":
        return bytes([_AAC_BYTE, _FRAMES])
    if codec == "opus":
        return bytes([_EX_HEADER << 4 | _FRAMES]) + b"Opus"
    stereo = channels == 2
    if codec == "mp3":
        sound_format = _MP3_8K if sample_rate == 8_000 else _MP3
        rate = _SOUND_RATES.index(sample_rate) if sample_rate in _SOUND_RATES else 3
        return bytes([sound_format << 4 | rate << 2 | 2 | stereo])
    if codec == "speex":
        return bytes([_SPEEX << 4 | 1 << 2 | 2])
    if codec in ("pcma", "pcmu"):
        return bytes([(_PCMA if codec == "pcma" else _PCMU) << 4 | 2 | stereo])
    raise Unsupported(f"FLV has no audio codec {codec}")


def encode_audio_frame(frame: AudioFrame) -> bytes:
    """The body of a frame."""
    return audio_frame_header(frame.codec, frame.sample_rate, frame.channels) + frame.data


def encode_audio_end(codec: str) -> bytes:
    """The body of a sequence end, which only the FourCC form has."""
    if codec != "opus":
        raise Unsupported(f"FLV has no sequence end for {codec}")
    return bytes([_EX_HEADER << 4 | _END]) + b"Opus"


def _parse_enhanced(body: bytes) -> AudioEvent:
    packet_type, position = skip_modifiers(body, body[0] & 0x0F, 1)
    if packet_type == _MULTITRACK:
        packet_type, fourcc, payload = read_track(body, position, _MULTITRACK)
    else:
        fourcc, payload = body[position : position + 4], body[position + 4 :]
    codec = read_fourcc(fourcc, _FOURCCS)
    if packet_type == _START:
        return AudioConfigRecord(codec, payload)
    if packet_type == _FRAMES:
        return AudioFrame(codec, payload)
    if packet_type == _END:
        return AudioEnd(codec)
    if packet_type == _MULTICHANNEL:
        return AudioMultichannel(codec, payload)
    raise Unsupported(f"{codec} packet type {packet_type}")

"""Access units to FLV tags, as viewers get them: times are the timeline's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from media.event import Event
from media.ticks import to_ms
from media.track import Codec, Track
from media.unit import AccessUnit
from wire import flv_audio, flv_video
from wire.amf0 import AmfValue
from wire.codecs.aac import AacConfig
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.nal import join_length_prefixed
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig
from wire.flv import encode_header, encode_tag_parts
from wire.flv_script import encode_script
from wire.flv_tag import AUDIO, SCRIPT, VIDEO

__all__ = ["FLV_WRAP_MS", "PLAIN", "FlvOptions", "config_tag", "event_tag", "prelude", "unit_tag", "wrap_of"]

FLV_WRAP_MS = 1 << 31
"""FLV time is signed 32 bits of milliseconds, and players read it so: it lasts 24.8 days."""
_LEGACY_IDS = {Codec.H264: 7, Codec.AAC: 10, Codec.MP3: 2, Codec.PCMA: 7, Codec.PCMU: 8, Codec.SPEEX: 11}
_FOURCCS = {Codec.H265: b"hvc1", Codec.AV1: b"av01", Codec.OPUS: b"Opus"}


@dataclass(frozen=True, slots=True)
class FlvOptions:
    """How to write what FLV can say in two ways. `legacy_hevc`: codec id 12 instead of Enhanced FLV's `hvc1`."""

    legacy_hevc: bool = False


PLAIN = FlvOptions()


def wrap_of(dts: int) -> int:
    """How often FLV time has wrapped at `dts` ticks."""
    return to_ms(dts) // FLV_WRAP_MS


def unit_tag(unit: AccessUnit, options: FlvOptions = PLAIN) -> bytes:
    """One picture or frame of sound as a whole tag."""
    ms = to_ms(unit.dts)
    codec = unit.track.codec
    if not unit.is_video:
        rate, channels = _rate_and_channels(unit.track)
        return encode_tag_parts(
            AUDIO, ms % FLV_WRAP_MS, flv_audio.audio_frame_header(codec, rate, channels), unit.parts[0]
        )
    header = flv_video.video_frame_header(
        codec, unit.keyframe, to_ms(unit.pts) - ms, legacy_hevc=options.legacy_hevc and codec is Codec.H265
    )
    payload = unit.parts[0] if codec is Codec.AV1 else join_length_prefixed(unit.parts)
    return encode_tag_parts(VIDEO, ms % FLV_WRAP_MS, header, payload)


def config_tag(track: Track, ms: int, options: FlvOptions = PLAIN) -> bytes:
    """The sequence header of a track at `ms` (unwrapped); empty for codecs that have none."""
    config = track.config
    if isinstance(config, H264Config):
        body = flv_video.encode_video_config(track.codec, config.to_avcc())
    elif isinstance(config, H265Config):
        body = flv_video.encode_video_config(track.codec, config.to_hvcc(), legacy_hevc=options.legacy_hevc)
    elif isinstance(config, AacConfig):
        body = flv_audio.encode_audio_config(track.codec, config.asc)
    elif isinstance(config, OpusConfig):
        body = flv_audio.encode_audio_config(track.codec, config.to_head())
    elif track.is_video:
        body = flv_video.encode_video_config(track.codec, config.record)
    else:
        return b""
    return encode_tag_parts(VIDEO if track.is_video else AUDIO, ms % FLV_WRAP_MS, body)


def prelude(
    video: Track | None,
    audio: Track | None,
    *,
    epoch: str,
    base_ms: int,
    frame_rate: float | None,
    options: FlvOptions = PLAIN,
) -> bytes:
    """Everything before the first media tag: header, `onMetaData`, `onTimeline`, sequence headers.

    `base_ms` is the unwrapped time of the first media tag that follows. The header promises only tracks that exist.
    `onMetaData` is at time 0 for whoever joins: at any other time FFmpeg takes it for the text of a subtitle.
    """
    timeline: dict[str, AmfValue] = {"epoch": epoch, "base_ms": float(base_ms)}
    metadata = _metadata(video, audio, frame_rate) | timeline
    return b"".join(
        [
            encode_header(audio is not None, video is not None),
            encode_tag_parts(SCRIPT, 0, encode_script("onMetaData", metadata)),
            encode_tag_parts(SCRIPT, base_ms % FLV_WRAP_MS, encode_script("onTimeline", timeline)),
            *(config_tag(track, base_ms, options) for track in (video, audio) if track is not None),
        ]
    )


def event_tag(event: Event, ms: int) -> bytes:
    """A commerce event as script tag `onEvent`, written at `ms`. Its own time is `t` in the body, in ticks."""
    body: dict[str, Any] = {
        "id": event.id,
        "epoch": event.epoch,
        "t": None if event.t is None else float(event.t),
        "seq": None if event.seq is None else float(event.seq),
        "kind": event.kind,
        "lane": str(event.lane),
        "ttl": None if event.ttl is None else float(event.ttl),
        "sender": event.sender,
        "body": event.body,
    }
    return encode_tag_parts(SCRIPT, ms % FLV_WRAP_MS, encode_script("onEvent", _amf(body)))


def _metadata(video: Track | None, audio: Track | None, frame_rate: float | None) -> dict[str, AmfValue]:
    values: dict[str, AmfValue] = {"server": "Streamer"}
    if video is not None:
        values["videocodecid"] = _codec_id(video.codec)
        if frame_rate is not None:
            values["framerate"] = frame_rate
        if isinstance(video.config, (H264Config, H265Config)):
            values["width"], values["height"] = float(video.config.width), float(video.config.height)
    if audio is not None:
        values["audiocodecid"] = _codec_id(audio.codec)
        rate, channels = _rate_and_channels(audio)
        values["audiosamplerate"] = float(rate or 0)
        values["stereo"] = channels == 2
    return values


def _amf(value: Any) -> AmfValue:
    """JSON as AMF0 has it: every number is a double, and half a surrogate pair, which JSON allows, becomes `?`."""
    if isinstance(value, Mapping):
        return {_text(str(name)): _amf(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_amf(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) <= sys.float_info.max:
        return float(value)
    return _text(str(value))


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _codec_id(codec: Codec) -> float:
    """The legacy number, or the FourCC as a number (Enhanced RTMP, "Metadata")."""
    return float(_LEGACY_IDS[codec]) if codec in _LEGACY_IDS else float(int.from_bytes(_FOURCCS[codec], "big"))


def _rate_and_channels(track: Track) -> tuple[int | None, int | None]:
    config = track.config
    if isinstance(config, (AacConfig, OpusConfig, OpaqueConfig)):
        return config.sample_rate, config.channels
    return None, None

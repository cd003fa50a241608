"""FLV tags to access units on the publisher's own clock: for RTMP and for whoever pulls FLV."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from media.stream import Kinds
from media.ticks import Ticks, from_ms
from media.timeline import MAX_COMPOSITION
from media.track import Codec, Track, VideoConfig
from media.unit import AccessUnit
from wire import flv_audio, flv_video
from wire.codecs import h264, h265
from wire.codecs.aac import AacConfig
from wire.codecs.nal import split_length_prefixed
from wire.codecs.opaque import OpaqueConfig
from wire.codecs.opus import OpusConfig
from wire.errors import Unsupported, WireError
from wire.flv_script import parse_script
from wire.flv_tag import AUDIO, VIDEO, FlvTag

__all__ = ["FlvDemuxer", "PublisherMetadata"]

MAX_FRAME_RATE = 1000.0
"""Above this a declared frame rate is nonsense."""
MAX_COMPOSITION_MS = MAX_COMPOSITION // 90
MAX_UNSUPPORTED = 100
"""Messages that nobody can use, before anything usable: over three seconds of pictures."""


@dataclass(frozen=True, slots=True)
class PublisherMetadata:
    """What `onMetaData` says: which kinds will come, and how many pictures a second."""

    kinds: Kinds
    frame_rate: float | None
    encoder: str | None


class FlvDemuxer:
    """One publisher's tags, in order. `read` raises WireError for a tag that breaks the format.

    `metadata` is None until the publisher sent any; `ignored` counts tags without media by what they were. Codecs and
    further tracks that are not supported are ignored too, `unsupported` being the first of them, unless the publisher
    sends nothing else.
    """

    def __init__(self) -> None:
        self.metadata: PublisherMetadata | None = None
        self.ignored: Counter[str] = Counter()
        self.unsupported: Unsupported | None = None
        self._last_ms: int | None = None
        self._video: Track | None = None
        self._nal_length_size = 4
        self._audio: Track | None = None

    def read(self, tag: FlvTag) -> AccessUnit | None:
        """The unit that the tag carries, None when it carries none."""
        if tag.kind == VIDEO:
            return self._read_video(tag)
        if tag.kind == AUDIO:
            return self._read_audio(tag)
        self._read_script(tag.body)
        return None

    def _unwrap(self, timestamp: int) -> int:
        """32-bit milliseconds continue past their wrap: the nearest value to the last one counts."""
        if self._last_ms is None:
            self._last_ms = timestamp
        self._last_ms += ((timestamp - self._last_ms + 2**31) & 0xFFFFFFFF) - 2**31
        return self._last_ms

    def _read_video(self, tag: FlvTag) -> AccessUnit | None:
        try:
            event = flv_video.parse_video(tag.body)
        except Unsupported as exc:
            self._ignore_unsupported(exc)
            return None
        if isinstance(event, flv_video.VideoConfigRecord):
            self._configure_video(event)
            return None
        if not isinstance(event, flv_video.VideoFrame):
            self.ignored[type(event).__name__] += 1
            return None
        if abs(event.composition_ms) > MAX_COMPOSITION_MS:
            self.ignored["composition time"] += 1
            return None
        dts = from_ms(self._unwrap(tag.timestamp))
        parts, keyframe = self._picture(event)
        if not parts or self._video is None or self._video.codec != event.codec:
            self.ignored["video without configuration" if parts else "empty video"] += 1
            return None
        return AccessUnit(self._video, dts, Ticks(dts + from_ms(event.composition_ms)), keyframe, parts)

    def _ignore_unsupported(self, exc: Unsupported) -> None:
        self.ignored["unsupported"] += 1
        self.unsupported = self.unsupported or exc
        if self._last_ms is None and self.ignored["unsupported"] > MAX_UNSUPPORTED:
            raise exc

    def _configure_video(self, event: flv_video.VideoConfigRecord) -> None:
        config: VideoConfig
        if event.codec == Codec.H264:
            config, self._nal_length_size = h264.H264Config.from_avcc(event.record)
        elif event.codec == Codec.H265:
            config, self._nal_length_size = h265.H265Config.from_hvcc(event.record)
        else:
            config = OpaqueConfig(event.record)
        self._use_video(Codec(event.codec), config)

    def _use_video(self, codec: Codec, config: VideoConfig) -> None:
        """The same configuration again is the same track."""
        if self._video is None or self._video.codec is not codec or self._video.config != config:
            self._video = Track(codec, config)

    def _picture(self, event: flv_video.VideoFrame) -> tuple[tuple[bytes, ...], bool]:
        if event.codec == Codec.AV1:
            return ((event.data,) if event.data else ()), event.keyframe
        nals = split_length_prefixed(event.data, self._nal_length_size)
        self._use_parameter_sets(event.codec, nals)
        if event.codec == Codec.H265:
            return h265.strip(nals), h265.is_keyframe(nals)
        parts = h264.strip(nals)
        return parts, h264.is_keyframe(parts) or (event.keyframe and _is_intra(parts))

    def _use_parameter_sets(self, codec: str, nals: list[bytes]) -> None:
        """Encoders may change resolution with parameter sets inside the stream only."""
        current = self._video.config if self._video is not None and self._video.codec == codec else None
        if codec == Codec.H265:
            h265_sets = h265.parameter_sets(nals, current if isinstance(current, h265.H265Config) else None)
            if h265_sets is not None:
                self._use_video(Codec.H265, h265_sets)
            return
        h264_sets = h264.parameter_sets(nals, current if isinstance(current, h264.H264Config) else None)
        if h264_sets is not None:
            self._use_video(Codec.H264, h264_sets)

    def _read_audio(self, tag: FlvTag) -> AccessUnit | None:
        try:
            event = flv_audio.parse_audio(tag.body)
        except Unsupported as exc:
            self._ignore_unsupported(exc)
            return None
        if isinstance(event, flv_audio.AudioConfigRecord):
            self._configure_audio(event)
            return None
        if not isinstance(event, flv_audio.AudioFrame) or not event.data:
            self.ignored["empty audio" if isinstance(event, flv_audio.AudioFrame) else type(event).__name__] += 1
            return None
        if event.sample_rate is not None:
            self._use_audio(Codec(event.codec), OpaqueConfig(b"", event.sample_rate, event.channels))
        if self._audio is None or self._audio.codec != event.codec:
            self.ignored["audio without configuration"] += 1
            return None
        dts = from_ms(self._unwrap(tag.timestamp))
        return AccessUnit(self._audio, dts, dts, True, (event.data,))

    def _configure_audio(self, event: flv_audio.AudioConfigRecord) -> None:
        if not event.record:
            self.ignored["empty audio configuration"] += 1
            return
        read: Callable[[bytes], AacConfig | OpusConfig] = (
            AacConfig if event.codec == Codec.AAC else OpusConfig.from_head
        )
        self._use_audio(Codec(event.codec), read(event.record))

    def _use_audio(self, codec: Codec, config: AacConfig | OpusConfig | OpaqueConfig) -> None:
        if self._audio is None or self._audio.codec is not codec or self._audio.config != config:
            self._audio = Track(codec, config)

    def _read_script(self, body: bytes) -> None:
        script = parse_script(body)
        values = script.values[0] if script.values else None
        if script.name == "onMetaData" and isinstance(values, Mapping):
            self.metadata = _metadata(values)
        else:
            self.ignored["script"] += 1


def _is_intra(parts: tuple[bytes, ...]) -> bool:
    """Some keyframes are no IDR pictures and only the tag says so: it is believed if the slice agrees."""
    for part in parts:
        try:
            kind = h264.slice_type(part)
        except WireError:
            return False
        if kind is not None:
            return kind in ("I", "SI")
    return False


def _metadata(values: Mapping[str, Any]) -> PublisherMetadata:
    says_video, says_audio = "videocodecid" in values, "audiocodecid" in values
    kinds = Kinds(video=says_video, audio=says_audio) if says_video or says_audio else Kinds()
    rate = values.get("framerate", values.get("videoframerate"))
    is_rate = isinstance(rate, (int, float)) and math.isfinite(rate) and 0 < rate <= MAX_FRAME_RATE
    encoder = values.get("encoder")
    return PublisherMetadata(kinds, float(rate) if is_rate else None, encoder if isinstance(encoder, str) else None)

"""Packets in order to units on their own RTP clock: whole pictures that can be decoded, and sounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from ingest.decode_times import DecodeTimes
from ingest.whip_offer import Incoming
from media.track import Codec, Track
from wire.codecs import h264, h265, opus
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.codecs.opus import OpusConfig
from wire.errors import WireError
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.h265 import H265Depacketiser
from wire.rtp.reorder import InOrder
from wire.rtp.sequence import Unwrapper

__all__ = ["AudioUnits", "RawUnit", "UnitMaker", "VideoUnits", "make_units"]

DEFAULT_STEP = 3000
"""Ticks between pictures of which nothing is known: 30 a second."""
VIDEO_RATE = 90_000
OPUS_CHANNELS = 2
"""RFC 7587, 4.1: whatever is inside, it decodes to two."""


@dataclass(frozen=True, slots=True)
class RawUnit:
    """`time` and `shown` are decoding and presentation time in units of the RTP clock, unwrapped."""

    track: Track
    time: int
    shown: int
    keyframe: bool
    parts: tuple[bytes, ...]


class UnitMaker(Protocol):
    """Of one SSRC. `wants_keyframe`: what comes cannot be decoded until a keyframe does."""

    dropped: Counter[str]
    wants_keyframe: bool

    def receive(self, item: InOrder) -> list[RawUnit]:
        """Take the next packet. Never raises."""


def make_units(incoming: Incoming) -> UnitMaker:
    return VideoUnits(incoming.codec, incoming.initial) if incoming.is_video else AudioUnits()


class VideoUnits:
    """After a loss nothing passes until the next whole keyframe: a broken picture never reaches a viewer."""

    def __init__(self, codec: Codec, initial: H264Config | None = None) -> None:
        self.dropped: Counter[str] = Counter()
        self.wants_keyframe = False
        self._codec = codec
        self._assembler = AccessUnitAssembler(H264Depacketiser() if codec is Codec.H264 else H265Depacketiser())
        self._damaged = 0
        self._is_broken = True  # the first packets may be the middle of a picture
        self._track = None if initial is None else Track(codec, initial)
        self._times = DecodeTimes()

    def __repr__(self) -> str:
        return f"<VideoUnits {self._codec} wants_keyframe={self.wants_keyframe} dropped={dict(self.dropped)}>"

    def receive(self, item: InOrder) -> list[RawUnit]:
        pictures = self._assembler.receive(item)
        if item.after_gap or self._assembler.damaged != self._damaged:
            self._damaged = self._assembler.damaged
            self._is_broken = self.wants_keyframe = True
        return [unit for picture in pictures if (unit := self._unit(picture)) is not None]

    def _unit(self, picture: RtpUnit) -> RawUnit | None:
        self._is_broken = self._is_broken or picture.after_loss
        try:
            self._use_parameter_sets(picture.nals)
            keyframe = self._is_keyframe(picture.nals)
        except WireError:
            self._is_broken = True
            self._drop("unreadable")
            return None
        parts = h264.strip(picture.nals) if self._codec is Codec.H264 else h265.strip(picture.nals)
        if not parts:
            return None  # parameter sets with a time of their own
        track = self._track
        if track is None:
            self._drop("without parameter sets")
            return None
        if self._is_broken and not (keyframe and _begins_whole(self._codec, parts)):
            self._drop("after loss")
            return None
        self._is_broken = self.wants_keyframe = False
        return RawUnit(track, self._times.dts(picture.rtp_time), picture.rtp_time, keyframe, parts)

    def _drop(self, why: str) -> None:
        self.dropped[why] += 1
        self.wants_keyframe = True

    def _use_parameter_sets(self, nals: tuple[bytes, ...]) -> None:
        """Encoders change their resolution with parameter sets inside the stream."""
        current = self._track.config if self._track is not None else None
        found: H264Config | H265Config | None
        if self._codec is Codec.H264:
            found = h264.parameter_sets(nals, current if isinstance(current, H264Config) else None)
        else:
            found = h265.parameter_sets(nals, current if isinstance(current, H265Config) else None)
        if found is not None and found != current:
            self._track = Track(self._codec, found)
            depth, step = _reordering(found)
            self._times.begin(depth, step=step)

    def _is_keyframe(self, nals: tuple[bytes, ...]) -> bool:
        return h264.is_keyframe(nals) if self._codec is Codec.H264 else h265.is_keyframe(nals)


class AudioUnits:
    """Each packet is one unit. A lost one is a hole that players conceal."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.wants_keyframe = False
        self._unwrap = Unwrapper(32)
        # there is no pre-skip in RTP: what is sent is to be heard (RFC 7587)
        self._track = Track(Codec.OPUS, OpusConfig(OPUS_CHANNELS, pre_skip=0))

    def receive(self, item: InOrder) -> list[RawUnit]:
        packet = item.packet
        if not packet.payload:
            return []  # padding
        try:
            opus.packet_samples(packet.payload)
        except WireError:
            self.dropped["unreadable"] += 1
            return []
        time = self._unwrap(packet.timestamp)
        return [RawUnit(self._track, time, time, True, (packet.payload,))]


def _begins_whole(codec: Codec, parts: tuple[bytes, ...]) -> bool:
    """Whether the first slice is the first of its picture: the start of the very first picture may be missing."""
    for part in parts:
        if codec is Codec.H265 and len(part) > 2 and part[0] >> 1 & 0x3F < 32:
            return part[2] & 0x80 != 0  # H.265, 7.3.6.1: first_slice_segment_in_pic_flag
        if codec is Codec.H264 and len(part) > 1 and 1 <= part[0] & 0x1F <= 5:
            return part[1] & 0x80 != 0  # H.264, 7.3.3: first_mb_in_slice is 0, which is the single bit 1
    return False


def _reordering(config: H264Config | H265Config) -> tuple[int, int]:
    """How many pictures may come before one that is shown earlier, and the ticks between pictures."""
    depth = config.reorder_depth if isinstance(config, H265Config) else config.declared_reorder_depth or 0
    rate = config.frame_rate
    return depth, round(VIDEO_RATE / rate) if rate else DEFAULT_STEP

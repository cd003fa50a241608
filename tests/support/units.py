"""Access units and clocks for tests."""

from __future__ import annotations

from media.ticks import Ticks
from media.track import SOURCE, Codec, Track
from media.unit import AccessUnit
from wire.codecs.aac import AacConfig
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config

SPS = bytes.fromhex("6742c01fda014016ec0440000003004000000f03c60ca8")
PPS = bytes.fromhex("68ce0fc8")
HEVC_SETS = tuple(
    map(
        bytes.fromhex,
        (
            "40010c01ffff",
            "420101016000000300b0000003000003005da00280802d16595e4936bc05080000030020000003002000000641",
            "4401c172b4",
        ),
    )
)


def video_track(codec: Codec = Codec.H264, rendition: str = SOURCE) -> Track:
    return Track(codec, H264Config((SPS,), (PPS,)), rendition)


def audio_track(codec: Codec = Codec.AAC, rendition: str = SOURCE) -> Track:
    return Track(codec, AacConfig(bytes.fromhex("1190")), rendition)


def hevc_track() -> Track:
    vps, sps, pps = HEVC_SETS
    return Track(Codec.H265, H265Config((vps,), (sps,), (pps,)))


VIDEO = video_track()
AUDIO = audio_track()


def picture(dts: int, *, key: bool = False, composition: int = 0, track: Track = VIDEO, size: int = 100) -> AccessUnit:
    """A picture at `dts` ticks."""
    nal = (b"\x65" if key else b"\x41") + bytes(size - 1)
    return AccessUnit(track, Ticks(dts), Ticks(dts + composition), key, (nal,))


def sound(dts: int, *, track: Track = AUDIO, size: int = 20) -> AccessUnit:
    """A frame of sound at `dts` ticks."""
    return AccessUnit(track, Ticks(dts), Ticks(dts), True, (bytes(size),))


class FakeClock:
    """Time that moves only when a test moves it."""

    def __init__(self, start: float = 1_000.0) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time + 1_700_000_000.0

    def advance(self, seconds: float) -> None:
        self.time += seconds

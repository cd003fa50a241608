"""A ladder without a worker: a coded source, and rungs that a real encoder makes of the same raw pictures.

Every picture carries its number as the time of its bar code, so that what a viewer decodes says which pictures came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from av.video.frame import PictureType

from bench import barcode
from media.event import Event
from media.publisher import Publisher
from media.reasons import RUNG_SHED, Reason
from media.rung import Rendition
from media.stream import Kinds, Stream
from media.ticks import TICKS_PER_SECOND, Ticks
from media.track import SOURCE, Codec, Track
from media.unit import AccessUnit
from tests.support.encoded import audio_flv
from tests.support.film import SOUND, units_of
from tests.support.picture import split_annex_b
from wire.codecs.h264 import H264Config

__all__ = ["FPS", "FRAME", "LOW", "LOWEST", "Ladder", "RungEncoder", "SourceFilm", "raw_picture", "rung"]

FPS = 25
FRAME = TICKS_PER_SECOND // FPS
NUMBER = 7
"""The publisher's, in the bar code."""
_SPS, _PPS, _DELIMITER, _FILLER = 7, 8, 9, 12


def rung(name: str, width: int, height: int, bitrate: int, *, is_made: bool = False) -> Rendition:
    """As `could_encode` lists it."""
    return Rendition(name, Codec.H264, "avc1.42c00d", width, height, float(FPS), bitrate, is_made, cost=0.1)


LOW = rung("180p", 320, 180, 250_000)
LOWEST = rung("90p", 160, 90, 80_000)


@cache
def _texture(width: int, height: int, grain: int) -> np.ndarray:
    rng = np.random.default_rng(width)
    return rng.integers(60, 60 + max(1, grain), (height, width * 2), dtype=np.uint8)


@cache
def _flicker(width: int, height: int, grain: int, turn: int) -> np.ndarray:
    rng = np.random.default_rng(turn + 1)
    return rng.integers(0, max(1, grain), (height, width), dtype=np.uint8)


def raw_picture(number: int, width: int, height: int, *, grain: int = 8) -> av.VideoFrame:
    """Picture `number`: a texture that moves and flickers, and the code. More `grain` takes more bits."""
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    shift = number * 3 % width
    planes[:height] = _texture(width, height, grain)[:, shift : shift + width]
    if grain > 8:
        planes[:height] += _flicker(width, height, grain, number % 7)
    barcode.draw(planes[:height], NUMBER, number)
    return av.VideoFrame.from_ndarray(planes, "yuv420p")


def _h264(picture: bytes) -> tuple[list[bytes], list[bytes], tuple[bytes, ...]]:
    nals = split_annex_b(picture)
    sps = [nal for nal in nals if nal[0] & 31 == _SPS]
    pps = [nal for nal in nals if nal[0] & 31 == _PPS]
    return sps, pps, tuple(n for n in nals if n[0] & 31 not in (_SPS, _PPS, _DELIMITER, _FILLER, 6))


class RungEncoder:
    """One rung: `encode(number, t, force)` gives its unit, with dts = t - `delay`."""

    def __init__(self, rendition: Rendition, delay: int, *, grain: int = 8, profile: str = "baseline") -> None:
        self.rendition = rendition
        self.delay = delay
        self.track: Track | None = None
        self._grain = grain
        self._codec = av.CodecContext.create("libx264", "w")
        self._codec.width, self._codec.height, self._codec.pix_fmt = rendition.width, rendition.height, "yuv420p"
        self._codec.framerate = FPS
        self._codec.bit_rate = rendition.bitrate or 100_000
        params = f"keyint=100000:scenecut=0:vbv-maxrate={(rendition.bitrate or 100_000) // 1000}"
        params += f":vbv-bufsize={(rendition.bitrate or 100_000) // 2000}"
        self._codec.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": profile,
            "forced-idr": "1",
            "x264-params": params,
        }

    def encode(self, number: int, t: int, *, force: bool) -> AccessUnit:
        frame = raw_picture(number, self.rendition.width, self.rendition.height, grain=self._grain)
        frame.pts = number
        frame.pict_type = PictureType.I if force else PictureType.NONE
        (packet,) = self._codec.encode(frame)
        sps, pps, nals = _h264(bytes(packet))
        if sps and self.track is None:
            self.track = Track(Codec.H264, H264Config(tuple(sps), tuple(pps)), self.rendition.name)
        assert self.track is not None
        return AccessUnit(self.track, Ticks(t - self.delay), Ticks(t), bool(packet.is_keyframe), nals)


@dataclass(frozen=True, slots=True)
class _Coded:
    number: int
    dts: int
    keyframe: bool
    nals: tuple[bytes, ...]


class SourceFilm:
    """A source of `pictures` pictures, coded beforehand: own times from `START` on, in decoding order.

    `bframes` makes the decoding order another one than that of showing.
    """

    START = 10 * FRAME

    def __init__(
        self,
        pictures: int,
        *,
        size: tuple[int, int] = (640, 360),
        gop: int = 50,
        bframes: int = 0,
        bitrate: int = 1_000_000,
        profile: str = "high",
        grain: int = 8,
    ) -> None:
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt, codec.framerate = *size, "yuv420p", FPS
        codec.bit_rate = bitrate
        params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0:open-gop=0"
        params += f":vbv-maxrate={bitrate // 1000}:vbv-bufsize={bitrate // 2000}"
        codec.options = {"preset": "ultrafast", "profile": profile, "x264-params": params, "tune": "fastdecode"}
        packets = []
        for number in range(pictures):
            frame = raw_picture(number, *size, grain=grain)
            frame.pts = number
            packets += codec.encode(frame)
        packets += codec.encode(None)
        self.coded: list[_Coded] = []
        config: H264Config | None = None
        for packet in packets:
            sps, pps, nals = _h264(bytes(packet))
            if sps and config is None:
                config = H264Config(tuple(sps), tuple(pps))
            assert packet.pts is not None
            assert packet.dts is not None
            self.coded.append(_Coded(packet.pts, packet.dts, bool(packet.is_keyframe), nals))
        assert config is not None
        self.track = Track(Codec.H264, config)
        self.delay = max(0, -self.coded[0].dts) * FRAME
        self.sounds = units_of(audio_flv("aac", 48_000, "stereo"))

    def units(self, *, sound: bool = True) -> Iterator[list[AccessUnit]]:
        """Picture by picture, each with the sound that comes before it."""
        heard = 0
        for coded in self.coded:
            dts = self.START + coded.dts * FRAME
            units = []
            while sound and self.START - self.delay + heard * SOUND <= dts:
                at = Ticks(self.START - self.delay + heard * SOUND)
                frame = self.sounds[heard % len(self.sounds)]
                units.append(AccessUnit(frame.track, at, at, True, frame.parts))
                heard += 1
            pts = Ticks(self.START + coded.number * FRAME)
            units.append(AccessUnit(self.track, Ticks(dts), pts, coded.keyframe, coded.nals))
            yield units


class Ladder:
    """Stands for the worker: publishes the rungs that readers want, `lag` source pictures behind the source.

    `step()` publishes the next source picture, and what of the rungs is due. A keyframe that is asked for is the first
    picture that comes after; `is_hasty`: the first one that is encoded after, `is_deaf`: none.
    """

    def __init__(
        self,
        publisher: Publisher,
        film: SourceFilm,
        rungs: Sequence[Rendition] = (LOW, LOWEST),
        *,
        lag: int = 2,
        grain: int = 8,
        keyint: int = 1000,
        sound: bool = True,
    ) -> None:
        self.publisher = publisher
        self.stream: Stream = publisher.stream
        self.film = film
        self.rungs = {rendition.name: rendition for rendition in rungs}
        self.offered = list(self.rungs)
        self.lag = lag
        self.sent = 0
        self.asked = 0
        self.is_deaf = False
        self.is_hasty = False
        self.is_dead = False
        self._grain = grain
        self._keyint = keyint
        self._units = film.units(sound=sound)
        self._encoders: dict[str, RungEncoder] = {}
        self._pending: deque[tuple[int, int, bool]] = deque()  # number, t, keyframe of the source
        self._recent: list[tuple[int, int, bool]] = []
        self._force_after: int | None = None
        self._since_key = 0
        self._offset = 0
        publisher.expect(Kinds(video=True, audio=sound), frame_rate=float(FPS))
        self.stream.could_encode = self._could_encode
        self.stream.on_demand = lambda stream: None
        self.stream.on_rung_keyframe_wanted = self._want_keyframe
        self._heard_t: dict[int, int] = {}
        self.stream.attach(self, video=SOURCE, audio=None)

    @property
    def wanted(self) -> set[str]:
        return set(self.stream.unmet_video) & set(self.offered)

    def step(self, count: int = 1) -> None:
        """So many source pictures on."""
        for _ in range(count):
            for unit in next(self._units):
                self.publisher.publish(unit)
            self.sent += 1
            self._run_rungs()

    def shed(self, name: str, reason: Reason = RUNG_SHED) -> None:
        self.offered.remove(name)
        self._encoders.pop(name, None)
        self.stream.withdraw_rung(name, reason)

    def offer(self, name: str) -> None:
        """Again, in its old place."""
        self.offered = [n for n in self.rungs if n in self.offered or n == name]

    def push(self, unit: AccessUnit) -> None:
        """Reader."""
        if unit.is_video:
            number = (unit.pts - self._origin(unit)) // FRAME
            entry = (number, unit.pts, unit.keyframe)
            if unit.keyframe:
                self._recent = []
            self._recent.append(entry)
            self._pending.append(entry)

    def on_event(self, event: Event) -> None:
        """Reader."""

    def end(self, reason: Reason) -> None:
        """Reader."""

    def _origin(self, unit: AccessUnit) -> int:
        if not self._offset:
            self._offset = unit.pts - self.film.coded[0].number * FRAME or 1
        return self._offset if self._offset != 1 else 0

    def _run_rungs(self) -> None:
        if self.is_dead:
            return
        for name in set(self._encoders) - self.wanted:
            del self._encoders[name]
        cold = self.wanted - set(self._encoders)
        ready = sorted(self._pending, key=lambda entry: entry[1])
        # a decoder holds pictures back that could still be overtaken
        depth = self.lag + self.film.delay // FRAME
        due = ready[: max(0, len(ready) - depth)]
        if cold:
            past = sorted((e for e in self._recent if due and e[1] < due[0][1]), key=lambda entry: entry[1])
            for name in cold:
                self._encoders[name] = RungEncoder(self.rungs[name], self.film.delay, grain=self._grain)
            for entry in past:
                self._encode(entry, cold, force=entry is past[0])
            first_is_key = not past
        else:
            first_is_key = False
        for entry in due:
            self._pending.remove(entry)
            self._since_key += 1
            is_asked = self._force_after is not None and entry[1] > self._force_after
            force = is_asked or entry[2] or first_is_key or self._since_key >= self._keyint
            first_is_key = False
            if is_asked:
                self._force_after = None
            if force:
                self._since_key = 0
            self._encode(entry, set(self._encoders), force=force)

    def _encode(self, entry: tuple[int, int, bool], names: set[str], *, force: bool) -> None:
        for name in [n for n in self.rungs if n in names]:
            self.stream.deliver(self._encoders[name].encode(entry[0], entry[1], force=force))

    def _could_encode(self) -> tuple[Rendition, ...]:
        return tuple(self.rungs[name] for name in self.offered)

    def _want_keyframe(self) -> None:
        self.asked += 1
        if not self.is_deaf:
            self._force_after = -1 if self.is_hasty else self.stream.live_edge

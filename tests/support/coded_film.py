"""A film with a bar code in each picture, encoded with B-frames, and what a decoder sees of a rung of it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache

import av
import numpy as np

from bench import barcode
from media.ticks import TICKS_PER_SECOND, Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from wire.codecs.h264 import H264Config
from wire.codecs.nal import join_length_prefixed

__all__ = ["FPS", "STEP", "coded_film", "shown"]

FPS = 25
STEP = TICKS_PER_SECOND // FPS
NUMBER = 7


def _picture(width: int, height: int, index: int) -> av.VideoFrame:
    """Something that moves, with its time in milliseconds below."""
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    columns = np.arange(width, dtype=np.uint16)[None, :]
    planes[:height] = 60 + (columns + 5 * index) % 120
    barcode.draw(planes[:height], NUMBER, index * 1000 // FPS)
    frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
    frame.pts, frame.time_base = index, Fraction(1, FPS)
    return frame


@cache
def coded_film(
    seconds: int, *, size: tuple[int, int] = (640, 360), group: int = 50, bframes: int = 2
) -> tuple[AccessUnit, ...]:
    """From dts 0 on, so a picture's pts is its code plus the decode delay."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    params = (
        f"keyint={group}:min-keyint={group}:scenecut=0:bframes={bframes}:b-adapt=0:rc-lookahead=10:repeat-headers=0"
    )
    encoder.options = {"preset": "superfast", "crf": "26", "x264-params": params}
    encoder.flags |= 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: avcC instead of sets in the pictures
    encoder.open()
    packets = [p for index in range(seconds * FPS) for p in encoder.encode(_picture(*size, index))]
    packets += encoder.encode(None)
    config = H264Config(*_sets(bytes(encoder.extradata or b"")))
    track = Track(Codec.H264, config)
    first = packets[0].dts
    return tuple(_unit(track, packet, first) for packet in packets)


def _sets(annex_b: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    nals = [nal.rstrip(b"\0") for nal in annex_b.split(b"\0\0\1") if nal.strip(b"\0")]
    return tuple(n for n in nals if n[0] & 31 == 7), tuple(n for n in nals if n[0] & 31 == 8)


def _unit(track: Track, packet: av.Packet, first: int) -> AccessUnit:
    nals = [nal.removesuffix(b"\0") for nal in bytes(packet).split(b"\0\0\1") if nal.strip(b"\0")]
    parts = tuple(nal for nal in nals if nal[0] & 31 in (1, 5))
    dts, pts = (packet.dts - first) * STEP, (packet.pts - first) * STEP
    return AccessUnit(track, Ticks(dts), Ticks(pts), packet.is_keyframe, parts)


def shown(units: Iterable[AccessUnit]) -> list[tuple[int, int | None]]:
    """Each decoded picture: (its pts in ticks, the milliseconds of its code, None where it cannot be read)."""
    units = list(units)
    found: list[tuple[int, int | None]] = []
    context: av.VideoCodecContext | None = None
    track: Track | None = None
    for unit in units:
        if unit.track is not track:
            found += _read(context, None)
            track, context = (
                unit.track,
                av.CodecContext.create("h264" if unit.track.codec is Codec.H264 else "hevc", "r"),
            )
            config = unit.track.config
            context.extradata = config.to_avcc() if isinstance(config, H264Config) else config.to_hvcc()
        packet = av.Packet(join_length_prefixed(unit.parts))
        packet.pts, packet.dts, packet.time_base = unit.pts, unit.dts, Fraction(1, TICKS_PER_SECOND)
        found += _read(context, packet)
    return found + _read(context, None)


def _read(context: av.VideoCodecContext | None, packet: av.Packet | None) -> list[tuple[int, int | None]]:
    found: list[tuple[int, int | None]] = []
    for frame in context.decode(packet) if context is not None else ():
        code = barcode.read(frame.to_ndarray()[: frame.height])
        found.append((frame.pts, code[1] if code and code[0] == NUMBER else None))
    return found

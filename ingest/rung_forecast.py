"""What a rung will look like to viewers, said before it is made."""

from __future__ import annotations

from ingest.picture_size import rung_size
from media.rung import Rendition, Rung
from media.track import Codec, Track
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config

__all__ = ["forecast"]

# H.264, table A-1: level (times ten), macroblocks a second, macroblocks of a picture, bits a second in units of 1,000
_H264_LEVELS = (
    (10, 1_485, 99, 64), (11, 3_000, 396, 192), (12, 6_000, 396, 384), (13, 11_880, 396, 768), (20, 11_880, 396, 2_000),
    (21, 19_800, 792, 4_000), (22, 20_250, 1_620, 4_000), (30, 40_500, 1_620, 10_000), (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000), (40, 245_760, 8_192, 20_000), (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000), (51, 983_040, 36_864, 240_000), (52, 2_073_600, 36_864, 240_000),
)  # fmt: skip
# H.265, tables A.8 and A.9, main tier: level (times thirty), samples a second, samples of a picture, bits in 1,000
_H265_LEVELS = (
    (30, 552_960, 36_864, 128), (60, 3_686_400, 122_880, 1_500), (63, 7_372_800, 245_760, 3_000),
    (90, 16_588_800, 552_960, 6_000), (93, 33_177_600, 983_040, 10_000), (120, 66_846_720, 2_228_224, 12_000),
    (123, 133_693_440, 2_228_224, 20_000), (150, 267_386_880, 8_912_896, 25_000), (153, 534_773_760, 8_912_896, 40_000),
    (156, 1_069_547_520, 8_912_896, 60_000),
)  # fmt: skip
_H264_PROFILES = {"baseline": "42c0", "main": "4d40", "high": "6400"}
USUAL_RATE = 30.0
"""Pictures a second of a source that has not shown its own yet."""


def forecast(
    rung: Rung, source: Track, made: Track | None, *, frame_rate: float | None, cost: float | None
) -> Rendition | None:
    """The rung of this source. `made` is its track where it is being made; `frame_rate` the source's, None if unknown.

    None for a source whose size nobody knows.
    """
    if not isinstance(source.config, H264Config | H265Config):
        return None
    width, height = rung_size(source.config.width, source.config.height, rung.height)
    rates = [rate for rate in (rung.frame_rate, frame_rate) if rate]
    rate = min(rates) if rates else None
    codec_string = _codec_string(rung, width, height, rate or USUAL_RATE)
    if made is not None and isinstance(made.config, H264Config | H265Config):
        width, height, codec_string = made.config.width, made.config.height, made.config.codec_string
    return Rendition(
        *(rung.name, rung.codec, codec_string, width, height, rate, rung.bitrate),
        is_made=made is not None,
        cost=cost,
    )


def _codec_string(rung: Rung, width: int, height: int, rate: float) -> str:
    """RFC 6381, 3.3, and ISO/IEC 14496-15, annex E.3, for what the encoder will choose."""
    if rung.codec is Codec.H265:
        level = _level(_H265_LEVELS, width * height, rate, rung.bitrate)
        return f"hvc1.1.6.L{level}.90"
    blocks = -(-width // 16) * -(-height // 16)
    return f"avc1.{_H264_PROFILES.get(rung.profile, '6400')}{_level(_H264_LEVELS, blocks, rate, rung.bitrate):02x}"


def _level(levels: tuple[tuple[int, int, int, int], ...], size: int, rate: float, bitrate: int) -> int:
    """The lowest that carries it, or the highest there is."""
    for level, per_second, per_picture, kilobits in levels:
        if size <= per_picture and size * rate <= per_second and bitrate <= kilobits * 1_000:
            return level
    return levels[-1][0]

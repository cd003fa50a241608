"""The H.265 sequence parameter set (7.3.2.2), profile_tier_level (7.3.3) and the timing in its VUI (E.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from wire.bits import BitReader
from wire.codecs.nal import unescape
from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = ["ProfileTierLevel", "Sps", "parse_sps"]

MAX_DIMENSION = 16_384
"""Pixels per side, as for H.264; level 6.2 allows 16,888 (A.4.1)."""
MAX_DELTA_POCS = 16
"""Pictures in one reference picture set: at most sps_max_dec_pic_buffering_minus1, which is below 16 (7.4.8)."""


@dataclass(frozen=True, slots=True)
class ProfileTierLevel:
    """The general profile, tier and level. `compatibility` has 32 bits and `constraints` 48, first flag highest."""

    space: int
    tier: int
    profile_idc: int
    compatibility: int
    constraints: int
    level_idc: int


@dataclass(frozen=True, slots=True)
class Sps:
    """What the SPS says; sizes are in pixels after the conformance window."""

    id: int
    profile: ProfileTierLevel
    sub_layers: int
    temporal_id_nesting: bool
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    height: int
    reorder_depth: int
    interlaced: bool
    frame_rate: Fraction | None


def parse_sps(nal: bytes) -> Sps:
    """An SPS NAL unit with its two header bytes. Truncated, Malformed, LimitExceeded.

    What follows the picture's layout counts as absent when it ends early: only timing is read from there.
    """
    if len(nal) < 3 or (nal[0] >> 1) & 0x3F != 33:
        raise Malformed(f"not an H.265 SPS: {nal[:3].hex()} in {len(nal)} bytes")
    bits = BitReader(unescape(nal[2:]))
    bits.skip(4)  # sps_video_parameter_set_id
    sub_layers = _at_most(bits.read(3), 6, "sps_max_sub_layers_minus1") + 1
    nesting = bits.flag()
    profile = _profile_tier_level(bits, sub_layers)
    sps_id = _at_most(bits.ue(), 15, "sps_seq_parameter_set_id")
    chroma, width, height = _picture(bits)
    luma_depth = 8 + _at_most(bits.ue(), 8, "bit_depth_luma_minus8")
    chroma_depth = 8 + _at_most(bits.ue(), 8, "bit_depth_chroma_minus8")
    log2_poc = 4 + _at_most(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    reorder = _reorder(bits, sub_layers)
    field_seq, frame_rate = _fields_and_timing(bits, chroma, log2_poc)
    return Sps(
        id=sps_id,
        profile=profile,
        sub_layers=sub_layers,
        temporal_id_nesting=nesting,
        chroma_format_idc=chroma,
        bit_depth_luma=luma_depth,
        bit_depth_chroma=chroma_depth,
        width=width,
        height=height,
        reorder_depth=reorder,
        interlaced=field_seq,
        frame_rate=frame_rate,
    )


def _at_most(value: int, limit: int, name: str) -> int:
    if value > limit:
        raise Malformed(f"{name} {value} exceeds {limit}")
    return value


def _profile_tier_level(bits: BitReader, sub_layers: int) -> ProfileTierLevel:
    profile = ProfileTierLevel(bits.read(2), bits.read(1), bits.read(5), bits.read(32), bits.read(48), bits.read(8))
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers - 1)]
    if present:
        bits.skip(2 * (8 - len(present)))
    for has_profile, has_level in present:
        bits.skip((88 if has_profile else 0) + (8 if has_level else 0))
    return profile


def _picture(bits: BitReader) -> tuple[int, int, int]:
    chroma = _at_most(bits.ue(), 3, "chroma_format_idc")
    if chroma == 3:
        bits.skip(1)  # separate_colour_plane_flag
    width, height = bits.ue(), bits.ue()
    if max(width, height) > MAX_DIMENSION:
        raise LimitExceeded(f"picture of {width} x {height} exceeds {MAX_DIMENSION} on a side")
    if bits.flag():
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        # 7.4.3.2.1: in units of chroma samples
        width -= (2 if chroma in (1, 2) else 1) * (left + right)
        height -= (2 if chroma == 1 else 1) * (top + bottom)
    if min(width, height) <= 0:
        raise Malformed(f"picture of {width} x {height} after cropping")
    return chroma, width, height


def _reorder(bits: BitReader, sub_layers: int) -> int:
    # sps_max_num_reorder_pics of the highest sub-layer; without its flag one value stands for all
    depth = 0
    for _ in range(sub_layers if bits.flag() else 1):
        bits.ue()
        depth = _at_most(bits.ue(), 15, "sps_max_num_reorder_pics")
        bits.ue()
    return depth


def _fields_and_timing(bits: BitReader, chroma: int, log2_poc: int) -> tuple[bool, Fraction | None]:
    field_seq = False
    try:
        _skip_coding_tools(bits)
        _skip_reference_sets(bits)
        if bits.flag():  # long_term_ref_pics_present_flag
            bits.skip(_at_most(bits.ue(), 32, "num_long_term_ref_pics_sps") * (log2_poc + 1))
        bits.skip(2)  # temporal motion vectors, strong intra smoothing
        if not bits.flag():
            return False, None
        field_seq = _vui_field_seq(bits)
        return field_seq, _timing(bits)
    except Truncated:
        return field_seq, None


def _skip_coding_tools(bits: BitReader) -> None:
    for _ in range(6):  # block sizes and transform depths
        bits.ue()
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.skip(8)
        bits.ue()
        bits.ue()
        bits.skip(1)


def _skip_scaling_lists(bits: BitReader) -> None:
    # 7.3.4
    for size_id in range(4):
        for _ in range(2 if size_id == 3 else 6):
            if not bits.flag():
                bits.ue()
                continue
            if size_id > 1:
                bits.se()
            for _ in range(min(64, 1 << (4 + (size_id << 1)))):
                bits.se()


def _skip_reference_sets(bits: BitReader) -> None:
    previous: list[int] = []
    for index in range(_at_most(bits.ue(), 64, "num_short_term_ref_pic_sets")):
        predicted = index > 0 and bits.flag()
        previous = _predicted_set(bits, previous) if predicted else _explicit_set(bits)
        if len(previous) > MAX_DELTA_POCS:
            raise Malformed(f"reference picture set of {len(previous)} pictures exceeds {MAX_DELTA_POCS}")


def _explicit_set(bits: BitReader) -> list[int]:
    # 7.3.7: the order counts of the reference pictures, relative to the current one; before it, then after it
    negative = _at_most(bits.ue(), MAX_DELTA_POCS, "num_negative_pics")
    positive = _at_most(bits.ue(), MAX_DELTA_POCS, "num_positive_pics")
    deltas: list[int] = []
    for count, sign in ((negative, -1), (positive, 1)):
        delta = 0
        for _ in range(count):
            delta += sign * (bits.ue() + 1)
            bits.skip(1)  # used_by_curr_pic
            deltas.append(delta)
    return deltas


def _predicted_set(bits: BitReader, reference: list[int]) -> list[int]:
    # 7.4.8 (7-61, 7-62): every picture of the previous set, and that set's own picture, moved by deltaRps
    negative = bits.flag()
    delta_rps = (bits.ue() + 1) * (-1 if negative else 1)
    deltas: list[int] = []
    for delta in (*reference, 0):
        used = bits.flag() or bits.flag()  # used_by_curr_pic_flag, else use_delta_flag
        if used and delta + delta_rps:
            deltas.append(delta + delta_rps)
    return sorted((delta for delta in deltas if delta < 0), reverse=True) + sorted(d for d in deltas if d > 0)


def _vui_field_seq(bits: BitReader) -> bool:
    if bits.flag() and bits.read(8) == 255:  # aspect_ratio_idc EXTENDED_SAR
        bits.skip(32)
    if bits.flag():  # overscan_info_present_flag
        bits.skip(1)
    if bits.flag():  # video_signal_type_present_flag
        bits.skip(4)
        if bits.flag():
            bits.skip(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.ue()
        bits.ue()
    bits.skip(1)  # neutral_chroma_indication_flag
    field_seq = bits.flag()
    bits.skip(1)  # frame_field_info_present_flag
    if bits.flag():  # default_display_window_flag
        for _ in range(4):
            bits.ue()
    return field_seq


def _timing(bits: BitReader) -> Fraction | None:
    if not bits.flag():
        return None
    units, scale = bits.read(32), bits.read(32)
    # E.3.1: unlike in H.264, a tick is a whole picture
    return Fraction(scale, units) if units and scale else None

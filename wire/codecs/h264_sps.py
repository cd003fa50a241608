"""The H.264 sequence parameter set (7.3.2.1.1) with the part of its VUI (E.1.1) that a server needs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from wire.bits import BitReader
from wire.codecs.nal import unescape
from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = ["Sps", "parse_sps"]

MAX_DIMENSION = 16_384
"""Pixels per side. Level 6.2 allows 16,880 (A.3.1); nothing that we can decode or scale comes near."""

# 7.3.2.1.1: the profiles whose SPS carries the chroma format, the bit depths and scaling matrices
HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
# E.2.1: with constraint_set3 these are intra-only, and max_num_reorder_frames is inferred to be 0
INTRA_PROFILES = frozenset({44, 86, 100, 110, 122, 244})
# Table A-1: MaxDpbMbs by level_idc; 9 is level 1b
MAX_DPB_MBS = {
    9: 396, 10: 396, 11: 900, 12: 2376, 13: 2376, 20: 2376, 21: 4752, 22: 8100, 30: 8100, 31: 18000, 32: 20480,
    40: 32768, 41: 32768, 42: 34816, 50: 110400, 51: 184320, 52: 184320, 60: 696320, 61: 696320, 62: 696320,
}  # fmt: skip
MAX_DPB_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Sps:
    """What the SPS says. Sizes are in pixels after cropping; `max_num_reorder_frames` is None without a VUI for it."""

    id: int
    profile_idc: int
    constraint_flags: int
    level_idc: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    pic_order_cnt_type: int
    width: int
    height: int
    interlaced: bool
    max_dpb_frames: int
    frame_rate: Fraction | None
    max_num_reorder_frames: int | None

    @property
    def reorder_depth(self) -> int:
        """How many pictures may wait for an earlier one to be shown: H264Config.reorder_depth."""
        if self.max_num_reorder_frames is not None:
            return self.max_num_reorder_frames
        intra_only = self.profile_idc in INTRA_PROFILES and self.constraint_flags & 0x10
        if self.profile_idc == 66 or self.pic_order_cnt_type == 2 or intra_only:
            return 0
        return self.max_dpb_frames


def parse_sps(nal: bytes) -> Sps:
    """An SPS NAL unit with its header byte. Truncated, Malformed, LimitExceeded.

    A VUI that ends early counts as absent: some cameras cut it, and pictures decode without it.
    """
    if len(nal) < 4 or nal[0] & 0x1F != 7:
        raise Malformed(f"not an SPS: {nal[:4].hex()} in {len(nal)} bytes")
    bits = BitReader(unescape(nal[1:]))
    profile, constraints, level = bits.read(8), bits.read(8), bits.read(8)
    sps_id = _at_most(bits.ue(), 31, "seq_parameter_set_id")
    chroma, luma_depth, chroma_depth = _chroma(bits) if profile in HIGH_PROFILES else (1, 8, 8)
    bits.ue()  # log2_max_frame_num_minus4
    poc_type = _skip_picture_order(bits)
    bits.ue()  # max_num_ref_frames
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag
    columns, rows = bits.ue() + 1, bits.ue() + 1
    interlaced = not bits.flag()
    if interlaced:
        rows *= 2
        bits.skip(1)  # mb_adaptive_frame_field_flag
    if max(columns, rows) * 16 > MAX_DIMENSION:
        raise LimitExceeded(f"picture of {columns * 16} x {rows * 16} exceeds {MAX_DIMENSION} on a side")
    bits.skip(1)  # direct_8x8_inference_flag
    width, height = _crop(bits, columns * 16, rows * 16, chroma, interlaced)
    frame_rate, reorder = _vui(bits)
    return Sps(
        id=sps_id,
        profile_idc=profile,
        constraint_flags=constraints,
        level_idc=level,
        chroma_format_idc=chroma,
        bit_depth_luma=luma_depth,
        bit_depth_chroma=chroma_depth,
        pic_order_cnt_type=poc_type,
        width=width,
        height=height,
        interlaced=interlaced,
        max_dpb_frames=_max_dpb_frames(level, columns * rows),
        frame_rate=frame_rate,
        max_num_reorder_frames=reorder,
    )


def _at_most(value: int, limit: int, name: str) -> int:
    if value > limit:
        raise Malformed(f"{name} {value} exceeds {limit}")
    return value


def _max_dpb_frames(level: int, macroblocks: int) -> int:
    # A.3.1 h: MaxDpbFrames; an unknown level gets the most there can be
    return min(MAX_DPB_MBS.get(level, 696320) // macroblocks, MAX_DPB_FRAMES)


def _chroma(bits: BitReader) -> tuple[int, int, int]:
    chroma = _at_most(bits.ue(), 3, "chroma_format_idc")
    if chroma == 3:
        bits.skip(1)  # separate_colour_plane_flag
    luma_depth = 8 + _at_most(bits.ue(), 6, "bit_depth_luma_minus8")
    chroma_depth = 8 + _at_most(bits.ue(), 6, "bit_depth_chroma_minus8")
    bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():
        for index in range(8 if chroma != 3 else 12):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, luma_depth, chroma_depth


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    # 7.3.2.1.1.1: a next scale of 0 ends the deltas
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_picture_order(bits: BitReader) -> int:
    poc_type = _at_most(bits.ue(), 2, "pic_order_cnt_type")
    if poc_type == 0:
        bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    elif poc_type == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        for _ in range(_at_most(bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            bits.se()
    return poc_type


def _crop(bits: BitReader, width: int, height: int, chroma: int, interlaced: bool) -> tuple[int, int]:
    if not bits.flag():
        return width, height
    left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    # 7.4.2.1.1: in units of chroma samples, and of both fields when there are fields
    unit_x = 2 if chroma in (1, 2) else 1
    unit_y = (2 if chroma == 1 else 1) * (2 if interlaced else 1)
    cropped = width - unit_x * (left + right), height - unit_y * (top + bottom)
    if min(cropped) <= 0:
        raise Malformed(f"cropping leaves {cropped[0]} x {cropped[1]} of {width} x {height}")
    return cropped


def _vui(bits: BitReader) -> tuple[Fraction | None, int | None]:
    frame_rate: Fraction | None = None
    try:
        if not bits.flag():
            return None, None
        _skip_vui_display(bits)
        frame_rate = _timing(bits)
        return frame_rate, _reorder(bits)
    except Truncated:
        return frame_rate, None


def _skip_vui_display(bits: BitReader) -> None:
    if bits.flag() and bits.read(8) == 255:  # aspect_ratio_idc Extended_SAR
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


def _timing(bits: BitReader) -> Fraction | None:
    if not bits.flag():
        return None
    units, scale = bits.read(32), bits.read(32)
    bits.skip(1)  # fixed_frame_rate_flag
    # E.2.1: a tick is a field, and a frame lasts two
    return Fraction(scale, 2 * units) if units and scale else None


def _reorder(bits: BitReader) -> int | None:
    nal_hrd = bits.flag()
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.flag()
    if vcl_hrd:
        _skip_hrd(bits)
    bits.skip((1 if nal_hrd or vcl_hrd else 0) + 1)  # low_delay_hrd_flag, pic_struct_present_flag
    if not bits.flag():
        return None
    bits.skip(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):
        bits.ue()
    return min(bits.ue(), MAX_DPB_FRAMES)


def _skip_hrd(bits: BitReader) -> None:
    # E.1.2
    count = _at_most(bits.ue(), 31, "cpb_cnt_minus1") + 1
    bits.skip(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.skip(1)
    bits.skip(20)

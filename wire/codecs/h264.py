"""H.264: the configuration of a track (ISO 14496-15, 5.3.3) and what its NAL units say (ITU-T H.264, 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from wire.bits import BitReader
from wire.codecs import sei
from wire.codecs.h264_sps import Sps, parse_sps
from wire.codecs.nal import escape, unescape
from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = [
    "H264Config",
    "build_user_data",
    "find_user_data",
    "is_keyframe",
    "nal_type",
    "parameter_sets",
    "slice_type",
    "strip",
]

SLICE, PARTITION_A, IDR, SEI, SPS, PPS = 1, 2, 5, 6, 7, 8
# Table 7-1: SPS, PPS, access unit delimiter, end of sequence, end of stream, filler, SPS extension
_NOT_PICTURE = frozenset({7, 8, 9, 10, 11, 12, 13})
_SLICE_TYPES = ("P", "B", "I", "SP", "SI")

MAX_SPS = 31
"""avcC counts SPS in five bits (ISO 14496-15, 5.3.3.1.2)."""
MAX_PPS = 255
"""avcC counts PPS in one byte."""
MAX_SET_SIZE = 65_535
"""avcC gives each parameter set a 16-bit length."""


@dataclass(frozen=True, slots=True)
class H264Config:
    """The parameter sets of a track, NAL units with their header bytes. Making one parses the first SPS.

    Equal when the sets are equal. Raises Malformed, Truncated or LimitExceeded for sets that cannot be used.
    """

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    _first: Sps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.sps:
            raise Malformed("an H.264 configuration without an SPS")
        if len(self.sps) > MAX_SPS or len(self.pps) > MAX_PPS:
            raise LimitExceeded(f"{len(self.sps)} SPS and {len(self.pps)} PPS exceed {MAX_SPS} and {MAX_PPS}")
        if max(map(len, self.sps + self.pps)) > MAX_SET_SIZE:
            raise LimitExceeded(f"a parameter set is larger than {MAX_SET_SIZE} bytes")
        object.__setattr__(self, "_first", parse_sps(self.sps[0]))

    @classmethod
    def from_avcc(cls, record: bytes) -> tuple[H264Config, int]:
        """An AVCDecoderConfigurationRecord -> (configuration, bytes of a NAL length). Missing extensions are fine."""
        if len(record) < 6:
            raise Truncated(f"avcC of {len(record)} bytes")
        if record[0] != 1:
            raise Malformed(f"avcC version {record[0]}, not 1")
        sps, position = _read_sets(record, 6, record[5] & 0x1F)
        if position >= len(record):
            raise Truncated("avcC ends before its count of PPS")
        pps, _ = _read_sets(record, position + 1, record[position])
        return cls(sps, pps), (record[4] & 3) + 1

    def to_avcc(self) -> bytes:
        """An AVCDecoderConfigurationRecord that announces 4-byte NAL lengths."""
        first = self._first
        head = bytes([1]) + self.sps[0][1:4] + bytes([0xFF, 0xE0 | len(self.sps)])
        record = head + _sets(self.sps) + bytes([len(self.pps)]) + _sets(self.pps)
        if first.profile_idc not in (66, 77, 88):
            depths = 0xF8 | (first.bit_depth_luma - 8), 0xF8 | (first.bit_depth_chroma - 8)
            record += bytes([0xFC | first.chroma_format_idc, *depths, 0])
        return record

    @property
    def width(self) -> int:
        """Pixels, after cropping."""
        return self._first.width

    @property
    def height(self) -> int:
        """Pixels of the whole frame, after cropping."""
        return self._first.height

    @property
    def profile_idc(self) -> int:
        return self._first.profile_idc

    @property
    def constraint_flags(self) -> int:
        """The byte between profile and level: constraint_set0_flag is 0x80."""
        return self._first.constraint_flags

    @property
    def level_idc(self) -> int:
        """Ten times the level."""
        return self._first.level_idc

    @property
    def chroma_format_idc(self) -> int:
        """1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4."""
        return self._first.chroma_format_idc

    @property
    def bit_depth(self) -> int:
        return self._first.bit_depth_luma

    @property
    def codec_string(self) -> str:
        """RFC 6381, 3.3: avc1.42e01f."""
        return f"avc1.{self.sps[0][1:4].hex()}"

    @property
    def frame_rate(self) -> Fraction | None:
        """From the VUI's timing. Encoders may lie: x264 gives what it was told."""
        return self._first.frame_rate

    @property
    def interlaced(self) -> bool:
        """Whether pictures may be fields (frame_mbs_only_flag is 0)."""
        return self._first.interlaced

    @property
    def reorder_depth(self) -> int:
        """How many pictures can precede one in decoding order and follow it in output order.

        Exact where the VUI says it (max_num_reorder_frames) and where order cannot change (baseline,
        pic_order_cnt_type 2, intra-only: 0). Else it is what E.2.1 infers: the level's whole decoded picture buffer,
        which is a maximum that encoders seldom reach.
        """
        return self._first.reorder_depth

    @property
    def declared_reorder_depth(self) -> int | None:
        """max_num_reorder_frames where the VUI says it, else None: many encoders without B-frames leave it out."""
        return self._first.max_num_reorder_frames


def nal_type(nal: bytes) -> int:
    """nal_unit_type, Table 7-1. Truncated when empty."""
    if not nal:
        raise Truncated("empty NAL unit")
    return nal[0] & 0x1F


def is_keyframe(parts: Iterable[bytes]) -> bool:
    """Whether decoding can start at this picture: IDR, or a recovery point SEI.

    Encoders with open GOPs or intra refresh send one IDR and then only recovery points (D.2.8).
    """
    for part in parts:
        kind = part[0] & 0x1F if part else 0
        if kind == IDR:
            return True
        if kind == SEI and sei.has_message(unescape(part[1:]), sei.RECOVERY_POINT):
            return True
    return False


def strip(parts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Without parameter sets, delimiters, filler and ends: an AccessUnit's parts. SEI stays."""
    return tuple([part for part in parts if part and part[0] & 0x1F not in _NOT_PICTURE])


def parameter_sets(parts: Sequence[bytes], current: H264Config | None) -> H264Config | None:
    """The new configuration when `parts` carry sets that `current` has not, else None.

    Sets replace those of the same id; the ones found here come first, so that the properties are theirs. Without
    `current`, an SPS alone makes no configuration. WireError when a set cannot be parsed.
    """
    sps = [part for part in parts if part and part[0] & 0x1F == SPS]
    pps = [part for part in parts if part and part[0] & 0x1F == PPS]
    if not sps and not pps:
        return None
    if current is None:
        return H264Config(_merge((), sps, _sps_id), _merge((), pps, _pps_id)) if sps and pps else None
    if set(sps) <= set(current.sps) and set(pps) <= set(current.pps):
        return None
    return H264Config(_merge(current.sps, sps, _sps_id), _merge(current.pps, pps, _pps_id))


def slice_type(nal: bytes) -> str | None:
    """ "P", "B", "I", "SP" or "SI" of a slice (Table 7-6), None for any other NAL unit. Truncated, Malformed."""
    if nal_type(nal) not in (SLICE, PARTITION_A, IDR):
        return None
    bits = BitReader(unescape(nal[1:24]))  # two Exp-Golomb codes of at most 65 bits
    bits.ue()  # first_mb_in_slice
    code = bits.ue()
    if code > 9:
        raise Malformed(f"slice_type {code} exceeds 9")
    return _SLICE_TYPES[code % 5]


def build_user_data(uuid: bytes, payload: bytes) -> bytes:
    """An SEI NAL unit with user_data_unregistered; `uuid` has 16 bytes."""
    return b"\x06" + escape(sei.build_sei(sei.user_data(uuid, payload)))


def find_user_data(parts: Iterable[bytes], uuid: bytes) -> bytes | None:
    """The payload of the first user_data_unregistered with that uuid, or None. Truncated, LimitExceeded."""
    for part in parts:
        if part and part[0] & 0x1F == SEI:
            payload = sei.find_user_data(unescape(part[1:]), uuid)
            if payload is not None:
                return payload
    return None


def _read_sets(record: bytes, position: int, count: int) -> tuple[tuple[bytes, ...], int]:
    sets: list[bytes] = []
    for _ in range(count):
        body = position + 2
        position = body + int.from_bytes(record[position:body], "big")
        if body > len(record) or position > len(record):
            raise Truncated(f"avcC of {len(record)} bytes ends inside parameter set {len(sets)}")
        if position > body:
            sets.append(record[body:position])
    return tuple(sets), position


def _sets(nals: tuple[bytes, ...]) -> bytes:
    return b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def _merge(old: tuple[bytes, ...], new: Sequence[bytes], identify: Callable[[bytes], int]) -> tuple[bytes, ...]:
    merged = {identify(nal): nal for nal in new}
    for nal in old:
        merged.setdefault(identify(nal), nal)
    return tuple(merged.values())


def _sps_id(nal: bytes) -> int:
    return parse_sps(nal).id


def _pps_id(nal: bytes) -> int:
    return BitReader(unescape(nal[1:16])).ue()

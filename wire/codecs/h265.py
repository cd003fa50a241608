"""H.265: the configuration of a track (ISO 14496-15, 8.3.3) and what its NAL units say (ITU-T H.265, 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from wire.bits import BitReader
from wire.codecs import sei
from wire.codecs.h265_sps import Sps, parse_sps
from wire.codecs.nal import escape, unescape
from wire.errors import LimitExceeded, Malformed, Truncated

__all__ = [
    "H265Config",
    "build_user_data",
    "find_user_data",
    "is_keyframe",
    "nal_type",
    "parameter_sets",
    "strip",
]

VPS, SPS, PPS, PREFIX_SEI = 32, 33, 34, 39
# Table 7-1: BLA, IDR and CRA pictures
_FIRST_IRAP, _LAST_IRAP = 16, 21
# VPS, SPS, PPS, access unit delimiter, end of sequence, end of bitstream, filler
_NOT_PICTURE = frozenset(range(32, 39))

MAX_SETS = 64
"""Parameter sets of one kind: there are 16 VPS, 16 SPS and 64 PPS ids (7.4.3)."""
MAX_SET_SIZE = 65_535
"""hvcC gives each parameter set a 16-bit length."""
MAX_ARRAYS = 16
"""Arrays in an hvcC: VPS, SPS, PPS and two kinds of SEI are allowed (ISO 14496-15, 8.3.3.1.3)."""


@dataclass(frozen=True, slots=True)
class H265Config:
    """The parameter sets of a track, NAL units with their header bytes. Making one parses the first SPS.

    Equal when the sets are equal. Raises Malformed, Truncated or LimitExceeded for sets that cannot be used.
    """

    vps: tuple[bytes, ...]
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    _first: Sps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.sps:
            raise Malformed("an H.265 configuration without an SPS")
        for sets in (self.vps, self.sps, self.pps):
            if len(sets) > MAX_SETS:
                raise LimitExceeded(f"{len(sets)} parameter sets of one kind exceed {MAX_SETS}")
            if max(map(len, sets), default=0) > MAX_SET_SIZE:
                raise LimitExceeded(f"a parameter set is larger than {MAX_SET_SIZE} bytes")
        object.__setattr__(self, "_first", parse_sps(self.sps[0]))

    @classmethod
    def from_hvcc(cls, record: bytes) -> tuple[H265Config, int]:
        """An HEVCDecoderConfigurationRecord -> (configuration, bytes of a NAL length)."""
        if len(record) < 23:
            raise Truncated(f"hvcC of {len(record)} bytes")
        # Version 0 came from encoders that predate the standard's last draft; the layout is the same.
        if record[0] > 1:
            raise Malformed(f"hvcC version {record[0]}, not 1")
        if record[22] > MAX_ARRAYS:
            raise LimitExceeded(f"{record[22]} arrays in an hvcC exceed {MAX_ARRAYS}")
        nals = _read_arrays(record)
        vps, sps, pps = (tuple(nal for kind, nal in nals if kind == wanted) for wanted in (VPS, SPS, PPS))
        return cls(vps, sps, pps), (record[21] & 3) + 1

    def to_hvcc(self) -> bytes:
        """An HEVCDecoderConfigurationRecord that announces 4-byte NAL lengths and complete arrays (hvc1)."""
        first, profile = self._first, self._first.profile
        head = bytes([1, profile.space << 6 | profile.tier << 5 | profile.profile_idc])
        head += profile.compatibility.to_bytes(4, "big") + profile.constraints.to_bytes(6, "big")
        head += bytes([profile.level_idc])
        # min_spatial_segmentation_idc, parallelismType and avgFrameRate: 0 is "unknown" in each of them
        head += bytes([0xF0, 0, 0xFC, 0xFC | first.chroma_format_idc])
        head += bytes([0xF8 | (first.bit_depth_luma - 8), 0xF8 | (first.bit_depth_chroma - 8), 0, 0])
        head += bytes([first.sub_layers << 3 | first.temporal_id_nesting << 2 | 3])
        arrays = [(kind, sets) for kind, sets in ((VPS, self.vps), (SPS, self.sps), (PPS, self.pps)) if sets]
        return head + bytes([len(arrays)]) + b"".join(_array(kind, sets) for kind, sets in arrays)

    @property
    def width(self) -> int:
        """Pixels, after the conformance window."""
        return self._first.width

    @property
    def height(self) -> int:
        """Pixels, after the conformance window; of one field when `interlaced`."""
        return self._first.height

    @property
    def profile_idc(self) -> int:
        return self._first.profile.profile_idc

    @property
    def level_idc(self) -> int:
        """Thirty times the level."""
        return self._first.profile.level_idc

    @property
    def chroma_format_idc(self) -> int:
        """1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4."""
        return self._first.chroma_format_idc

    @property
    def bit_depth(self) -> int:
        return self._first.bit_depth_luma

    @property
    def codec_string(self) -> str:
        """ISO 14496-15, E.3: hvc1.1.6.L93.B0."""
        profile = self._first.profile
        space = ("", "A", "B", "C")[profile.space]
        compatibility = int(f"{profile.compatibility:032b}"[::-1], 2)
        constraints = profile.constraints.to_bytes(6, "big").rstrip(b"\x00")
        fields = [f"{space}{profile.profile_idc}", f"{compatibility:X}", f"{'LH'[profile.tier]}{profile.level_idc}"]
        return ".".join(["hvc1", *fields, *(f"{byte:X}" for byte in constraints)])

    @property
    def frame_rate(self) -> Fraction | None:
        """From the VUI's timing."""
        return self._first.frame_rate

    @property
    def interlaced(self) -> bool:
        """Whether each picture is a field (field_seq_flag)."""
        return self._first.interlaced

    @property
    def reorder_depth(self) -> int:
        """sps_max_num_reorder_pics of the highest sub-layer: always exact."""
        return self._first.reorder_depth


def nal_type(nal: bytes) -> int:
    """nal_unit_type, Table 7-1. Truncated when empty."""
    if not nal:
        raise Truncated("empty NAL unit")
    return _kind(nal)


def is_keyframe(parts: Iterable[bytes]) -> bool:
    """Whether decoding can start at this picture: BLA, IDR or CRA, or a recovery point SEI (intra refresh, D.3.8)."""
    for part in parts:
        kind = _kind(part) if part else 0
        if _FIRST_IRAP <= kind <= _LAST_IRAP:
            return True
        if kind == PREFIX_SEI and sei.has_message(unescape(part[2:]), sei.RECOVERY_POINT):
            return True
    return False


def strip(parts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Without parameter sets, delimiters, filler and ends: an AccessUnit's parts. SEI stays."""
    return tuple([part for part in parts if part and (part[0] >> 1) & 0x3F not in _NOT_PICTURE])


def parameter_sets(parts: Sequence[bytes], current: H265Config | None) -> H265Config | None:
    """The new configuration when `parts` carry sets that `current` has not, else None.

    Sets replace those of the same id; the ones found here come first, so that the properties are theirs. Without
    `current`, all three kinds are needed to make a configuration. WireError when a set cannot be parsed.
    """
    found = [part for part in parts if part and VPS <= _kind(part) <= PPS]
    if not found:
        return None
    vps, sps, pps = ([nal for nal in found if _kind(nal) == kind] for kind in (VPS, SPS, PPS))
    if current is None:
        if not (vps and sps and pps):
            return None
        return H265Config(_merge((), vps, _vps_id), _merge((), sps, _sps_id), _merge((), pps, _pps_id))
    if set(found) <= {*current.vps, *current.sps, *current.pps}:
        return None
    merged = (_merge(current.vps, vps, _vps_id), _merge(current.sps, sps, _sps_id), _merge(current.pps, pps, _pps_id))
    return H265Config(*merged)


def build_user_data(uuid: bytes, payload: bytes) -> bytes:
    """A prefix SEI NAL unit with user_data_unregistered; `uuid` has 16 bytes."""
    return b"\x4e\x01" + escape(sei.build_sei(sei.user_data(uuid, payload)))


def find_user_data(parts: Iterable[bytes], uuid: bytes) -> bytes | None:
    """The payload of the first user_data_unregistered with that uuid, or None. Truncated, LimitExceeded."""
    for part in parts:
        if part and _kind(part) == PREFIX_SEI:
            payload = sei.find_user_data(unescape(part[2:]), uuid)
            if payload is not None:
                return payload
    return None


def _kind(nal: bytes) -> int:
    return (nal[0] >> 1) & 0x3F


def _read_arrays(record: bytes) -> list[tuple[int, bytes]]:
    nals: list[tuple[int, bytes]] = []
    position = 23
    for _ in range(record[22]):
        if position + 3 > len(record):
            raise Truncated(f"hvcC of {len(record)} bytes ends before an array")
        kind = record[position] & 0x3F
        count = int.from_bytes(record[position + 1 : position + 3], "big")
        position += 3
        if count > MAX_SETS:
            raise LimitExceeded(f"hvcC array of {count} NAL units exceeds {MAX_SETS}")
        for _ in range(count):
            body = position + 2
            position = body + int.from_bytes(record[position:body], "big")
            if body > len(record) or position > len(record):
                raise Truncated(f"hvcC of {len(record)} bytes ends inside a NAL unit")
            if position > body:
                nals.append((kind, record[body:position]))
    return nals


def _array(kind: int, sets: tuple[bytes, ...]) -> bytes:
    nals = b"".join(len(nal).to_bytes(2, "big") + nal for nal in sets)
    return bytes([0x80 | kind]) + len(sets).to_bytes(2, "big") + nals


def _merge(old: tuple[bytes, ...], new: Sequence[bytes], identify: Callable[[bytes], int]) -> tuple[bytes, ...]:
    merged = {identify(nal): nal for nal in new}
    for nal in old:
        merged.setdefault(identify(nal), nal)
    return tuple(merged.values())


def _vps_id(nal: bytes) -> int:
    return BitReader(nal[2:3]).read(4)


def _sps_id(nal: bytes) -> int:
    return parse_sps(nal).id


def _pps_id(nal: bytes) -> int:
    return BitReader(unescape(nal[2:16])).ue()

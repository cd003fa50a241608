import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bits import BitWriter
from wire.codecs import h265, sei
from wire.codecs.h265 import H265Config
from wire.codecs.nal import escape
from wire.errors import LimitExceeded, Malformed, Truncated, WireError

VPS = b"\x40\x01\x0c\x01\xff\xff"
PPS = b"\x44\x01\xc1\x72\xb4"


def sps(
    *,
    id: int = 0,
    profile: int = 1,
    compatibility: int = 0x60000000,
    constraints: int = 0xB00000000000,
    tier: int = 0,
    level: int = 93,
    sub_layers: int = 1,
    chroma: int = 1,
    size: tuple[int, int] = (1280, 720),
    window: tuple[int, int, int, int] | None = None,
    reorder: int = 2,
    scaling: bool = False,
    reference_sets: bool = False,
    field_seq: bool = False,
    timing: tuple[int, int] | None = (1, 50),
) -> bytes:
    """An SPS by the syntax of 7.3.2.2."""
    bits = BitWriter().write(0, 4).write(sub_layers - 1, 3).write(1, 1)
    bits.write(0, 2).write(tier, 1).write(profile, 5).write(compatibility, 32).write(constraints, 48).write(level, 8)
    if sub_layers > 1:
        bits.write(0b11, 2).write(0, 2 * 7)  # the lowest sub-layer has its own profile and level
        bits.write(0, 88).write(60, 8)
    bits.ue(id).ue(chroma)
    if chroma == 3:
        bits.write(0, 1)
    bits.ue(size[0]).ue(size[1]).write(window is not None, 1)
    for edge in window or ():
        bits.ue(edge)
    bits.ue(0).ue(0).ue(4).write(1, 1)
    for layer in range(sub_layers):
        bits.ue(4).ue(reorder if layer == sub_layers - 1 else 0).ue(0)
    bits.ue(0).ue(3).ue(0).ue(3).ue(0).ue(0)
    _coding_tools(bits, scaling)
    _references(bits, reference_sets)
    bits.write(0b11, 2).write(1, 1)
    bits.write(1, 1).write(1, 8).write(0, 1).write(1, 1).write(0, 4).write(1, 1).write(0, 24).write(0, 1)
    bits.write(0, 1).write(field_seq, 1).write(0, 1).write(0, 1).write(timing is not None, 1)
    if timing:
        bits.write(timing[0], 32).write(timing[1], 32).write(0, 1).write(0, 1)
    return b"\x42\x01" + escape(bits.write(0, 2).write(1, 1).getvalue())


def _coding_tools(bits: BitWriter, scaling: bool) -> None:
    bits.write(scaling, 1)
    if scaling:
        bits.write(1, 1)
        for size_id, count in enumerate((6, 6, 6, 2)):
            bits.write(0, 1).ue(0)  # the first list copies a default
            for _ in range(count - 1):
                bits.write(1, 1)
                if size_id > 1:
                    bits.se(-3)
                for _ in range(min(64, 1 << (4 + 2 * size_id))):
                    bits.se(1)
    bits.write(0b11, 2).write(scaling, 1)
    if scaling:  # PCM
        bits.write(0x77, 8).ue(0).ue(1).write(0, 1)


def _references(bits: BitWriter, wanted: bool) -> None:
    if not wanted:
        bits.ue(0).write(0, 1)
        return
    bits.ue(3)
    bits.ue(2).ue(1).ue(0).write(1, 1).ue(1).write(1, 1).ue(0).write(1, 1)  # -1, -3, +1
    # moved by -1: -2 unused, -4 used, 0 drops out, -1 used
    bits.write(1, 1).write(1, 1).ue(0).write(0b00, 2).write(1, 1).write(1, 1).write(1, 1)
    # that set has two pictures and itself; moved by +2
    bits.write(1, 1).write(0, 1).ue(1).write(1, 1).write(1, 1).write(0b01, 2)
    bits.write(1, 1).ue(2)
    for _ in range(2):
        bits.write(0, 8).write(1, 1)


def config(**fields) -> H265Config:
    return H265Config((VPS,), (sps(**fields),), (PPS,))


def test_what_a_plain_sps_says() -> None:
    made = config()
    assert (made.width, made.height, made.profile_idc, made.level_idc, made.bit_depth) == (1280, 720, 1, 93, 8)
    assert (made.frame_rate, made.reorder_depth, made.interlaced) == (50, 2, False)
    assert made.codec_string == "hvc1.1.6.L93.B0"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"constraints": 0x900000000000, "tier": 1, "level": 153}, "hvc1.1.6.H153.90"),
        ({"profile": 2, "compatibility": 0x20000000}, "hvc1.2.4.L93.B0"),
        ({"profile": 4, "compatibility": 0x08000000, "constraints": 0x9D0800000000}, "hvc1.4.10.L93.9D.8"),
        ({"constraints": 0}, "hvc1.1.6.L93"),
    ],
)
def test_codec_strings(fields: dict, text: str) -> None:
    assert config(**fields).codec_string == text


@pytest.mark.parametrize(("chroma", "size"), [(0, (1277, 714)), (1, (1274, 708)), (2, (1274, 714)), (3, (1277, 714))])
def test_the_window_counts_in_chroma_samples(chroma: int, size: tuple[int, int]) -> None:
    made = config(chroma=chroma, window=(1, 2, 0, 6))
    assert (made.width, made.height, made.chroma_format_idc) == (*size, chroma)


@pytest.mark.parametrize("sub_layers", [1, 2, 7])
def test_reordering_is_that_of_the_highest_sub_layer(sub_layers: int) -> None:
    made = config(sub_layers=sub_layers, reorder=3)
    assert (made.reorder_depth, made.frame_rate) == (3, 50)


def test_timing_stands_behind_scaling_lists_and_reference_sets() -> None:
    made = config(scaling=True, reference_sets=True, timing=(1001, 60000), field_seq=True)
    assert (made.frame_rate, made.interlaced) == (Fraction(60000, 1001), True)


def test_no_timing_and_a_cut_end() -> None:
    assert config(timing=None).frame_rate is None
    assert config(timing=(0, 9)).frame_rate is None
    assert H265Config((), (sps()[:-6],), ()).frame_rate is None


@pytest.mark.parametrize(
    ("nal", "error"),
    [
        (b"", Malformed),
        (PPS, Malformed),
        (sps()[:12], Truncated),
        (sps(size=(20000, 16)), LimitExceeded),
        (sps(size=(16, 0)), Malformed),
        (sps(window=(700, 0, 0, 0)), Malformed),
    ],
)
def test_bad_sps(nal: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        H265Config((VPS,), (nal,), (PPS,))


def test_a_configuration_needs_an_sps_and_has_few_sets() -> None:
    with pytest.raises(Malformed, match="without an SPS"):
        H265Config((VPS,), (), (PPS,))
    with pytest.raises(LimitExceeded):
        H265Config((VPS,) * 65, (sps(),), (PPS,))


@pytest.mark.parametrize("fields", [{}, {"sub_layers": 3}, {"chroma": 2}])
def test_hvcc_comes_back(fields: dict) -> None:
    made = config(**fields)
    assert H265Config.from_hvcc(made.to_hvcc()) == (made, 4)


def test_every_cut_of_an_hvcc_is_a_wire_error() -> None:
    record = config().to_hvcc()
    for size in range(len(record)):
        with pytest.raises(WireError):
            H265Config.from_hvcc(record[:size])
    with pytest.raises(Malformed, match="version 9"):
        H265Config.from_hvcc(b"\x09" + record[1:])
    with pytest.raises(LimitExceeded, match="200 arrays"):
        H265Config.from_hvcc(record[:22] + b"\xc8" + record[23:])


def nal(kind: int) -> bytes:
    return bytes([kind << 1, 1, 0xAF])


@pytest.mark.parametrize(
    ("kind", "keyframe"), [(0, False), (1, False), (9, False), *((k, True) for k in range(16, 22)), (22, False)]
)
def test_keyframes_are_bla_idr_and_cra(kind: int, keyframe: bool) -> None:
    assert h265.is_keyframe([nal(35), nal(kind)]) is keyframe


def test_a_recovery_point_is_a_keyframe() -> None:
    recovery = b"\x4e\x01" + sei.build_sei(sei.SeiMessage(sei.RECOVERY_POINT, b"\xc4"))
    assert h265.is_keyframe([recovery, nal(1)])
    assert not h265.is_keyframe([b"", b"\x4e"])


def test_strip_leaves_the_picture_and_its_sei() -> None:
    parts = [nal(35), VPS, sps(), PPS, nal(39), nal(19), nal(40), nal(36), nal(37), nal(38), b""]
    assert h265.strip(parts) == (nal(39), nal(19), nal(40))


def test_sets_in_band() -> None:
    current = config()
    assert h265.parameter_sets([VPS, sps(), PPS, nal(19)], None) == current
    assert h265.parameter_sets([sps(), PPS, nal(19)], None) is None
    assert h265.parameter_sets([VPS, sps(), PPS], current) is None
    assert h265.parameter_sets([nal(1)], current) is None
    changed = h265.parameter_sets([sps(size=(640, 360))], current)
    assert changed == H265Config((VPS,), (sps(size=(640, 360)),), (PPS,))
    added = h265.parameter_sets([sps(id=1, size=(640, 360))], current)
    assert added == H265Config((VPS,), (sps(id=1, size=(640, 360)), sps()), (PPS,))


def test_empty_nal_unit_has_no_type() -> None:
    assert h265.nal_type(nal(21)) == 21
    with pytest.raises(Truncated):
        h265.nal_type(b"")


@given(st.binary(max_size=120))
def test_anything_parses_or_raises_wire_error(data: bytes) -> None:
    steps = (
        lambda: H265Config.from_hvcc(data),
        lambda: H265Config.from_hvcc(config().to_hvcc()[:22] + data),
        lambda: H265Config((), (b"\x42" + data,), ()),
        lambda: h265.parameter_sets([b"\x40" + data[:2], b"\x42\x01" + data, b"\x44" + data[:4]], config()),
        lambda: h265.is_keyframe([b"\x4e" + data]),
        lambda: h265.find_user_data([b"\x4e" + data], bytes(16)),
    )
    for step in steps:
        with contextlib.suppress(WireError):
            step()


@given(st.data())
def test_a_mutated_sps_parses_or_raises_wire_error(data: st.DataObject) -> None:
    mutated = bytearray(sps(sub_layers=2, scaling=True, reference_sets=True))
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(2, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        made = H265Config((VPS,), (bytes(mutated),), (PPS,))
        made.to_hvcc()
        assert made.codec_string

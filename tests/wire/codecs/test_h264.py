import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bits import BitWriter
from wire.codecs import h264, sei
from wire.codecs.h264 import H264Config
from wire.codecs.nal import escape
from wire.errors import LimitExceeded, Malformed, Truncated, WireError

PPS = b"\x68\xce\x3c\x80"


def sps(
    *,
    profile: int = 66,
    constraints: int = 0,
    level: int = 30,
    id: int = 0,
    chroma: int = 1,
    poc_type: int = 0,
    columns: int = 40,
    rows: int = 30,
    frame_mbs_only: bool = True,
    crop: tuple[int, int, int, int] | None = None,
    vui: bool = False,
    timing: tuple[int, int] | None = None,
    hrd: bool = False,
    reorder: int | None = None,
    scaling: bool = False,
) -> bytes:
    """An SPS by the syntax of 7.3.2.1.1."""
    bits = BitWriter().write(profile, 8).write(constraints, 8).write(level, 8).ue(id)
    if profile >= 100:
        bits.ue(chroma)
        if chroma == 3:
            bits.write(0, 1)
        bits.ue(0).ue(0).write(0, 1).write(scaling, 1)
        if scaling:
            # the first list ends at once, the seventh runs through, the others are absent
            bits.write(1, 1).se(-8).write(0, 5).write(1, 1)
            for _ in range(64):
                bits.se(1)
            bits.write(0, 1 if chroma != 3 else 5)
    bits.ue(0).ue(poc_type)
    if poc_type == 0:
        bits.ue(0)
    elif poc_type == 1:
        bits.write(0, 1).se(-1).se(2).ue(2).se(3).se(-4)
    bits.ue(1).write(0, 1).ue(columns - 1).ue(rows - 1).write(frame_mbs_only, 1)
    if not frame_mbs_only:
        bits.write(0, 1)
    bits.write(1, 1).write(crop is not None, 1)
    for edge in crop or ():
        bits.ue(edge)
    bits.write(vui, 1)
    if vui:
        _vui(bits, timing, hrd, reorder)
    return b"\x67" + escape(bits.write(1, 1).getvalue())


def _vui(bits: BitWriter, timing: tuple[int, int] | None, hrd: bool, reorder: int | None) -> None:
    bits.write(1, 1).write(255, 8).write(1, 16).write(1, 16).write(1, 1).write(0, 1)
    bits.write(1, 1).write(0b1010, 4).write(1, 1).write(1, 24).write(1, 1).ue(0).ue(0)
    bits.write(timing is not None, 1)
    if timing:
        bits.write(timing[0], 32).write(timing[1], 32).write(1, 1)
    for _ in range(2):
        bits.write(hrd, 1)
        if hrd:
            bits.ue(0).write(0, 8).ue(5).ue(6).write(0, 1).write(0, 20)
    if hrd:
        bits.write(0, 1)
    bits.write(0, 1).write(reorder is not None, 1)
    if reorder is not None:
        bits.write(1, 1).ue(0).ue(0).ue(10).ue(10).ue(reorder).ue(4)


def config(**fields) -> H264Config:
    return H264Config((sps(**fields),), (PPS,))


def test_a_plain_baseline_sps() -> None:
    made = config(constraints=0xE0, level=31)
    assert (made.width, made.height, made.profile_idc, made.constraint_flags, made.level_idc) == (
        640,
        480,
        66,
        0xE0,
        31,
    )
    assert made.codec_string == "avc1.42e01f"
    assert (made.frame_rate, made.interlaced, made.reorder_depth) == (None, False, 0)


@pytest.mark.parametrize(("chroma", "size"), [(0, (636, 475)), (1, (632, 470)), (2, (632, 475)), (3, (636, 475))])
def test_cropping_counts_in_chroma_samples(chroma: int, size: tuple[int, int]) -> None:
    made = config(profile=244, chroma=chroma, crop=(1, 3, 0, 5))
    assert (made.width, made.height, made.chroma_format_idc) == (*size, chroma)


def test_interlaced_pictures_are_twice_as_high_and_crop_in_field_lines() -> None:
    made = config(profile=100, rows=34, columns=120, frame_mbs_only=False, crop=(0, 0, 0, 2))
    assert (made.width, made.height, made.interlaced) == (1920, 1080, True)


def test_timing_and_reordering_come_from_the_vui() -> None:
    made = config(profile=77, vui=True, timing=(1001, 60000), hrd=True, reorder=2)
    assert (made.frame_rate, made.reorder_depth) == (Fraction(30000, 1001), 2)


def test_timing_of_zero_is_no_timing() -> None:
    assert config(vui=True, timing=(0, 50)).frame_rate is None


def test_a_vui_that_ends_early_keeps_what_was_read() -> None:
    whole = sps(profile=77, vui=True, timing=(1, 50), reorder=1)
    cut = H264Config((whole[:-3],), ())
    assert (cut.width, cut.frame_rate, cut.reorder_depth) == (640, 25, 6)


@pytest.mark.parametrize(
    ("fields", "depth"),
    [
        ({"profile": 66}, 0),
        ({"profile": 77}, 6),  # level 3: 8100 macroblocks over 1200
        ({"profile": 77, "poc_type": 2}, 0),
        ({"profile": 77, "poc_type": 1}, 6),
        ({"profile": 100, "level": 40, "columns": 120, "rows": 68}, 4),
        ({"profile": 100, "level": 51, "columns": 10, "rows": 10}, 16),
        ({"profile": 110, "constraints": 0x10}, 0),
        ({"profile": 77, "vui": True}, 6),
        ({"profile": 77, "vui": True, "reorder": 99}, 16),
        ({"profile": 77, "level": 99}, 16),
    ],
)
def test_reorder_depth_is_exact_or_the_levels_maximum(fields: dict, depth: int) -> None:
    assert config(**fields).reorder_depth == depth


@pytest.mark.parametrize("chroma", [1, 3])
def test_scaling_matrices_are_skipped(chroma: int) -> None:
    assert config(profile=244, chroma=chroma, scaling=True, crop=(0, 0, 0, 0)).width == 640


@pytest.mark.parametrize(
    ("nal", "error"),
    [
        (b"", Malformed),
        (b"\x68\x42\x00\x1e\xff", Malformed),
        (b"\x67\x42\x00\x1e\xff", Truncated),
        (sps(columns=2000), LimitExceeded),
        (sps(crop=(300, 20, 0, 0)), Malformed),
        (b"\x67\x42\x00\x1e" + bytes(40), Malformed),
    ],
)
def test_bad_sps(nal: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        H264Config((nal,), (PPS,))


def test_a_configuration_needs_an_sps() -> None:
    with pytest.raises(Malformed, match="without an SPS"):
        H264Config((), (PPS,))
    with pytest.raises(LimitExceeded):
        H264Config((sps(),) * 32, ())


def test_configurations_compare_by_their_sets() -> None:
    assert config() == config()
    assert hash(config()) == hash(config())
    assert config() != config(columns=41)


@pytest.mark.parametrize("profile", [66, 77, 100, 110, 122, 244])
def test_avcc_comes_back(profile: int) -> None:
    made = config(profile=profile)
    record = made.to_avcc()
    assert H264Config.from_avcc(record) == (made, 4)
    assert record[1:4] == made.sps[0][1:4]
    has_extension = profile >= 100
    assert record.endswith(b"\xfd\xf8\xf8\x00") == has_extension
    if has_extension:
        assert H264Config.from_avcc(record[:-4]) == (made, 4)


@pytest.mark.parametrize("low_bits", [0, 1, 2, 3])
def test_the_length_size_is_the_records(low_bits: int) -> None:
    record = bytearray(config().to_avcc())
    record[4] = 0xFC | low_bits
    assert H264Config.from_avcc(bytes(record))[1] == low_bits + 1


def test_every_cut_of_an_avcc_is_a_wire_error() -> None:
    record = config().to_avcc()
    for size in range(len(record)):
        with pytest.raises(WireError):
            H264Config.from_avcc(record[:size])
    with pytest.raises(Malformed, match="version 2"):
        H264Config.from_avcc(b"\x02" + record[1:])


IDR, P_SLICE, AUD, FILLER = b"\x65\x88\x84", b"\x41\x9a\x24", b"\x09\xf0", b"\x0c\xff\x80"
RECOVERY = b"\x06" + sei.build_sei(sei.SeiMessage(sei.RECOVERY_POINT, b"\xc4"))


@pytest.mark.parametrize(
    ("parts", "keyframe"),
    [([AUD, IDR], True), ([P_SLICE], False), ([RECOVERY, P_SLICE], True), ([b"", b"\x06"], False), ([], False)],
)
def test_keyframes(parts: list[bytes], keyframe: bool) -> None:
    assert h264.is_keyframe(parts) is keyframe


def test_strip_leaves_the_picture_and_its_sei() -> None:
    parts = [AUD, sps(), PPS, RECOVERY, IDR, FILLER, b"\x0a", b"\x0b", b""]
    assert h264.strip(parts) == (RECOVERY, IDR)


@pytest.mark.parametrize(
    ("nal", "name"),
    [(b"\x65\x88\x84", "I"), (b"\x41\x9a\x24", "P"), (b"\x01\x9e\x42", "B"), (PPS, None)],
)
def test_slice_types(nal: bytes, name: str | None) -> None:
    assert h264.slice_type(nal) == name


def test_bad_slices() -> None:
    with pytest.raises(Truncated):
        h264.slice_type(b"")
    with pytest.raises(Truncated):
        h264.slice_type(b"\x65")
    with pytest.raises(Malformed, match="10"):
        h264.slice_type(b"\x65" + BitWriter().ue(0).ue(10).getvalue())


def test_sets_in_band_make_a_first_configuration() -> None:
    assert h264.parameter_sets([sps(), PPS, IDR], None) == config()
    assert h264.parameter_sets([sps(), IDR], None) is None
    assert h264.parameter_sets([IDR], None) is None


def test_repeated_sets_change_nothing() -> None:
    current = config()
    assert h264.parameter_sets([sps(), PPS, IDR], current) is None
    assert h264.parameter_sets([PPS, IDR], current) is None


def test_a_set_replaces_the_one_with_its_id() -> None:
    changed = h264.parameter_sets([sps(columns=80), IDR], config())
    assert changed == H264Config((sps(columns=80),), (PPS,))


def test_a_set_with_a_new_id_comes_first() -> None:
    other_pps = b"\x68" + BitWriter().ue(1).ue(1).write(0b11, 2).getvalue()
    changed = h264.parameter_sets([sps(id=1, columns=80), other_pps, IDR], config())
    assert changed == H264Config((sps(id=1, columns=80), sps()), (other_pps, PPS))
    assert changed.width == 1280
    assert h264.parameter_sets([sps(), PPS, IDR], changed) is None


@given(st.binary(max_size=120))
def test_anything_parses_or_raises_wire_error(data: bytes) -> None:
    steps = (
        lambda: H264Config.from_avcc(data),
        lambda: H264Config.from_avcc(b"\x01" + data),
        lambda: H264Config((b"\x67" + data,), ()),
        lambda: h264.parameter_sets([b"\x67" + data, b"\x68" + data[:4]], config()),
        lambda: h264.is_keyframe([b"\x06" + data]),
        lambda: h264.slice_type(data),
        lambda: h264.find_user_data([b"\x06" + data], bytes(16)),
    )
    for step in steps:
        with contextlib.suppress(WireError):
            step()


@given(st.data())
def test_a_mutated_sps_parses_or_raises_wire_error(data: st.DataObject) -> None:
    nal = bytearray(sps(profile=100, vui=True, timing=(1, 50), hrd=True, reorder=2, scaling=True))
    for _ in range(data.draw(st.integers(1, 4))):
        nal[data.draw(st.integers(1, len(nal) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        H264Config((bytes(nal),), (PPS,)).to_avcc()

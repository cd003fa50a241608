"""The graph with real encoders: what comes in is what viewers of every rung see, at the same times."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from ingest.transcode_messages import SourceTrack, SourceUnit
from ingest.video_encoder import VideoEncoder
from ingest.video_graph import GraphLimits, VideoGraph
from media.flv_demuxer import FlvDemuxer
from tests.support.encoders import film
from tests.support.pictures import Film, Sink, config_of, encode, lossless, rung, shown
from tests.support.rtmp import RANDOM
from wire.codecs.h264 import H264Config
from wire.codecs.nal import join_length_prefixed
from wire.rtmp import PublishRequested, RtmpServer, TagReceived

X264 = "-c:v libx264 -preset ultrafast -threads 1 -g 25"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=error:pools=1:frame-threads=1:keyint=25"
TIMES = {
    "25": [n * 40 for n in range(60)],
    "variable": [n * 40 + (n * 7919 % 23) + (120 if n > 40 else 0) for n in range(60)],
    "240": [n * 1000 // 240 for n in range(120)],
    "with a hole": [n * 33 + (800 if n > 20 else 0) for n in range(60)],
    "15, then 30": [n * 1000 // 15 for n in range(60)] + [4000 + n * 1000 // 30 for n in range(240)],
    "30, then 60": [n * 1000 // 30 for n in range(120)] + [4000 + n * 1000 // 60 for n in range(480)],
    "30 with holes": [n * 33 + 700 * max(0, (n - 55) // 60) for n in range(300)],
    "1": [n * 1000 for n in range(5)],
    "29.97": [n * 1001 // 30 for n in range(60)],
}
OPEN = "-x264-params open-gop=1 -bf 3 -b_strategy 0"
RUNGS = [rung("a", 180), rung("b", 120), rung("c", 96, codec="h265")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graph")


@pytest.fixture(scope="module")
def films(folder: Path) -> dict[str, Path]:
    return {name: film(folder / f"{name}.nut", times) for name, times in TIMES.items()}


MATRIX = [
    ("baseline without B-frames", f"{X264} -profile:v baseline", "25"),
    ("main with a slice a thread", f"{X264} -profile:v main -bf 0 -x264-params slices=4", "25"),
    ("high with 3 B-frames", f"{X264} -profile:v high -bf 3 -b_strategy 0", "25"),
    ("a pyramid of 5 B-frames", f"{X264} -bf 5 -b_strategy 0 -x264-params b-pyramid=normal:ref=4", "25"),
    ("open GOPs", f"{X264} -bf 3 -b_strategy 0 -x264-params open-gop=1:b-pyramid=normal", "25"),
    ("intra refresh", f"{X264} -bf 0 -x264-params intra-refresh=1", "25"),
    ("variable rate", f"{X264} -bf 2 -b_strategy 0 -enc_time_base 1:1000", "variable"),
    ("a hole", f"{X264} -bf 2 -b_strategy 0 -enc_time_base 1:1000", "with a hole"),
    ("240 a second", f"{X264} -g 120 -bf 2 -b_strategy 0 -enc_time_base 1:1000", "240"),
    ("1 a second", f"{X264} -bf 2 -b_strategy 0 -enc_time_base 1:1000", "1"),
    ("29.97 a second", f"{X264} -bf 2 -enc_time_base 1:1000", "29.97"),
    ("10 bits", f"{X264} -bf 2 -pix_fmt yuv420p10le -profile:v high10", "25"),
    ("4:2:2", f"{X264} -bf 2 -pix_fmt yuv422p -profile:v high422", "25"),
    ("4:4:4", f"{X264} -bf 2 -pix_fmt yuv444p", "25"),
    ("H.265", f"{X265}:bframes=0", "25"),
    ("H.265 with B-frames", f"{X265}:bframes=3:b-adapt=0", "25"),
    ("H.265 with open GOPs and 10 bits", f"{X265}:bframes=4:b-adapt=0:open-gop=1 -pix_fmt yuv420p10le", "25"),
]


@pytest.mark.parametrize(("arguments", "times"), [case[1:] for case in MATRIX], ids=[case[0] for case in MATRIX])
def test_no_picture_is_lost_and_each_keeps_its_time(
    films: dict[str, Path], folder: Path, arguments: str, times: str
) -> None:
    source = encode(films[times], arguments, folder)
    sink = lossless(source, RUNGS)
    assert (sink.problems, sink.failed, sink.wanted) == ([], [], [])
    assert len(sink.done) == len(source.units)
    keyframes = sink.keyframes("a")
    own = [unit.pts for unit in source.units if unit.keyframe]
    assert set(own) <= set(keyframes)
    offset = source.pts[0] // 90 - TIMES[times][0]
    for entry in RUNGS:
        assert sink.pts(entry.output) == source.pts
        assert sink.keyframes(entry.output) == keyframes
        _check_dts(sink, entry.output)
        pictures = shown(sink, entry.output)
        assert [picture.pts for picture in pictures] == source.pts
        assert [picture.code_ms for picture in pictures] == TIMES[times]
        assert {abs(picture.pts / 90 - TIMES[times][n] - offset) <= 1 for n, picture in enumerate(pictures)} == {True}


def _check_dts(sink: Sink, output: str) -> None:
    units = sink.units[output]
    assert all(b.dts - a.dts >= 90 for a, b in pairwise(units))
    assert all(unit.dts <= unit.pts for unit in units)


@pytest.fixture(scope="module")
def plain(films: dict[str, Path], folder: Path) -> Film:
    return encode(films["25"], f"{X264} -bf 0", folder)


@pytest.fixture(scope="module")
def reordered(films: dict[str, Path], folder: Path) -> Film:
    return encode(films["25"], f"{X264} -bf 3 -b_strategy 0", folder)


def test_rungs_carry_the_decode_delay_of_the_source(plain: Film, reordered: Film) -> None:
    for source, delay in ((plain, 0), (reordered, 2 * 3600)):
        sink = lossless(source, [rung("a", 120), rung("b", 96)])
        for output in "ab":
            assert {unit.pts - unit.dts for unit in sink.units[output]} == {delay}


@pytest.mark.parametrize("times", TIMES)
def test_rungs_are_decoded_when_the_source_is_whatever_its_intervals(
    films: dict[str, Path], folder: Path, times: str
) -> None:
    """So no viewer's dts steps back where it changes between the two, which is at a keyframe of the source."""
    source = encode(films[times], f"{X264} -bf 2 -b_strategy 0 -enc_time_base 1:1000", folder)
    sink = lossless(source, [rung("a", 96)])
    assert [unit.dts for unit in sink.units["a"]] == [unit.dts for unit in source.units]
    made = {unit.pts: unit.dts for unit in sink.units["a"]}
    assert all(made[unit.pts] == unit.dts for unit in source.units if unit.keyframe)


@pytest.mark.parametrize(
    "codec",
    [f"{X264} -bf 3 -b_strategy 0", f"{X264} {OPEN}", f"{X265}:bframes=4:b-adapt=0:open-gop=1"],
    ids=["closed groups", "open groups", "H.265 with open groups"],
)
def test_a_new_worker_gives_each_picture_the_dts_that_the_old_one_gave(
    films: dict[str, Path], folder: Path, codec: str
) -> None:
    source = encode(films["variable"], f"{codec} -enc_time_base 1:1000", folder)
    keyframe = [n for n, unit in enumerate(source.units) if unit.keyframe][1]
    old, new = (
        {unit.pts: unit.dts for unit in lossless(replace(source, units=units), [rung("a", 96)]).units["a"]}
        for units in (source.units, source.units[keyframe:])
    )
    assert len(new) > 15
    assert new.items() <= old.items()


def test_a_group_that_is_decoded_again_leaves_the_times_as_they_were(reordered: Film) -> None:
    """Readers leave in the middle of a group and come back: the decoder begins anew with what is kept."""
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    graph.start(rung("a", 96))
    for units in (reordered.units[:37], reordered.units[25:]):
        graph.source(reordered.track)
        for unit in units:
            graph.feed(unit)
    graph.finish()
    seam = reordered.pts[33:38]  # where the first decoder is emptied before its pictures are complete
    assert [pts for pts in sink.pts("a") if pts not in seam] == [pts for pts in reordered.pts if pts not in seam]
    assert {unit.pts - unit.dts for unit in sink.units["a"] if unit.pts not in seam} == {2 * 3600}
    _check_dts(sink, "a")


def test_profile_level_and_size_are_in_the_configuration(plain: Film) -> None:
    rungs = [
        rung("a", 180, profile="high", preset="veryfast"),
        rung("b", 120),
        rung("c", 96, codec="h265"),
        rung("d", 360),
    ]
    sink = lossless(plain, rungs)
    configs = {name: config_of(tracks[0]) for name, tracks in sink.tracks.items()}
    assert {name: (c.width, c.height) for name, c in configs.items()} == {
        "a": (320, 180),
        "b": (214, 120),
        "c": (170, 96),
        "d": (320, 180),  # never larger than the source
    }
    assert configs["b"].codec_string == "avc1.42c00d"  # 400 kb/s are above level 1.2
    assert configs["a"].profile_idc == 100
    assert configs["c"].codec_string.startswith("hvc1.1.6.L60")


def test_parameter_sets_and_encoder_notes_stay_out_of_units(plain: Film) -> None:
    sink = lossless(plain, [rung("a", 180), rung("b", 120, codec="h265")])
    kinds = {part[0] & 0x1F for unit in sink.units["a"] for part in unit.parts}
    assert kinds == {1, 5}
    kinds = {part[0] >> 1 & 0x3F for unit in sink.units["b"] for part in unit.parts}
    assert kinds <= {0, 1, 19, 20, 39}


def test_an_encoder_makes_no_keyframes_of_its_own(films: dict[str, Path], folder: Path) -> None:
    source = encode(films["25"], f"{X264} -bf 0 -g 999 -x264-params scenecut=0", folder)
    sink = lossless(source, [rung("a", 180), rung("b", 120, codec="h265")])
    for output in "ab":
        assert sink.keyframes(output) == [source.pts[0], source.pts[50]]  # every 2 s
        types = [picture.frame.pict_type for picture in shown(sink, output)]
        assert [n for n, kind in enumerate(types) if kind == 1] == [0, 50]
        assert 3 not in types  # no B


def test_a_keyframe_that_is_asked_for_comes_in_all_rungs(plain: Film) -> None:
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    graph.source(plain.track)
    graph.start(rung("a", 180))
    graph.start(rung("b", 120, codec="h265"))
    for unit in plain.units[:10]:
        graph.feed(unit)
    sink.wait_done(10)
    graph.force_keyframe()
    for unit in plain.units[10:20]:
        graph.feed(unit)
    graph.finish()
    assert sink.keyframes("a") == sink.keyframes("b") == [plain.pts[0], plain.pts[10]]


def test_a_rung_that_starts_later_begins_with_a_keyframe_that_all_rungs_share(plain: Film) -> None:
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    graph.source(plain.track)
    graph.start(rung("a", 180))
    for unit in plain.units[:7]:
        graph.feed(unit)
    graph.start(rung("b", 120))
    for unit in plain.units[7:12]:
        graph.feed(unit)
    sink.wait_units("a", 12)
    sink.wait_units("b", 5)
    graph.stop("a")
    graph.start(rung("b", 96, run=1))
    for unit in plain.units[12:15]:
        graph.feed(unit)
    graph.finish()
    assert sink.keyframes("a") == [plain.pts[0], plain.pts[7]]
    assert sink.keyframes("b") == [plain.pts[7], plain.pts[12]]
    assert [unit.run for unit in sink.units["b"]] == [0] * (len(sink.units["b"]) - 3) + [1] * 3
    assert [track.run for track in sink.tracks["b"]] == [0, 1]


def test_to_catch_up_pictures_are_decoded_and_not_encoded(reordered: Film) -> None:
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    graph.source(reordered.track)
    graph.live_from(reordered.pts[40])
    graph.start(rung("a", 180))
    for unit in reordered.units:
        graph.feed(unit)
    graph.finish()
    assert sink.pts("a") == reordered.pts[40:]
    assert sink.keyframes("a") == [reordered.pts[40], reordered.pts[50]]
    assert {unit.pts - unit.dts for unit in sink.units["a"]} == {2 * 3600}
    assert [picture.code_ms for picture in shown(sink, "a")] == TIMES["25"][40:]


def test_a_lower_frame_rate_keeps_every_keyframe(plain: Film) -> None:
    sink = lossless(plain, [rung("a", 180), rung("b", 120, frame_rate=10.0), rung("c", 96, frame_rate=60.0)])
    assert sink.keyframes("b") == sink.keyframes("a") == sink.keyframes("c")
    assert 22 <= len(sink.pts("b")) <= 27
    assert len(sink.pts("c")) == 60
    steps = [b - a for a, b in pairwise(sink.pts("b"))]
    assert set(steps) <= {3600, 7200, 10800}


NOISE = f"-vf noise=alls=60:allf=t {X264} -bf 0 -enc_time_base 1:1000"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[VideoEncoder]:
    """The encoders that were begun."""
    encoders: list[VideoEncoder] = []

    class Watched(VideoEncoder):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            encoders.append(self)

    monkeypatch.setattr("ingest.rung_thread.VideoEncoder", Watched)
    return encoders


@pytest.mark.parametrize("times", ["15, then 30", "30, then 60"])
def test_a_source_that_becomes_twice_as_fast_takes_no_more_bits(
    films: dict[str, Path], folder: Path, times: str
) -> None:
    source = encode(films[times], NOISE, folder)
    rungs = [rung("a", 96, bitrate=300_000), rung("b", 90, bitrate=200_000, codec="h265")]
    sink = lossless(source, rungs)
    assert sink.failed == []
    assert sink.keyframes("a") == sink.keyframes("b")
    since = min(pts for pts in sink.keyframes("a") if pts >= 5 * 90_000)
    for asked in rungs:
        assert sink.pts(asked.output) == source.pts
        assert [picture.pts for picture in shown(sink, asked.output)] == source.pts
        units = [unit for unit in sink.units[asked.output] if unit.pts >= since]
        bits = 8 * sum(len(part) for unit in units for part in unit.parts)
        rate = bits / ((units[-1].pts - since) / 90_000 + 1 / 30)
        assert 0.7 * asked.bitrate < rate < 1.15 * asked.bitrate


def test_an_encoder_with_a_lower_rate_of_its_own_stays_when_the_source_becomes_faster(
    films: dict[str, Path], folder: Path, opened: list[VideoEncoder]
) -> None:
    source = encode(films["15, then 30"], f"{X264} -bf 0 -enc_time_base 1:1000", folder)
    lossless(source, [rung("a", 96, frame_rate=10.0)])
    assert [encoder.frame_rate for encoder in opened] == [10.0]


def test_holes_are_no_other_frame_rate(films: dict[str, Path], folder: Path, opened: list[VideoEncoder]) -> None:
    """Not even one right before each keyframe."""
    source = encode(films["30 with holes"], f"{X264} -g 60 -bf 0 -enc_time_base 1:1000", folder)
    sink = lossless(source, [rung("a", 96)])
    assert sink.pts("a") == source.pts
    declared, measured = (encoder.frame_rate for encoder in opened)
    assert declared != measured
    assert 29 < measured < 31


@pytest.mark.parametrize(
    ("filters", "height", "expected"),
    [
        ("scale=180:320", 90, (90, 160)),  # upright: the shorter side counts
        ("scale=319:179:flags=neighbor,format=yuv444p", 120, (214, 120)),
        ("scale=319:179:flags=neighbor,format=yuv444p", 180, (318, 178)),
        ("scale=240:180,setsar=4/3", 90, (160, 90)),  # square pixels come out
        ("scale=320:240,setsar=1/2", 120, (120, 180)),
    ],
)
def test_shape_is_kept_and_sides_are_even(
    films: dict[str, Path], folder: Path, filters: str, height: int, expected: tuple[int, int]
) -> None:
    source = encode(films["25"], f"-frames:v 3 -vf {filters} {X264} -profile:v high444 -bf 0", folder)
    sink = lossless(source, [rung("a", height)])
    config = config_of(sink.tracks["a"][0])
    assert (config.width, config.height) == expected
    assert len(shown(sink, "a")) == 3


COLOURS = "-color_primaries {0} -color_trc {1} -colorspace {2} -color_range {3}"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("bt709", "bt709", "bt709", "tv"), (1, 1, 1, 1)),
        (("bt2020", "smpte2084", "bt2020nc", "tv"), (9, 16, 9, 1)),
        (("bt709", "bt709", "bt709", "pc"), (1, 1, 1, 2)),
        (("smpte170m", "smpte170m", "smpte170m", "tv"), (6, 6, 6, 1)),
    ],
)
def test_colour_is_carried(
    films: dict[str, Path], folder: Path, tags: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    primaries, transfer, matrix, depth = tags
    spec = f"setparams=color_primaries={primaries}:color_trc={transfer}:colorspace={matrix}:range={depth}"
    source = encode(films["25"], f"-frames:v 3 -vf {spec} {X264} -bf 0", folder)
    sink = lossless(source, [rung("a", 180), rung("b", 120), rung("c", 96, codec="h265")])
    for output in "abc":
        frame = shown(sink, output)[0].frame
        found = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
        assert tuple(map(int, found)) == expected
    before = _decoded(source)[0].to_ndarray()[:180].mean()
    for output in "abc":  # the pixels are what they were: nothing was stretched
        frame = shown(sink, output)[0].frame
        assert abs(frame.to_ndarray()[: frame.height].mean() - before) < 1.5


def test_a_picture_without_tags_is_tagged_as_players_take_the_source(films: dict[str, Path], folder: Path) -> None:
    small = encode(films["25"], f"-frames:v 1 {X264}", folder)
    large = encode(films["25"], f"-frames:v 1 -vf scale=1280:720 {X264}", folder)
    for source, expected in ((small, 6), (large, 1)):
        assert int(shown(lossless(source, [rung("a", 120)]), "a")[0].frame.colorspace) == expected


def _decoded(source: Film) -> list[av.VideoFrame]:
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = source.track.record
    frames: list[av.VideoFrame] = []
    for unit in source.units:
        frames += context.decode(av.Packet(join_length_prefixed(unit.parts)))
    return frames + context.decode(None)


def test_interlaced_pictures_come_out_whole_and_none_is_lost(films: dict[str, Path], folder: Path) -> None:
    source = encode(films["25"], f"-vf setfield=tff {X264} -bf 2 -flags +ildct+ilme", folder)
    sink = lossless(source, [rung("a", 180), rung("b", 120)])
    pictures = shown(sink, "b")
    assert [picture.pts for picture in pictures] == source.pts
    assert [picture.code_ms for picture in pictures] == TIMES["25"]
    assert not any(picture.frame.interlaced_frame for picture in pictures)


def test_a_change_of_size_codec_and_shape_goes_on_under_the_same_names(films: dict[str, Path], folder: Path) -> None:
    parts = [
        encode(films["25"], f"-frames:v 20 {X264} -bf 2", folder),
        encode(films["25"], f"-frames:v 20 -vf scale=240:134 {X265}:bframes=2", folder),
        encode(films["25"], f"-frames:v 20 {X264} -bf 0 -profile:v baseline", folder),
    ]
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    graph.start(rung("a", 180))
    graph.start(rung("b", 96))
    wanted: list[int] = []
    for number, part in enumerate(parts):
        moved = part.moved(number * 90_000, seq=number * 100, track=number)
        graph.source(moved.track)
        for unit in moved.units:
            graph.feed(unit)
        wanted += moved.pts
    graph.finish()
    assert sink.problems == []
    assert sink.pts("a") == sink.pts("b") == wanted
    assert sink.keyframes("a") == sink.keyframes("b") == [wanted[0], wanted[20], wanted[40]]
    sizes = [(config_of(track).width, config_of(track).height) for track in sink.tracks["a"]]
    assert sizes == [(320, 180), (240, 134), (320, 180)]
    for output in "ab":
        assert [picture.code_ms for picture in shown(sink, output)] == TIMES["25"][:20] * 3
        _check_dts(sink, output)


def test_a_source_that_does_not_begin_with_a_keyframe_asks_for_one(plain: Film) -> None:
    sink = lossless(replace(plain, units=plain.units[5:]), [rung("a", 120)])
    assert sink.wanted[0] == "the source does not begin with a keyframe"
    assert sink.problems == ["before the first keyframe"] * 20
    assert sink.pts("a") == plain.pts[25:]


def test_leading_pictures_without_their_references_are_not_shown(films: dict[str, Path], folder: Path) -> None:
    for codec in (f"{X264} -g 27 {OPEN}", f"{X265}:keyint=27:bframes=3:b-adapt=0:open-gop=1"):
        source = encode(films["25"], codec, folder)
        second = [n for n, unit in enumerate(source.units) if unit.keyframe][1]
        cut = replace(source, units=source.units[second:])
        leading = [unit.pts for unit in cut.units if unit.pts < cut.units[0].pts]
        assert leading, "the film has no leading pictures"
        sink = Sink()
        graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
        graph.source(cut.track)
        graph.start(rung("a", 120))
        for unit in cut.units:
            graph.feed(unit)
        graph.finish()
        assert sink.pts("a") == [pts for pts in cut.pts if pts not in leading]
        assert graph.report()[0].hidden == len(leading)
        assert all(picture.code_ms is not None for picture in shown(sink, "a"))


def test_a_source_that_is_too_large_is_refused_with_its_size(plain: Film, films: dict[str, Path], folder: Path) -> None:
    large = encode(films["25"], f"-frames:v 2 -vf scale=640:360 {X264}", folder)
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None, max_pixels=400 * 200))
    graph.start(rung("a", 120))
    for track in (large, plain.moved(90_000, seq=50, track=2)):
        graph.source(track.track)
        for unit in track.units:
            graph.feed(unit)
    graph.finish()
    assert sink.refused == ["a picture of 640 x 360 exceeds 80000 pixels, so it is not decoded"]
    assert sink.problems == sink.refused * 2
    assert len(sink.pts("a")) == 60  # the next source is fine


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x01\x64\x00\x1f\xff\xe1\x00\x00\x01\x00\x00"])
def test_a_configuration_that_cannot_be_read_is_refused(plain: Film, record: bytes) -> None:
    for codec in ("h264", "h265", "vp8", "aac"):
        sink = lossless(replace(plain, track=plain.track._replace(codec=codec, record=record)), [rung("a", 120)])
        assert len(sink.refused) == 1
        assert sink.problems == sink.refused * 60


def test_an_encoder_that_does_not_begin_gives_up_its_rung_alone(plain: Film) -> None:
    sink = lossless(plain, [rung("a", 120), rung("b", 96, encoder="h264_nvenc", preset="p1")])
    assert [(failed.output, failed.run) for failed in sink.failed] == [("b", 0)]
    assert sink.failed[0].problem.startswith("h264_nvenc does not begin at 170 x 96: ")
    assert len(sink.pts("a")) == 60


def test_a_graph_can_be_closed_at_any_time_and_twice(plain: Film) -> None:
    for count in (0, 1, 30):
        sink = Sink()
        graph = VideoGraph(sink.emit)
        graph.source(plain.track)
        graph.start(rung("a", 120))
        for unit in plain.units[:count]:
            graph.feed(unit)
        graph.close()
        graph.close()
        said = len(sink.units.get("a", []))
        assert len(sink.units.get("a", [])) == said <= count


def test_what_it_did_and_what_it_cost_is_reported(plain: Film) -> None:
    sink = Sink()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=None))
    graph.source(plain.track)
    graph.start(rung("a", 180))
    graph.start(rung("b", 120, codec="h265"))
    for unit in plain.units:
        graph.feed(unit)
    graph.finish()
    source, rungs = graph.report()
    assert (source.frames, source.undecodable, source.hidden, source.depth_ms) == (60, 0, 0, 0)
    assert [(report.output, report.frames, report.dropped, report.depth_ms) for report in rungs] == [
        ("a", 60, 0, 0),
        ("b", 60, 0, 0),
    ]
    assert source.cpu_ms > 0
    assert all(report.cpu_ms > 0 for report in rungs)
    assert all(unit.spent_us > 0 for unit in sink.units["a"])


def test_what_obs_sends_is_encoded_whole() -> None:
    server, demuxer = RtmpServer(random_bytes=RANDOM), FlvDemuxer()
    session = (Path(__file__).parents[1] / "captures" / "obs29_rtmp.bin").read_bytes()
    pictures = []
    for at in range(0, len(session), 4096):
        server.receive_data(session[at : at + 4096])
        while (event := server.next_event()) is not None:
            if isinstance(event, PublishRequested):
                server.accept()
            if isinstance(event, TagReceived) and (unit := demuxer.read(event.tag)) is not None and unit.is_video:
                pictures.append(unit)
    config = pictures[0].track.config
    assert isinstance(config, H264Config)
    units = [SourceUnit(n, 1, unit.dts, unit.pts, unit.keyframe, unit.parts) for n, unit in enumerate(pictures)]
    source = Film(SourceTrack(1, "h264", config.to_avcc(), 0, 0), tuple(units))
    sink = lossless(source, [rung("a", 360), rung("b", 180), rung("c", 120, codec="h265")])
    assert (len(units), sink.problems) == (202, [])
    assert sink.pts("a") == sink.pts("b") == sink.pts("c") == source.pts
    assert sink.keyframes("a") == sink.keyframes("b") == sink.keyframes("c")
    assert {unit.pts for unit in units if unit.keyframe} <= set(sink.keyframes("a"))
    assert len(shown(sink, "c")) == 202

"""The graph under damage and overload: it answers every unit, keeps its rungs in step, and comes back."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.transcode_messages import MadeUnit, SourceUnit
from ingest.video_graph import Emitted, GraphLimits, VideoGraph
from tests.support.encoders import film
from tests.support.pictures import Film, Sink, encode, lossless, rung, shown

TIMES = [n * 40 for n in range(75)]
SOURCES = {
    "h264": "-c:v libx264 -preset ultrafast -threads 1 -g 25 -bf 2 -b_strategy 0",
    "h265": "-c:v libx265 -preset ultrafast -x265-params log-level=error:pools=1:frame-threads=1:keyint=25:bframes=2",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Film]:
    folder = tmp_path_factory.mktemp("faults")
    picture = film(folder / "film.nut", TIMES)
    return {name: encode(picture, arguments, folder) for name, arguments in SOURCES.items()}


Damage = Callable[[random.Random, list[SourceUnit]], list[SourceUnit]]


def flip(rng: random.Random, units: list[SourceUnit]) -> list[SourceUnit]:
    def spoil(part: bytes) -> bytes:
        spoilt = bytearray(part)
        for _ in range(3):
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        return bytes(spoilt)

    return [u._replace(parts=tuple(map(spoil, u.parts))) if rng.random() < 0.3 else u for u in units]


def cut(rng: random.Random, units: list[SourceUnit]) -> list[SourceUnit]:
    return [
        u._replace(parts=tuple(part[: rng.randrange(len(part))] for part in u.parts)) if rng.random() < 0.3 else u
        for u in units
    ]


def lose(rng: random.Random, units: list[SourceUnit]) -> list[SourceUnit]:
    return [u for u in units if rng.random() > 0.3]


def empty(rng: random.Random, units: list[SourceUnit]) -> list[SourceUnit]:
    return [u._replace(parts=rng.choice(((), (b"",), u.parts[:1]))) if rng.random() < 0.3 else u for u in units]


def nonsense(rng: random.Random, units: list[SourceUnit]) -> list[SourceUnit]:
    return [u._replace(parts=(rng.randbytes(rng.randrange(1, 400)),)) if rng.random() < 0.3 else u for u in units]


def lie(rng: random.Random, units: list[SourceUnit]) -> list[SourceUnit]:
    return [u._replace(keyframe=rng.random() < 0.5, pts=u.pts + rng.randrange(3) * 90) for u in units]


@pytest.mark.parametrize("damage", [flip, cut, lose, empty, nonsense, lie])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_damage_costs_pictures_and_nothing_else(sources: dict[str, Film], codec: str, damage: Damage) -> None:
    """The first two seconds are damaged, the last GOP is not: there every picture is right again."""
    source = sources[codec]
    clean = [n for n, unit in enumerate(source.units) if unit.keyframe][-1]
    for seed in range(4):
        units = damage(random.Random(seed), list(source.units[:clean])) + list(source.units[clean:])
        sink = lossless(replace(source, units=tuple(units)), [rung("a", 180), rung("b", 120, codec="h265")])
        assert [done.seq for done in sink.done] == [unit.seq for unit in units]
        assert sink.failed == []
        assert all(a.dts + 90 <= b.dts and b.dts <= b.pts for a, b in pairwise(sink.units["a"]))
        assert sink.pts("a") == sink.pts("b")
        assert sink.keyframes("a") == sink.keyframes("b")
        assert sink.pts("a")[-20:] == source.pts[-20:]
        assert [picture.code_ms for picture in shown(sink, "a")][-20:] == TIMES[-20:]
        if damage in (cut, empty, nonsense):
            assert sink.problems
            assert "the source is damaged" in sink.wanted or "the source does not begin with a keyframe" in sink.wanted


def test_requests_for_a_keyframe_are_half_a_second_apart(sources: dict[str, Film]) -> None:
    source = sources["h264"]
    first, *rest = source.units
    units = [first, *(unit._replace(keyframe=False, parts=(b"\x41" + bytes(9),)) for unit in rest)]
    sink = lossless(replace(source, units=tuple(units)), [rung("a", 180)])
    assert len(sink.problems) >= 70
    assert 5 <= len(sink.wanted) <= 7


def test_a_unit_of_another_track_is_answered(sources: dict[str, Film]) -> None:
    source = sources["h264"]
    sink = lossless(replace(source, units=tuple(unit._replace(track=9) for unit in source.units)), [rung("a", 180)])
    assert sink.problems == ["unit of track 9, which is not the last one"] * 75


class Stuck(Sink):
    """Whoever takes the units of rung `a` takes none for a while, as an encoder that is too slow would seem."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def emit(self, message: Emitted) -> None:
        if isinstance(message, MadeUnit) and message.output == "a":
            self.go_on.wait(30)
        super().emit(message)


def test_a_rung_that_lags_leaves_pictures_out_and_no_keyframe(sources: dict[str, Film]) -> None:
    source, sink = sources["h264"], Stuck()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=400))
    graph.source(source.track)
    graph.start(rung("a", 180))
    graph.start(rung("b", 120))
    for number, unit in enumerate(source.units, 1):
        graph.feed(unit)
        sink.wait_done(number)
        sink.wait_units("b", max(0, number - 6))  # at the pace of the other rung
    assert not sink.units.get("a")
    stuck = next(report for report in graph.report()[1] if report.output == "a")
    assert stuck.depth_ms <= 400 + 2_000  # what waits are pictures of 400 ms, and a keyframe now and then
    sink.go_on.set()
    graph.finish()
    reports = {report.output: report for report in graph.report()[1]}
    assert len(sink.pts("b")) == 75
    assert sink.keyframes("a") == sink.keyframes("b")
    assert reports["a"].dropped == 75 - len(sink.pts("a")) > 30
    assert reports["b"].dropped == 0
    assert sum(lag.dropped for lag in sink.lags) <= reports["a"].dropped
    assert sink.lags[0].output == "a"
    codes = [picture.code_ms for picture in shown(sink, "a")]
    assert None not in codes
    assert codes == sorted(codes)  # type: ignore[type-var]


def test_a_rung_can_be_stopped_while_it_hangs(sources: dict[str, Film]) -> None:
    source, sink = sources["h264"], Stuck()
    graph = VideoGraph(sink.emit, GraphLimits(max_lag_ms=400))
    graph.source(source.track)
    graph.start(rung("a", 180))
    graph.start(rung("b", 120))
    for unit in source.units[:30]:
        graph.feed(unit)
    sink.wait_done(30)
    sink.go_on.set()
    graph.stop("a")
    for number, unit in enumerate(source.units[30:]):
        graph.feed(unit)
        sink.wait_done(30 + number)
    graph.finish()
    assert sink.pts("a") == sorted(set(sink.pts("a")))
    assert sink.pts("b")[-1] == source.pts[-1]


def test_a_problem_of_whoever_listens_ends_one_rung(sources: dict[str, Film]) -> None:
    class Deaf(Sink):
        def emit(self, message: Emitted) -> None:
            if isinstance(message, MadeUnit) and message.output == "a":
                raise OSError("no ears")
            super().emit(message)

    sink = lossless(sources["h264"], [rung("a", 180), rung("b", 120)], Deaf())
    assert [failed.output for failed in sink.failed] == ["a"]
    assert "no ears" in sink.failed[0].problem
    assert sink.pts("b") == sources["h264"].pts


def test_the_same_film_gives_the_same_units(sources: dict[str, Film], tmp_path: Path) -> None:
    first, second = (lossless(sources["h264"], [rung("a", 180), rung("b", 96)]) for _ in range(2))
    for output in "ab":
        assert [unit.parts for unit in first.units[output]] == [unit.parts for unit in second.units[output]]


def test_a_source_that_breaks_a_rule_all_the_time_is_shown_all_the_same(sources: dict[str, Film]) -> None:
    """A broken SEI in each keyframe: the strict decoder takes none of them, every player shows them."""
    source = sources["h264"]
    odd = [
        unit._replace(parts=(b"\x06\x06\xff\x01\x80", *unit.parts)) if unit.keyframe else unit for unit in source.units
    ]
    film = [Film(source.track, tuple(odd)).moved(n * 270_000, n * 100) for n in range(3)]
    whole = replace(source, units=tuple(unit for part in film for unit in part.units))
    sink = lossless(whole, [rung("a", 180)])
    assert sink.pts("a") == whole.pts
    assert [picture.code_ms for picture in shown(sink, "a")] == TIMES * 3
    assert 1 <= len(sink.problems) <= 3

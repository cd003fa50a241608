"""A WebRTC viewer changes its rung: one RTP stream, decoded, and the bar code says that no picture is missing."""

from __future__ import annotations

import itertools
import random
from functools import cache

import pytest

from media.reasons import CODEC_CHANGED
from media.track import SOURCE
from relay.adaptation import Cause
from relay.rtp_packager import ASKED_FOR_TIME
from tests.support.ladder import SourceFilm
from tests.support.ladder_link import LadderLink
from tests.support.link import Conditions
from wire.rtp.packet import header_size


@cache
def film(gop: int = 25, bframes: int = 0) -> SourceFilm:
    return SourceFilm(500, size=(320, 180), gop=gop, bitrate=400_000, profile="baseline", bframes=bframes)


def watching(start: str = SOURCE, *, gop: int = 25, seconds: float = 1.0, **options: object) -> LadderLink:
    link = LadderLink(film(gop), start=start, **options)  # type: ignore[arg-type]
    link.run(seconds)
    assert link.session.is_watching
    assert link.viewer.shown
    return link


@pytest.mark.parametrize("lag", [0, 2, 6])
def test_up_and_down_on_common_keyframes(lag: int) -> None:
    link = watching("90p", lag=lag)
    for rung in (SOURCE, "180p", "90p", SOURCE):
        link.seat.move(rung, Cause.FITS)
        link.run(1.5)
        assert link.session.renditions == (rung,)
    assert link.is_whole() == [(160, 90), (320, 180), (160, 90), (320, 180)]
    assert link.viewer.plis == 0


@pytest.mark.parametrize(("is_hasty", "within"), [(False, 0.4), (True, 1.4)])
def test_from_the_source_down_nobody_waits_for_its_next_keyframe(is_hasty: bool, within: float) -> None:
    link = watching(gop=250)
    link.ladder.is_hasty = is_hasty
    link.seat.move("90p", Cause.ESTIMATE)
    link.run(within)
    assert link.session.renditions == ("90p",)
    link.run(1)
    assert link.is_whole() == [(320, 180), (160, 90)]
    assert link.viewer.plis == 0


def test_a_rung_that_makes_no_keyframe_costs_a_moment_and_no_picture() -> None:
    link = watching(gop=250)
    link.ladder.is_deaf = True
    link.seat.move("90p", Cause.ESTIMATE)
    link.run(4)
    assert link.session.renditions == (SOURCE,)
    assert link.is_whole() == [(320, 180)]
    since = link.pair.now - 4
    times = [shown.at for shown in link.viewer.shown if shown.at > since]
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_lost_packets_are_repaired_across_a_switch(seed: int) -> None:
    link = LadderLink(film(), start="90p", conditions=Conditions(loss=0.05, delay=0.02), seed=seed)
    link.run(1.5)
    plis = link.viewer.plis
    for rung in (SOURCE, "180p", SOURCE, "90p") * 2:
        link.seat.move(rung, Cause.FITS)
        link.run(1.3)
    link.is_whole()
    assert link.session.counters.repaired > 10
    assert link.viewer.buffer.lost == 0
    assert link.viewer.plis == plis
    used: dict[tuple[int, int], bytes] = {}
    for datagram in link.port.log:
        assert header_size(datagram) in (12, 20)
        nonce = (int.from_bytes(datagram[8:12], "big"), int.from_bytes(datagram[2:4], "big"))
        assert used.setdefault(nonce, datagram) == datagram, "one nonce, two texts"


def test_a_shed_rung_hands_its_viewers_on_and_takes_pinned_ones_back() -> None:
    link = watching("180p", wanted="180p")
    link.ladder.shed("180p")
    link.run(1.2)
    assert link.session.renditions == ("90p",)
    assert not link.closed
    link.ladder.offer("180p")
    link.run(3)
    assert link.session.renditions == ("180p",)
    assert link.is_whole(holes=4)[-1] == (320, 180)
    assert [cause for _, _, cause, _ in link.switches] == [Cause.SHED, Cause.ASKED]


@pytest.mark.parametrize("wanted", [None, "180p"])
def test_where_the_rung_below_is_shed_too_viewers_go_on_to_the_next(wanted: str | None) -> None:
    link = watching("180p", wanted=wanted)
    link.ladder.shed("180p")
    link.ladder.shed("90p")
    before = link.pair.now
    link.run(2.5)
    assert link.session.renditions == (SOURCE,)
    assert min(shown.at for shown in link.viewer.shown if shown.at > before + 0.2) < before + 1.5
    assert not link.closed
    link.is_whole(holes=40)


def test_where_all_other_rungs_are_shed_too_the_first_that_comes_back_is_shown() -> None:
    link = watching("180p", wanted="180p")
    link.stream.source_is_reordered = True
    link.ladder.shed("180p")
    link.ladder.shed("90p")
    link.run(2)
    before = len(link.viewer.shown)
    link.ladder.offer("90p")
    link.run(3)
    assert link.session.renditions == ("90p",)
    assert len(link.viewer.shown) > before + 10
    assert not link.closed


def test_what_an_ended_packager_has_sent_is_not_kept_for_those_who_have_moved_on() -> None:
    link = watching("180p", wanted="180p")
    old = link.packagers["180p"]
    link.ladder.shed("180p")
    link.run(1.5)
    assert link.session.renditions == ("90p",)
    assert old.is_ended
    assert [span.history for span in link.session.target._spans].count(old.history) == 1
    assert old.history.get(old.history.newest) is not None, "it may be asked for again"
    link.run(ASKED_FOR_TIME)
    assert not any(old.history._packets)
    link.is_whole(holes=4)


def test_without_another_rung_the_connection_waits_for_it_to_come_back() -> None:
    link = watching("180p", wanted="180p")
    link.stream.source_is_reordered = True
    link.ladder.offered = ["180p"]
    link.run(0.3)
    link.ladder.shed("180p")
    link.run(0.5)
    before = len(link.viewer.shown)
    link.ladder.offer("180p")
    link.run(1.5)
    assert not link.closed
    assert len(link.viewer.shown) > before + 10
    link.is_whole(holes=60)


def test_b_frames_that_begin_are_no_end_where_there_are_rungs() -> None:
    link = watching()
    packager = link.packagers[SOURCE]
    packager.reordered = True
    link.stream.source_is_reordered = True
    packager.end(CODEC_CHANGED)
    link.run(1.5)
    assert link.session.renditions == ("180p",)
    assert not link.closed
    link.is_whole(holes=8)


def test_a_low_estimate_falls_and_a_probe_finds_the_way_back() -> None:
    link = LadderLink(film(), start=SOURCE, adapts=True, remb=5_000_000)
    link.run(3)
    assert link.session.renditions == (SOURCE,)
    link.remb = 250_000
    link.run(2)
    assert link.session.renditions == ("90p",)
    link.remb = 300_000
    link.run(9)
    assert link.session.renditions == ("90p",)
    assert link.session.prober is not None
    assert link.session.prober.packets > 20, "it has tried"
    link.remb = 5_000_000
    link.run(4)
    link.is_whole()


@pytest.mark.parametrize("seed", range(5))
def test_many_changes_at_any_time_lose_nothing(seed: int) -> None:
    rng = random.Random(seed)
    link = LadderLink(film(rng.choice([12, 25, 60])), start=rng.choice(["90p", SOURCE]), lag=rng.choice([0, 1, 3]))
    link.run(1)
    for _ in range(14):
        link.run(rng.uniform(0.04, 0.9))
        link.seat.move(rng.choice(["90p", "180p", SOURCE]), rng.choice([Cause.FITS, Cause.ESTIMATE]))
    link.run(1)
    link.is_whole()
    assert link.viewer.plis == 0

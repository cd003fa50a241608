"""What counts as on time, late, early and too late to be either; and where the ground truth is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.sync_figures import Drawn, Firing, Judge, Judged, Posted, figures, instants, placement, true_place
from bench.sync_host import Capture, Captures
from bench.sync_probe import Fits, Shown

FRAME_MS, REFRESH_MS = 40, 16
OFFSET_MS = -500
"""`t - burned pts` of host 1; of host 2 it is 1,000 ms more."""


def code_at(t_ms: int) -> tuple[int, int]:
    return (1, t_ms - OFFSET_MS)


@pytest.fixture
def fits() -> Fits:
    fits = Fits()
    fits.add(Shown(1000, *code_at(1000)))
    fits.add(Shown(9000, 2, 9000 - OFFSET_MS - 1000))
    return fits


@pytest.fixture
def captures() -> Captures:
    """A frame each 40 ms from Unix second 100, which is `t` 1,000."""
    return Captures(Capture(*code_at(1000 + FRAME_MS * n), 100 + FRAME_MS * n / 1000) for n in range(100))


DRAWN = [Drawn(1000 + FRAME_MS * n, None, 100_200 + FRAME_MS * n, 100_210 + FRAME_MS * n, n) for n in range(100)]
"""Each frame is presented 200 ms after its capture."""
EVENT = Posted("sync-1", "t", 99.0, None, 2010.0)
FIRING = Firing("sync-1", 2010.0, code_at(2040), 101_240, 100_500, 2040, "frame", is_background=False)


def judge(fits: Fits, captures: Captures, firing: Firing | None, drawn: list[Drawn] | None = None) -> Judged:
    judge = Judge(fits, captures, DRAWN if drawn is None else drawn, allowed_ms=FRAME_MS + REFRESH_MS)
    return judge.judge(EVENT, firing)


@pytest.mark.parametrize(
    ("shown_t", "verdict"),
    [
        (2008, "early"),
        (2009, "on time"),  # within the millisecond that FLV cuts off
        (2010, "on time"),
        (2066, "on time"),
        (2067, "late"),
        (5000, "late"),
        (0, "early"),
    ],
)
def test_the_displayed_code_decides_and_not_what_the_page_says(
    fits: Fits, captures: Captures, shown_t: int, verdict: str
) -> None:
    found = judge(fits, captures, replace(FIRING, code=code_at(shown_t)))
    assert found.verdict == verdict
    assert found.apart_ms == shown_t - 2010
    assert found.said_ms == 30
    assert found.ahead_ms == 740


def test_a_late_event_whose_frame_was_never_displayed_is_told_apart(fits: Fits, captures: Captures) -> None:
    late = replace(FIRING, code=code_at(2160))
    whole = judge(fits, captures, late)
    assert (whole.verdict, whole.jumped) == ("late", False)
    holed = judge(fits, captures, late, [frame for frame in DRAWN if not 2010 <= frame.t_ms < 2160])
    assert (holed.verdict, holed.jumped) == ("late", True)
    assert figures([whole, holed, holed], [FIRING], 56).jumped == 2


@pytest.mark.parametrize(
    ("changes", "missing", "jumped"),
    [
        ({}, (2010, 2120), True),
        ({"by": "timer"}, (2010, 2120), False),
        ({}, (2010, 2080), False),  # another one was displayed before
        ({"frame_ms": 2040}, (2080, 2160), False),  # it was displayed in its time
    ],
)
def test_the_frame_that_a_page_fired_with_after_a_stall_was_not_displayed_before(
    fits: Fits, captures: Captures, changes: dict[str, object], missing: tuple[int, int], jumped: bool
) -> None:
    firing = replace(FIRING, **({"code": code_at(2160), "frame_ms": 2120.0} | changes))  # type: ignore[arg-type]
    found = judge(fits, captures, firing, [frame for frame in DRAWN if not missing[0] <= frame.t_ms < missing[1]])
    assert (found.verdict, found.jumped) == ("late", jumped)


def test_hosts_have_clocks_of_their_own(fits: Fits, captures: Captures) -> None:
    assert judge(fits, captures, replace(FIRING, code=(2, code_at(2040)[1]))).apart_ms == 1030


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"code": None}, "unreadable"),
        ({"code": (3, 2540)}, "unreadable"),  # a host that nobody has seen
        ({"is_background": True}, "background"),
        ({"by": "wall"}, "instant"),
        # The frame of 2040 was presented at 101,240.
        ({"arrived_ms": 101_239.0, "code": code_at(2080)}, "late"),
        ({"arrived_ms": 101_241.0, "code": code_at(2080)}, "came late"),
        ({"arrived_ms": 101_241.0, "code": code_at(2000)}, "early"),
        ({"arrived_ms": None, "code": code_at(2080)}, "late"),
    ],
)
def test_what_no_frame_could_be_met_by_is_counted_apart(
    fits: Fits, captures: Captures, changes: dict[str, object], verdict: str
) -> None:
    assert judge(fits, captures, replace(FIRING, **changes)).verdict == verdict  # type: ignore[arg-type]


def test_a_viewer_who_came_after_the_event_got_it_late(fits: Fits, captures: Captures) -> None:
    late = replace(FIRING, code=code_at(3000))
    assert judge(fits, captures, late, DRAWN[30:]).verdict == "came late"
    assert judge(fits, captures, late, []).verdict == "late"
    assert judge(fits, captures, None).verdict == "missing"


def test_the_truth_is_what_was_being_captured(fits: Fits, captures: Captures) -> None:
    def at(wall: float) -> float | None:
        return true_place(Posted("x", "now", wall, wall, 0.0), fits, captures)

    assert at(100.0) == 1000
    assert at(100.030) == pytest.approx(1030)
    assert at(100.045) == pytest.approx(1045)
    assert at(99.9) is None
    assert at(200.0) is None  # long after the last capture
    assert true_place(EVENT, fits, captures) is None  # no instant was meant
    now = replace(EVENT, how="now", wall=101.0)
    assert placement([now, replace(now, t_ms=2004.0), EVENT], fits, captures) == {
        "now": [pytest.approx(10), pytest.approx(4)]
    }
    judged = Judge(fits, captures, DRAWN, allowed_ms=56).judge(now, FIRING)
    assert judged.truth_ms == pytest.approx(40)


def test_ninety_nine_of_a_hundred_are_good_and_one_early_is_not() -> None:
    def judged(*verdicts: str) -> list[Judged]:
        return [Judged(EVENT, verdict, 5.0, None, 100.0, 5.0) for verdict in verdicts]

    good = figures(judged(*["on time"] * 99, "late", "came late", "background"), [FIRING], 56)
    assert good.is_good
    assert good.share == 0.99
    assert good.counts == {"on time": 99, "late": 1, "came late": 1, "background": 1}
    assert (good.displayed.count, good.came_late.count) == (100, 1)
    for bad in (["late"] * 2, ["early"], ["missing"], ["unreadable"]):
        assert not figures(judged(*["on time"] * 99, *bad), [FIRING], 56).is_good
    assert not figures(judged("on time"), [FIRING, FIRING], 56).is_good  # it fired twice
    nothing = figures(judged("came late"), [FIRING], 56)
    assert nothing.share is None
    assert nothing.is_good


def test_an_instant_is_as_exact_as_the_pages_are_together() -> None:
    wall = replace(FIRING, by="wall")
    pages = [{"a": wall, "b": FIRING}, {"a": replace(wall, fired_ms=wall.fired_ms + 7), "b": FIRING}]
    assert instants(pages) == [7]
    assert instants([]) == []


def test_a_firing_and_a_frame_are_read_from_the_recorders_json() -> None:
    raw = {"id": "sync-1", "t": 180_900, "code": [1, 2540], "firedMs": 101_240, "arrivedMs": 100_500, "frameT": 183_600}
    assert Firing.of(raw | {"by": "frame", "hidden": False, "visibleForMs": None, "kind": "product.show"}) == FIRING
    rest = {"by": "timer", "hidden": False, "visibleForMs": None}
    empty = Firing.of(raw | rest | {"t": None, "code": None, "frameT": None})
    assert (empty.t_ms, empty.code, empty.frame_ms, empty.is_background) == (None, None, None, False)
    assert Firing.of(raw | rest | {"hidden": True}).is_background
    assert Firing.of(raw | rest | {"visibleForMs": 200}).is_background
    assert not Firing.of(raw | rest | {"visibleForMs": 2000}).is_background
    assert not Firing.of(raw | rest | {"visibleForMs": 200, "by": "frame"}).is_background
    assert Drawn.of([90_000, 1, 1500, 100_200, 100_210, 0]) == replace(DRAWN[0], code=(1, 1500))
    assert Drawn.of([90_000, None, None, 100_200, 100_210, 0]) == DRAWN[0]

"""An event lands on its frame: read back from the picture that Chromium displays, on several transports at once.

What a test asserts holds on a busy machine too: no event is early, lost or doubled, `t` is exact, and an event that is
late is late because its frame was never displayed. The share that is on time is a figure of a quiet machine: see the
long tests, and docs/performance.md.
"""

from __future__ import annotations

import pytest

from bench.network import NoNetwork
from bench.sync import run_sync_bench
from bench.sync_result import PageResult, SyncResult
from bench.sync_run import SyncOptions
from bench.sync_scenarios import TOGETHER_MS

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.usefixtures("built_pages")]

MOSTLY = 0.8
"""Of the events whose frame was displayed."""
QUICK = {"events": 10, "gap": (0.2, 0.4), "settle": 2.0, "outage": 2.0, "hidden": 3.0}


def sync(**options: object) -> SyncResult:
    result = run_sync_bench(SyncOptions(**(QUICK | options)))  # type: ignore[arg-type]
    assert result.is_steady, "t - burned pts is one constant for each host"
    assert result.unreadable == 0
    for page in result.pages:
        check(page)
    return result


def check(page: PageResult) -> None:
    events, counts = page.events, page.events.counts
    assert page.complaints == ()
    assert events.twice == 0
    assert not counts.keys() & {"early", "missing", "unreadable"}, (counts, page.quality)
    displayed = counts.get("on time", 0) + counts.get("late", 0) - events.jumped
    assert counts.get("on time", 0) >= MOSTLY * displayed, counts
    wrong = [one for one in page.judged if one.said_ms is not None and one.said_ms < -1]
    assert wrong == [], "the page itself never says that it fired early"


@pytest.mark.parametrize("ingest", ["rtmp", "whip"])
def test_on_every_transport_at_once(ingest: str) -> None:
    result = sync(ingest=ingest, via=("webrtc", "ws", "http"))
    assert [page.quality["transport"] for page in result.pages] == ["webrtc", "ws", "http"]
    assert all(page.events.counts.get("on time", 0) > 0 for page in result.pages)
    assert all(page.glass.read > 30 for page in result.pages)


def test_across_a_hosts_blip_with_another_clock() -> None:
    result = sync(scenario="blip", events=14)
    assert sorted(result.fits) == [1, 2]
    assert all(page.quality["stats"]["connections"] == 1 for page in result.pages)


def test_behind_two_per_cent_loss() -> None:
    try:
        result = sync(loss=2.0)
    except NoNetwork as exc:
        pytest.skip(str(exc))
    webrtc = next(page for page in result.pages if page.via == "webrtc")
    assert webrtc.quality["received"]["video"]["nackCount"] > 0, "something was lost"


def test_a_page_that_was_in_the_background_is_on_time_again() -> None:
    result = sync(scenario="tab", events=16, gap=(0.3, 0.5))
    for page in result.pages:
        assert page.events.counts.get("background", 0) > 0
        last = [one.verdict for one in page.judged if one.event.id == "sync-15"]
        assert last in (["on time"], ["late"]), "after the return"


def test_nothing_comes_early_to_a_late_joiner() -> None:
    result = sync(scenario="late")
    late = [page for page in result.pages if page.name.endswith("late")]
    assert [page.via for page in late] == ["webrtc", "ws"]
    assert all(page.events.counts.get("came late", 0) > 0 for page in late), "what had been shown before they came"


def test_by_wall_clock_every_page_fires_at_one_instant() -> None:
    result = sync(scenario="wall")
    assert all(page.events.by == {"wall": 10} for page in result.pages)
    apart = result.found["between_pages_ms"]
    assert apart.count == 10
    assert apart.p50 < TOGETHER_MS


def test_after_a_hold_everybody_may_buy_at_one_instant() -> None:
    result = sync(scenario="hold", flags=("--set", "shop.hold_s=3"))
    assert result.found["bought_after_opening_ms"].count == 2
    assert result.found["wrong"] == []


def test_across_a_switch_to_another_rung_and_back() -> None:
    result = sync(scenario="rung", width=854, height=480, events=14)
    assert all(page.quality["stats"]["connections"] >= 3 for page in result.pages)
    assert all(page.quality["rendition"] is None for page in result.pages)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ingest", ["rtmp", "whip"])
def test_ninety_nine_of_a_hundred_are_on_time(ingest: str) -> None:
    """For a machine with nothing else to do."""
    result = sync(ingest=ingest, events=100, gap=(0.3, 1.3), settle=10.0)
    assert result.is_good
    aims = {"rtmp": {"webrtc": 250, "ws": 600}, "whip": {"webrtc": 120, "ws": 600}}[ingest]
    for page in result.pages:
        assert page.glass.latency.p50 is not None
        assert page.glass.latency.p50 < aims[page.via]

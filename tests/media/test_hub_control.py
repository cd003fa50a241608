"""What an operator and a stopping node do to a hub: blocks, draining, and looking at what publishers send."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from media import hub as hub_module
from media.histogram import Histogram
from media.hub import ClaimRefused, Hub, HubLimits, NotLive
from media.publisher import Publisher
from media.reasons import SHUTDOWN, STOPPED, Reason
from media.stream import Kinds
from media.unit import AccessUnit
from tests.support.units import FakeClock, picture, sound


def make_hub(clock: FakeClock, limits: HubLimits | None = None) -> Hub:
    numbers = itertools.count(1)
    return Hub(clock, new_epoch=lambda: f"epoch{next(numbers)}", limits=limits)


def claim(hub: Hub, key: str = "room", on_displaced: Callable[[Reason], None] = lambda reason: None) -> Publisher:
    return hub.claim(key, peer="tester", on_displaced=on_displaced)


def test_a_blocked_room_refuses_publishers_until_its_time_is_over() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    claim(hub)
    assert hub.end("room")
    hub.block("room", 60)
    clock.advance(20)
    with pytest.raises(ClaimRefused) as refused:
        claim(hub)
    assert refused.value.reason is STOPPED
    assert refused.value.retry_after == hub.blocked_for("room") == 40
    claim(hub, "another")
    clock.advance(40)
    hub.expire()
    claim(hub)


def test_a_block_is_lifted_by_zero_and_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_BLOCKED", 2)
    hub = make_hub(FakeClock())
    hub.block("room", 60)
    hub.block("room", 0)
    claim(hub)
    for key, seconds in (("a", 10), ("b", 30), ("c", 20)):
        hub.block(key, seconds)
    assert [key for key in "abc" if hub.blocked_for(key)] == ["b", "c"], "the one that ends first is forgotten"


async def test_a_draining_hub_takes_nobody_new_and_keeps_what_is_live() -> None:
    hub = make_hub(FakeClock())
    publisher = claim(hub)
    waiting = asyncio.create_task(hub.subscribe("later", wait=5))
    await asyncio.sleep(0)
    hub.drain()
    with pytest.raises(NotLive, match="going away"):
        await waiting
    with pytest.raises(NotLive, match="going away"):
        await hub.subscribe("later", wait=5)
    with pytest.raises(ClaimRefused) as refused:
        claim(hub, "new")
    assert refused.value.reason is SHUTDOWN
    assert publisher.is_active


def test_an_observer_sees_each_unit_as_it_was_sent_and_when() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    claimed: list[Publisher] = []
    hub.on_claim = claimed.append
    publisher = claim(hub)
    assert claimed == [publisher]
    seen: list[tuple[AccessUnit, float]] = []
    publisher.observe = lambda unit, arrived: seen.append((unit, arrived))
    sent = [picture(900_000, key=True), sound(900_090)]
    for unit in sent:
        clock.advance(1)
        publisher.publish(unit)
    assert seen == [(sent[0], 1_001.0), (sent[1], 1_002.0)], "on the publisher's own clock"
    publisher.release(clean=True)
    publisher.publish(sent[0])
    assert len(seen) == 2


def test_the_time_from_a_claim_to_media_for_viewers_is_counted() -> None:
    clock = FakeClock()
    hub = make_hub(clock)
    for expected in (1, 2):
        publisher = claim(hub)
        publisher.expect(Kinds(video=True, audio=False))
        clock.advance(0.3)
        publisher.publish(picture(0, key=True))
        assert hub.publish_times.count == expected
        publisher.release(clean=False)
    assert hub.publish_times.sum == pytest.approx(0.6)


def test_a_histogram_counts_in_steps_and_without_an_upper_end() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 1, 1]
    assert (histogram.count, histogram.sum) == (4, 102.0)

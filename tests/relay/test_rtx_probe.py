"""A probe fills a path up to a rate, with repeats of what was sent, and ends by itself."""

from __future__ import annotations

from relay.rtp_batch import SharedPacket
from relay.rtx_probe import LIFETIME, RtxProbe
from tests.support.rtp_viewers import Viewer, history_of, shared_packets
from tests.support.scheduler import FakeScheduler


def probing(rate: int, seconds: float, *, renew: bool = True) -> list[tuple[int, SharedPacket, float]]:
    scheduler, sent = FakeScheduler(), []
    history = history_of(shared_packets([1100, 1100, 90] * 10))
    viewer = Viewer()
    viewer.target.move(0, history)
    viewer.target.next = 30
    probe = RtxProbe(lambda own, packet, now: sent.append((own, packet, now)), scheduler=scheduler, now=scheduler.now)
    end = scheduler.time + seconds
    probe.fill(rate, viewer.target, history)
    while scheduler.time < end:
        scheduler.run(0.1)
        if renew:
            probe.fill(rate, viewer.target, history)
    return sent


def test_the_rate_is_what_was_wanted() -> None:
    sent = probing(800_000, 3.0)
    size = sum(len(packet.payload) + 66 for _, packet, _ in sent)
    assert 0.85 < 8 * size / 3.0 / 800_000 < 1.15
    assert all(len(packet.payload) > 1000 for _, packet, _ in sent), "many small packets would be dear"
    assert {own for own, _, _ in sent} <= set(range(1, 31)), "only what was sent"


def test_it_ends_when_it_is_not_renewed() -> None:
    sent = probing(800_000, 3.0, renew=False)
    assert max(at for _, _, at in sent) - min(at for _, _, at in sent) <= LIFETIME


def test_nothing_ends_it_at_once() -> None:
    assert probing(0, 1.0) == []

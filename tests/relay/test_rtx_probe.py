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
    probe.fill(rate, viewer.target)
    while scheduler.time < end:
        scheduler.run(0.1)
        if renew:
            probe.fill(rate, viewer.target)
    return sent


def test_the_rate_is_what_was_wanted() -> None:
    sent = probing(800_000, 3.0)
    size = sum(len(packet.payload) + 66 for _, packet, _ in sent)
    assert 0.85 < 8 * size / 3.0 / 800_000 < 1.15
    assert all(len(packet.payload) > 1000 for _, packet, _ in sent), "many small packets would be dear"
    assert {own for own, _, _ in sent} <= set(range(1, 31)), "only what was sent"


def test_after_a_move_only_what_was_sent_since_is_repeated() -> None:
    """The indices of what went out before are others: another packet under the number of one that was lost."""
    scheduler, sent = FakeScheduler(), []
    viewer, old, new = Viewer(), shared_packets([1100] * 30), shared_packets([1000] * 40)
    target = viewer.target
    history = history_of(old)
    target.move(0, history)
    target.next = 30
    probe = RtxProbe(lambda own, packet, now: sent.append((own, packet)), scheduler=scheduler, now=scheduler.now)
    probe.fill(1_000_000, target)
    scheduler.run(0.1)
    target.move(20, history)  # a replay
    scheduler.run(0.1)
    target.next = 25
    scheduler.run(0.1)
    target.move(10, history_of(new))  # another rung
    scheduler.run(0.1)
    target.next = 15
    scheduler.run(0.1)
    expected = {own: old[own - 1] for own in range(1, 31)}
    expected |= {own: old[own - 31 + 20] for own in range(31, 36)}
    expected |= {own: new[own - 36 + 10] for own in range(36, 41)}
    assert {own for own, _ in sent} & set(range(31, 36))
    assert {own for own, _ in sent} & set(range(36, 41))
    for own, packet in sent:
        assert packet == expected[own], own


def test_it_ends_when_it_is_not_renewed() -> None:
    sent = probing(800_000, 3.0, renew=False)
    assert max(at for _, _, at in sent) - min(at for _, _, at in sent) <= LIFETIME


def test_nothing_ends_it_at_once() -> None:
    assert probing(0, 1.0) == []

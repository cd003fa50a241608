"""The policy on simulated networks: it finds the best rung that fits, falls at once, and does not swing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.adaptation import Adaptation, Cause, Choice, Look

STEP = 0.25
LADDER = (Choice("source", 4_000_000), Choice("720p", 2_000_000), Choice("480p", 900_000), Choice("240p", 300_000))
Network = Callable[[float], int]


@dataclass
class Sim:
    """A viewer whose path carries what `network` says at each time, in bits a second."""

    network: Network
    choices: Sequence[Choice] = LADDER
    current: str = "source"
    now: float = 100.0
    moves: list[tuple[float, str, str]] = field(default_factory=list)
    queue: float = 0.0

    def __post_init__(self) -> None:
        self.start = self.now
        self.policy = Adaptation(self.now)

    @property
    def at(self) -> int:
        return next(n for n, choice in enumerate(self.choices) if choice.name == self.current)

    @property
    def bits(self) -> int:
        bits = self.choices[self.at].bits
        assert bits is not None
        return bits

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            self.step(self.network(self.now - self.start))

    def step(self, capacity: int) -> None:
        raise NotImplementedError

    def apply(self, look: Look) -> int:
        decision = self.policy.decide(look)
        if decision.rung != self.current:
            old, self.current = self.current, decision.rung
            self.moves.append((self.now - self.start, old, decision.rung))
            self.moved(old)
            self.policy.moved(self.now)
        return decision.probe

    def moved(self, old: str) -> None:
        pass

    def climbs(self, since: float = 0.0) -> int:
        order = [choice.name for choice in self.choices]
        return sum(at >= since and order.index(new) < order.index(old) for at, old, new in self.moves)


class TcpSim(Sim):
    """What the socket does not take waits; at a fall it is replaced by the smaller pictures."""

    def step(self, capacity: int) -> None:
        before = self.queue
        self.queue = max(0.0, self.queue + (self.bits - capacity) * STEP)
        is_limited = before > 0 and self.queue > 0
        self.apply(
            Look(
                self.now,
                self.choices,
                self.current,
                sent=self.bits,
                limit=capacity if is_limited else None,
                backlog_ms=int(1000 * self.queue / self.bits),
            )
        )

    def moved(self, old: str) -> None:
        before = next(choice.bits for choice in self.choices if choice.name == old)
        assert before is not None
        self.queue *= self.bits / before


class RembSim(Sim):
    """A receiver that grows its estimate by 8 % a second, up to 1.5 times what arrives, and cuts it on overuse.

    What is in the network's own queue, 0.3 s at most, is out of reach.
    """

    estimate = 300_000.0
    probe = 0

    def step(self, capacity: int) -> None:
        sent = max(self.bits, self.probe)
        arriving = min(sent, capacity)
        before = self.queue
        self.queue = min(max(0.0, self.queue + (sent - capacity) * STEP), 0.3 * capacity)
        if self.queue > before or sent > capacity:
            self.estimate = min(self.estimate, 0.85 * arriving)
        elif not self.queue:
            self.estimate = min(self.estimate * 1.08**STEP + 1000, max(self.estimate, 1.5 * arriving + 10_000))
        remb = int(self.estimate)
        self.probe = self.apply(
            Look(self.now, self.choices, self.current, sent=self.bits, limit=remb, proven=remb, can_probe=True)
        )


def fitting(capacity: int, choices: Sequence[Choice] = LADDER) -> str:
    return next((c.name for c in choices if c.bits is not None and c.bits <= capacity), choices[-1].name)


capacities = st.integers(350_000, 12_000_000).filter(
    lambda capacity: all(c.bits is None or not 0.85 < capacity / c.bits < 1.35 for c in LADDER)
)


@settings(max_examples=40, deadline=None)
@given(capacities, st.sampled_from([TcpSim, RembSim]), st.sampled_from([c.name for c in LADDER]))
def test_a_constant_network_ends_on_the_best_rung_that_fits(capacity: int, kind: type[Sim], start: str) -> None:
    sim = kind(lambda now: capacity, current=start)
    sim.run(120)
    stays = dict.fromkeys((c.name for c in LADDER), 0.0)
    for (since, _, name), (until, _, _) in pairwise([*sim.moves, (120.0, "", "")]):
        stays[name] += until - max(since, 60.0) if until > 60 else 0.0
    if sim.moves:
        assert stays[fitting(capacity)] > 0.75 * 60, sim.moves
    else:
        assert start == fitting(capacity)


@settings(max_examples=30, deadline=None)
@given(st.integers(100_000, 12_000_000), st.sampled_from([TcpSim, RembSim]))
def test_a_constant_network_is_tried_ever_more_rarely(capacity: int, kind: type[Sim]) -> None:
    sim = kind(lambda now: capacity)
    sim.run(900)
    assert sim.climbs(since=60) <= 2 * 840 / 120 + 4, sim.moves
    assert sim.climbs(since=400) <= 2 * 500 / 120 + 2, "one try in two minutes, of two rungs at most"


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([c.name for c in LADDER[:-1]]),
    st.floats(0.3, 0.6),
    st.sampled_from([TcpSim, RembSim]),
)
def test_a_network_that_falls_is_followed_within_two_seconds(start: str, share: float, kind: type[Sim]) -> None:
    bits = next(c.bits for c in LADDER if c.name == start)
    assert bits is not None
    narrow = int(bits * share)
    sim = kind(lambda now: 3 * bits if now < 10 else narrow, current=start, choices=LADDER[[*_names()].index(start) :])
    sim.estimate = 4.0 * bits  # type: ignore[attr-defined]
    sim.run(12)
    assert sim.current != start
    assert min(at for at, _, _ in sim.moves) <= 12
    sim.run(2)
    assert sim.bits <= max(narrow, 300_000)


@pytest.mark.parametrize("kind", [TcpSim, RembSim])
def test_a_network_that_recovers_is_climbed_again(kind: type[Sim]) -> None:
    sim = kind(lambda now: 6_000_000 if now < 10 or now > 30 else 1_200_000)
    if isinstance(sim, RembSim):
        sim.estimate = 6e6
    sim.run(25)
    assert sim.current == "480p"
    sim.run(60)
    assert sim.current == "source", sim.moves


def test_one_late_keyframe_changes_nothing() -> None:
    policy = Adaptation(0.0)
    assert policy.decide(Look(10.0, LADDER, "source", backlog_ms=500)).rung == "source"
    assert policy.decide(Look(10.25, LADDER, "source", backlog_ms=0)).rung == "source"
    assert policy.decide(Look(10.5, LADDER, "source", backlog_ms=500)).rung == "source"


def test_a_large_backlog_is_not_waited_for() -> None:
    decision = Adaptation(0.0).decide(Look(10.0, LADDER, "source", backlog_ms=900))
    assert (decision.rung, decision.cause) == ("720p", Cause.BACKLOG)


def test_loss_alone_falls_one_rung() -> None:
    policy = Adaptation(0.0)
    policy.decide(Look(10.0, LADDER, "source", loss=0.2))
    decision = policy.decide(Look(10.5, LADDER, "source", loss=0.2))
    assert (decision.rung, decision.cause) == ("720p", Cause.LOSS)


def test_an_estimate_that_drops_for_nothing_is_given_time() -> None:
    policy = Adaptation(0.0)
    for step in range(3):
        assert policy.decide(Look(10 + step / 4, LADDER, "source", sent=4_000_000, limit=1_500_000)).rung == "source"
    lossy = Look(10.75, LADDER, "source", sent=4_000_000, limit=1_500_000, loss=0.3)
    assert policy.decide(lossy).rung == "480p", "but losses speak of it as well"


def test_the_lowest_rung_stays_whatever_happens() -> None:
    policy = Adaptation(0.0)
    for step in range(40):
        assert policy.decide(Look(10.0 + step, LADDER, "240p", backlog_ms=5000, limit=1000)).rung == "240p"


def test_a_quiet_picture_is_no_reason_to_fall() -> None:
    """A receiver's estimate grows to 1.5 times what arrives, and little arrives of a still picture."""
    policy = Adaptation(0.0)
    for step in range(80):
        look = Look(10 + step / 4, LADDER, "source", sent=400_000, limit=600_000, proven=600_000)
        assert policy.decide(look).rung == "source"


def test_a_failed_probe_keeps_the_rung_and_waits() -> None:
    policy = Adaptation(0.0)
    look = Look(10.0, LADDER, "480p", sent=900_000, limit=1_300_000, proven=1_300_000, can_probe=True)
    assert policy.decide(look).probe > 1_300_000
    failing = Look(10.5, LADDER, "480p", sent=900_000, limit=1_000_000, proven=1_000_000, can_probe=True)
    decision = policy.decide(failing)
    assert (decision.rung, decision.probe) == ("480p", 0)
    assert not policy.is_probing
    later = Look(13.0, LADDER, "480p", sent=900_000, limit=1_300_000, proven=1_300_000, can_probe=True)
    assert policy.decide(later).probe == 0


def _names() -> list[str]:
    return [choice.name for choice in LADDER]

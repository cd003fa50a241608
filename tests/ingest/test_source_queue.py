"""Units on their way through a worker: what goes together, what is done, and what is blamed."""

from __future__ import annotations

import itertools
from collections import Counter

from ingest.source_queue import MAX_ON_THE_WAY, SourceQueue
from tests.support.units import sound

FRAME = 1920


def queue_of(count: int, *, step: int = FRAME) -> SourceQueue:
    queue = SourceQueue(Counter(), itertools.count(1).__next__)
    for index in range(count):
        queue.put(sound(index * step))
    return queue


def sent(queue: SourceQueue) -> list[int]:
    units: list[int] = []
    while (pending := queue.next()) is not None:
        units.append(pending.seq)
    return units


def test_units_go_in_pairs() -> None:
    assert not queue_of(0).is_due
    assert not queue_of(1).is_due
    queue = queue_of(2)
    assert queue.is_due
    assert sent(queue) == [1, 2]
    assert not queue.is_due
    queue.put(sound(2 * FRAME))
    assert (queue.is_due, queue.waiting) == (False, 1)


def test_long_units_go_alone() -> None:
    queue = queue_of(2, step=4180)
    sent(queue)
    queue.put(sound(3 * 4180))
    assert queue.is_due


def test_only_so_many_are_on_the_way() -> None:
    queue = queue_of(100)
    assert len(sent(queue)) == MAX_ON_THE_WAY
    queue.done(10)
    assert sent(queue) == list(range(MAX_ON_THE_WAY + 1, MAX_ON_THE_WAY + 11))


def test_of_two_that_went_together_the_poisonous_one_is_found_with_the_second_crash() -> None:
    for poison in (1, 2, 3):
        drops: Counter[str] = Counter()
        queue = SourceQueue(drops, itertools.count(1).__next__)
        for index in range(4):
            queue.put(sound(index * FRAME))
        assert sent(queue) == [1, 2, 3, 4]
        queue.blame()
        queue.rewind()
        answered: list[int] = []
        while (pending := queue.next()) is not None and pending.seq != poison:
            assert queue.next() is None
            answered.append(pending.seq)
            queue.done(pending.seq)
        queue.blame()
        assert drops == {"poison": 1}
        queue.rewind()
        assert poison not in sent(queue)


def test_after_what_a_worker_may_have_died_of_units_go_together_again() -> None:
    queue = queue_of(4)
    sent(queue)
    queue.blame()
    queue.rewind()
    for seq in range(1, 5):
        assert sent(queue) == [seq]
        queue.done(seq)
    for index in range(4, 8):
        queue.put(sound(index * FRAME))
    assert sent(queue) == [5, 6, 7, 8]


def test_a_worker_that_dies_without_a_unit_blames_none() -> None:
    queue = queue_of(4)
    queue.blame()
    assert len(sent(queue)) == 4

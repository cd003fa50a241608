"""Pictures on their way: whole groups, bounded in time, and never one in the middle left out."""

from __future__ import annotations

import itertools
from collections import Counter

from ingest.picture_queue import MAX_BEHIND, MAX_ON_THE_WAY, PictureQueue
from tests.support.units import picture

STEP = 3600


def new_queue() -> tuple[PictureQueue, Counter[str]]:
    drops: Counter[str] = Counter()
    return PictureQueue(drops, itertools.count(1).__next__), drops


def put(queue: PictureQueue, numbers: range, *, group: int = 50) -> None:
    for number in numbers:
        queue.put(picture(number * STEP, key=number % group == 0, composition=STEP if number % 2 else 0))


def sent(queue: PictureQueue) -> list[int]:
    found: list[int] = []
    while (pending := queue.next()) is not None:
        found.append(pending.unit.dts // STEP)
    return found


def test_it_begins_with_a_keyframe() -> None:
    queue, drops = new_queue()
    put(queue, range(48, 53))
    assert sent(queue) == [50, 51, 52]
    assert drops == {"before keyframe": 2}


def test_so_much_is_on_the_way_and_answers_make_room() -> None:
    queue, _ = new_queue()
    put(queue, range(20))
    first = sent(queue)
    assert first[-1] * STEP <= MAX_ON_THE_WAY < (first[-1] + 1) * STEP
    assert queue.has_sent(3)
    queue.done(3)
    assert not queue.has_sent(3)
    assert sent(queue) == [first[-1] + 1 + index for index in range(3)]


def test_slow_pictures_go_one_at_a_time() -> None:
    queue, _ = new_queue()
    for second in range(2):
        queue.put(picture(second * 90_000, key=True))
    assert sent(queue) == [0]
    queue.done(1)
    assert sent(queue) == [25]


def test_what_is_kept_for_joiners_may_all_wait() -> None:
    queue, drops = new_queue()
    queue.admit_all()
    put(queue, range(200), group=1000)
    queue.bound()
    put(queue, range(200, 200 + MAX_BEHIND // STEP), group=1000)
    assert not drops
    put(queue, range(230, 240), group=1000)
    assert queue.needs_keyframe
    assert drops["decoder behind"] > 200


def test_one_that_is_behind_begins_again_at_the_newest_keyframe() -> None:
    queue, drops = new_queue()
    put(queue, range(30), group=20)
    assert not queue.needs_keyframe
    assert sent(queue)[0] == 20
    assert drops["decoder behind"] == 20


def test_one_that_is_behind_without_a_keyframe_waits_for_the_next() -> None:
    queue, drops = new_queue()
    put(queue, range(60), group=1000)
    assert queue.needs_keyframe
    assert sent(queue) == []
    queue.put(picture(60 * STEP, key=True))
    assert sent(queue) == [60]
    assert drops.keys() == {"decoder behind", "before keyframe"}


def test_the_newest_picture_is_the_last_one_shown_of_its_group() -> None:
    queue, _ = new_queue()
    put(queue, range(4))
    assert queue.newest_pts == 4 * STEP
    queue.put(picture(10 * STEP, key=True))
    assert queue.newest_pts == 10 * STEP

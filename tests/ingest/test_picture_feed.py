"""What a decoder is given when it begins: from what is kept for joiners to the newest, as fast as it is taken."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest

from ingest.picture_feed import CAUGHT_UP, MAX_FILL, PictureFeed
from ingest.rung_faults import RungFaults
from ingest.transcode_limits import TranscodeCounters
from ingest.transcode_messages import LiveFrom, Message, SourceUnit
from media.clock import SystemClock
from media.gop import GopLimits
from media.stream import Stream
from tests.support.units import picture
from tests.support.worker_line import InlineLine

STEP = 3000
GROUP = 240
"""Pictures from keyframe to keyframe: 8 s."""
START = 7 * GROUP


class Worker(InlineLine):
    """A line with a worker that decodes `speed` pictures while the host makes one, and encodes at once."""

    def __init__(self, speed: int = 20, last_pts: int | None = None) -> None:
        super().__init__()
        self.speed = speed
        self.last_pts = last_pts
        self.counters = TranscodeCounters()
        self.made: list[tuple[int, int]] = []
        self.first_sent: int | None = None
        self._inbox: deque[Message] = deque()
        self._live = 0
        self._newest = START
        self._stream = Stream("room", "epoch", SystemClock(), GopLimits())
        self.feed = PictureFeed(
            *(self._stream, self, self.counters, RungFaults()), slowest=lambda: self.last_pts, on_end=lambda: None
        )

    def publish(self, count: int) -> None:
        for _ in range(count):
            self._stream.deliver(picture(self._newest * STEP, key=self._newest % GROUP == 0))
            self._newest += 1
            self._work()

    def die(self) -> None:
        """With all that it had. Another one is there when the feed joins again."""
        self._inbox.clear()
        self._live = 0

    def join(self) -> None:
        self.feed.join(fill_from=None if self.last_pts is None else self.last_pts + 1)

    @property
    def holes(self) -> list[int]:
        """Pictures that were left out at once."""
        return [b[1] - a[1] - 1 for a, b in pairwise(self.made) if b[1] - a[1] > 1]

    def _work(self) -> None:
        units = 0
        while units < self.speed and self._inbox:
            match self._inbox.popleft():
                case LiveFrom(pts=pts):
                    self._live = pts
                case SourceUnit() as unit:
                    units += 1
                    self._make(unit)
                case _:
                    pass

    def _make(self, unit: SourceUnit) -> None:
        if unit.pts >= self._live:
            self.made.append((self._newest, unit.pts // STEP))
            self.last_pts = unit.pts
        self.feed.answered(unit.seq)

    def send(self, message: Message) -> None:
        self._inbox.append(message)
        if isinstance(message, SourceUnit) and self.first_sent is None:
            self.first_sent = self._newest


async def test_a_rung_that_is_made_again_begins_as_soon_as_one_that_never_was() -> None:
    begun = []
    for last_pts in (None, (START - 10 * 30) * STEP):
        worker = Worker(last_pts=last_pts)
        worker.publish(60)
        worker.join()
        worker.publish(100)
        assert worker.first_sent == START + 60
        assert not worker.counters.drops
        assert not worker.holes
        begun.append(worker.made[0])
    assert begun[0] == begun[1]
    assert begun[0][0] - (START + 60) <= 5
    assert begun[0][0] - begun[0][1] <= 1 + CAUGHT_UP // STEP


@pytest.mark.parametrize("away", [15, 30, 45, 51, 57])
@pytest.mark.parametrize("speed", [6, 8, 10, 20])
async def test_a_restart_late_in_a_long_group_leaves_at_most_what_is_too_much_to_make_up_for(
    away: int, speed: int
) -> None:
    worker = Worker(speed, (START + 225 - away) * STEP)
    worker.publish(225)
    worker.join()
    worker.publish(300)
    assert not worker.counters.drops
    assert not worker.holes
    first_at, first = worker.made[0]
    is_made_up_for = first == START + 226 - away
    assert is_made_up_for or first_at - (START + 226 - away) > MAX_FILL // STEP
    assert first_at - (START + 225) <= 225 / (speed - 1) + 10
    assert worker.made[-1][1] == worker._newest - 1


async def test_what_was_missed_is_made_up_for_though_a_long_group_takes_a_while_to_decode() -> None:
    """By the time it has all been made, more than 2 s have passed since the first of it."""
    worker = Worker(20, (START + 240 - 51) * STEP)
    worker.publish(239)
    worker.join()
    worker.publish(60)
    assert worker.made[0][1] == START + 240 - 50
    assert not worker.holes
    assert not worker.counters.drops


@pytest.mark.parametrize("second", range(1, 30, 4))
async def test_a_second_death_while_the_first_is_made_up_for_opens_the_gate_again(second: int) -> None:
    worker = Worker(10, (START + 180 - 40) * STEP)
    worker.publish(180)
    worker.join()
    worker.publish(second)
    worker.die()
    made = worker.last_pts or 0
    worker.publish(30)
    worker.join()
    worker.publish(60)
    assert "before keyframe" not in worker.counters.drops
    assert all(hole > MAX_FILL // STEP for hole in worker.holes)
    assert worker.last_pts == (worker._newest - 1) * STEP
    assert worker.last_pts > made

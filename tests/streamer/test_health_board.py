"""Health joined to the hub: one monitor for each publisher, reports shared for a second, nothing left behind."""

from __future__ import annotations

import itertools

from media.hub import Hub
from media.publisher import Publisher
from media.stream import Kinds, Stream
from streamer.health_board import MAX_AGE_S, HealthBoard
from tests.support.units import FakeClock, picture, sound


class Ground:
    def __init__(self) -> None:
        self.clock = FakeClock()
        numbers = itertools.count(1)
        self.hub = Hub(self.clock, new_epoch=lambda: f"epoch{next(numbers)}")
        self.board = HealthBoard(self.hub, self.clock)
        self.hub.on_claim = self.board.watch

    def claim(self) -> Publisher:
        publisher = self.hub.claim("room", peer="tester", on_displaced=lambda reason: None)
        publisher.expect(Kinds(video=True, audio=True), frame_rate=30.0)
        return publisher

    @property
    def stream(self) -> Stream:
        stream = self.hub.get("room")
        assert stream is not None
        return stream

    def send(self, publisher: Publisher, seconds: int, *, start: int = 0) -> None:
        for index in range(30 * seconds):
            publisher.publish(picture(start + index * 3000, key=index % 60 == 0, size=4000))
            publisher.publish(sound(start + index * 3000))
            self.clock.advance(1 / 30)

    def codes(self) -> list[str]:
        report = self.board.report(self.stream)
        assert report is not None
        return [finding.code for finding in report.findings]


def test_a_good_stream_is_healthy_and_one_that_stops_is_not() -> None:
    ground = Ground()
    publisher = ground.claim()
    assert ground.codes() == ["measuring"]
    ground.send(publisher, 6)
    assert "healthy" in ground.codes()
    report = ground.board.report(ground.stream)
    assert report is not None
    assert report.video is not None
    assert report.video.declared_frame_rate == 30.0
    publisher.release(clean=False)
    ground.clock.advance(5)
    assert ground.codes() == ["nothing-arrives"]


def test_a_report_is_shared_for_a_second() -> None:
    ground = Ground()
    publisher = ground.claim()
    ground.send(publisher, 1)
    first = ground.board.report(ground.stream)
    assert ground.board.report(ground.stream) is first
    ground.clock.advance(MAX_AGE_S)
    assert ground.board.report(ground.stream) is not first


def test_what_the_timeline_left_out_is_in_the_report() -> None:
    ground = Ground()
    publisher = ground.claim()
    publisher.publish(picture(0))
    ground.send(publisher, 4)
    report = ground.board.report(ground.stream)
    assert report is not None
    assert report.counters.drops == {"before keyframe": 1}
    assert "units-dropped" in ground.codes()


def test_a_publisher_that_takes_over_is_judged_by_itself() -> None:
    ground = Ground()
    ground.send(ground.claim(), 6)
    second = ground.claim()
    assert ground.codes() == ["measuring"]
    ground.send(second, 6, start=90_000_000)
    assert "timestamp-jumps" not in ground.codes(), "another encoder's clock is no jump"


def test_a_stream_that_ended_leaves_nothing_behind() -> None:
    ground = Ground()
    ground.claim()
    stream = ground.stream
    ground.hub.end("room")
    ground.board.prune()
    assert ground.board.report(stream) is None
    ground.claim()
    ground.board.prune()
    assert ground.board.report(ground.stream) is not None
    assert ground.board.report(stream) is None

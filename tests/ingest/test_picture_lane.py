"""What a worker says of its lag, and what the node makes of it."""

from __future__ import annotations

import queue
from dataclasses import replace

import pytest

from ingest import picture_lane
from ingest.overload import Decision, Overload
from ingest.picture_lane import PictureLane
from ingest.picture_maker import PictureMaker
from ingest.transcode_limits import TranscodeCounters, TranscodeLimits
from ingest.transcode_messages import Done, MadeUnit, Message, RungReport, SourceReport
from media.clock import SystemClock
from media.gop import GopLimits
from media.rung import Rung
from media.stream import Stream
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.encoders import film
from tests.support.pictures import encode
from tests.support.transcode import Listener
from tests.support.worker_line import InlineLine
from wire.codecs.h264 import H264Config

RUNGS = (Rung("mid", Codec.H264, 120, 300_000), Rung("low", Codec.H264, 96, 200_000))


class Node(InlineLine):
    """One stream and its worker in one process: what the lane says is heard when the test waits for it."""

    limits = TranscodeLimits()
    rungs_made = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        monkeypatch.setattr(picture_lane, "REPORT_INTERVAL", 0.0)
        self.counters = TranscodeCounters()
        self.overload = Overload()
        self.reports: list[SourceReport | RungReport] = []
        self._said: queue.Queue[Message] = queue.Queue()
        self._lane = PictureLane(self._said.put)
        self._looks = 100
        self.stream = Stream("room", "epoch", SystemClock(), GopLimits())
        self.maker = PictureMaker(self.stream, self, self)
        self.stream.on_demand = lambda stream: self.maker.update()

    def wait(self, *, answers: int, made: int) -> None:
        while answers > 0 or made > 0:
            message = self._said.get(timeout=20)
            answers -= isinstance(message, Done)
            made -= isinstance(message, MadeUnit)
            self.hear(message)

    def hear(self, message: Message) -> None:
        if isinstance(message, SourceReport | RungReport):
            self.reports.append(message)
        self.maker.heard(message)

    def look(self) -> Decision | None:
        """The next second. Nobody is new any more, and the processors have nothing else to do."""
        self._looks += 1
        loads = [replace(load, age=60.0) for load in self.maker.loads()]
        return self.overload.judge(float(self._looks), loads, idle=1.9, cores=2)

    def close(self) -> None:
        self.maker.close()
        self._lane.close()

    # PictureOwner

    def rungs_of(self, key: str) -> tuple[Rung, ...]:
        return RUNGS

    def viewers_of(self, stream: Stream, name: str) -> int:
        return 1

    def watch_load(self) -> None:
        pass

    # InlineLine

    def send(self, message: Message) -> None:
        self._lane.handle(message)


@pytest.fixture(scope="module")
def slow_film(tmp_path_factory: pytest.TempPathFactory) -> list[AccessUnit]:
    """One picture a second."""
    folder = tmp_path_factory.mktemp("lane")
    times = [n * 1000 for n in range(8)]
    source = encode(film(folder / "1.nut", times), "-c:v libx264 -preset ultrafast -bf 0 -enc_time_base 1:1000", folder)
    track = Track(Codec.H264, H264Config.from_avcc(source.track.record)[0])
    return [AccessUnit(track, unit.dts, unit.pts, unit.keyframe, unit.parts) for unit in source.units]


def begin(node: Node, units: list[AccessUnit]) -> None:
    for unit in units:
        node.stream.deliver(unit)
    for rung in RUNGS:
        node.stream.attach(Listener(), video=rung.name, audio=None)
    node.wait(answers=len(units), made=1)  # the second rung begins with the next picture


async def test_a_source_of_one_picture_a_second_is_no_lag(
    slow_film: list[AccessUnit], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(monkeypatch)
    try:
        begin(node, slow_film[:1])
        for unit in slow_film[1:]:
            node.stream.deliver(unit)
            # reports come before the answer to the unit that brought them
            node.wait(answers=1, made=2)
            assert node.look() is None
        assert len(node.reports) >= 3 * 7
        assert {report.depth_ms for report in node.reports} == {0}
    finally:
        node.close()


@pytest.mark.parametrize("late", [SourceReport(500, 9, 0, 0, 0), RungReport("mid", 1, 500, 9, 0, 0)])
async def test_a_late_report_is_forgotten_while_the_publisher_pauses(
    slow_film: list[AccessUnit], monkeypatch: pytest.MonkeyPatch, late: SourceReport | RungReport
) -> None:
    node = Node(monkeypatch)
    try:
        begin(node, slow_film[:2])
        node.hear(late)
        assert max(load.lag_ms for load in node.maker.loads()) == 500
        node.stream.deliver(slow_film[2])
        node.wait(answers=1, made=2)
        node.hear(late)
        assert [node.look() for _ in range(5)] == [None] * 5
    finally:
        node.close()


async def test_a_lag_that_lasts_is_still_too_much(slow_film: list[AccessUnit], monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(monkeypatch)
    try:
        begin(node, slow_film[:2])
        decisions = []
        for unit in slow_film[2:5]:
            node.stream.deliver(unit)
            node.wait(answers=1, made=2)
            node.hear(RungReport("mid", 1, 500, 9, 0, 0))
            decisions.append(node.look())
        assert decisions[0] is None
        assert decisions[1] is not None
        assert decisions[1].load.name == "mid"
    finally:
        node.close()

"""A viewer changes its rung: what it was sent is decoded, and the bar code says that no picture is missing."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
from dataclasses import dataclass, field
from functools import cache

import av
import pytest

from media.flv_muxer import PLAIN, FlvOptions
from media.hub import Hub, HubLimits
from media.reasons import TOO_SLOW, Reason
from media.stream import Stream
from media.track import SOURCE, Codec
from relay.adaptation import Cause, Choice
from relay.batch import Framing
from relay.crossing import HOLD
from relay.flv_packager import FlvPackager
from relay.flv_seat import HOPELESS_SKIPS, HOPELESS_TIME, FlvSeat
from relay.flv_viewer import FlvViewer, ViewerCounters, ViewerLimits
from relay.outlet import TcpPath
from relay.renditions import rung_forecast
from tests.support.encoders import read_codes
from tests.support.flv import FlvFile, read_flv
from tests.support.ladder import Ladder, SourceFilm
from tests.support.outlet import FakeOutlet
from tests.support.units import FakeClock

CHOICES = (Choice(SOURCE, 1_000_000), Choice("180p", 400_000), Choice("90p", 220_000))


@cache
def film(bframes: int = 0, gop: int = 25) -> SourceFilm:
    return SourceFilm(300, size=(320, 180), bframes=bframes, gop=gop, bitrate=400_000)


@dataclass
class Show:
    """A room with a ladder, and the relay's part for its seats. `is_bare`: who loses a rung finds no other one."""

    bframes: int = 0
    gop: int = 25
    lag: int = 2
    merge_ms: int = 0
    is_bare: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    switches: list[tuple[str, str, Cause, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub = Hub(self.clock, new_epoch=lambda: "epoch", limits=HubLimits())
        publisher = self.hub.claim("room", peer="tester", on_displaced=lambda reason: None)
        self.stream = publisher.stream
        self.ladder = Ladder(publisher, film(self.bframes, self.gop), lag=self.lag)
        self.packagers: dict[str, FlvPackager] = {}
        self.seats: dict[FlvViewer, FlvSeat] = {}
        self.numbers = itertools.count()

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(c for c in CHOICES if c.name == SOURCE or c.name in self.ladder.offered)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.clock.advance(0.04)
            self.ladder.step()

    def packager_for(self, stream: Stream, rendition: str, audio: str, options: FlvOptions) -> FlvPackager:
        if rendition not in self.packagers or self.packagers[rendition].is_ended:
            self.packagers[rendition] = FlvPackager(
                stream,
                rendition=rendition,
                merge_ms=self.merge_ms,
                on_viewer_lost=self.lost,
                forecast=rung_forecast(rendition, Codec.H264),
            )
        return self.packagers[rendition]

    def lost(self, viewer: FlvViewer, reason: Reason) -> bool:
        return self.seats[viewer].find_another(() if self.is_bare else self.choices) or self.is_bare

    def note_switch(self, old: str, new: str, cause: Cause, *, is_up: bool) -> None:
        self.switches.append((old, new, cause, is_up))

    def seat(self, rendition: str = SOURCE, *, room: int | None = None, wanted: str | None = None) -> FlvSeat:
        outlet = FakeOutlet(room)
        viewer = FlvViewer(
            outlet, Framing.BARE, now=self.clock.now, limits=ViewerLimits(), counters=ViewerCounters(), id="v"
        )
        seat = FlvSeat(
            viewer,
            self.stream,
            number=next(self.numbers),
            audio=SOURCE,
            options=PLAIN,
            wanted=wanted,
            seats=self,
            now=self.clock.now,
        )
        self.seats[viewer] = seat
        seat.sit(rendition)
        return seat


def outlet_of(seat: FlvSeat) -> FakeOutlet:
    outlet = seat.viewer._outlet
    assert isinstance(outlet, FakeOutlet)
    return outlet


def flv_of(seat: FlvSeat) -> FlvFile:
    return read_flv(outlet_of(seat).taken)


def numbers_of(seat: FlvSeat) -> list[int]:
    """The numbers of the pictures, as FFmpeg decodes them."""
    data = bytes(outlet_of(seat).taken)
    with av.open(io.BytesIO(data), format="flv") as container:
        codes = read_codes(container)
    offsets = {round(code.pts_ms - code.code_ms * 40) for code in codes}
    assert max(offsets) - min(offsets) <= 1, "a picture is not at its own time"
    return [code.code_ms for code in codes]


def sizes_of(seat: FlvSeat) -> list[tuple[int, int]]:
    with av.open(io.BytesIO(bytes(outlet_of(seat).taken)), format="flv") as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    return [size for size, _ in itertools.groupby(sizes)]


def is_whole(seat: FlvSeat, *, holes: int = 0) -> None:
    """Every picture once and in order, every sound once and in order."""
    numbers = numbers_of(seat)
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    assert all(step >= 1 for step in steps), steps
    assert sum(step - 1 for step in steps) <= holes, [n for n, s in zip(numbers, steps, strict=False) if s != 1]
    flv = flv_of(seat)
    assert len(flv.scripts("onTimeline")) == 1
    dts = [tag.timestamp for tag in flv.pictures]
    assert all(b > a for a, b in itertools.pairwise(dts)), "dts steps back"
    sounds = [tag.timestamp for tag in flv.sounds]
    assert all(20 <= b - a <= 22 for a, b in itertools.pairwise(sounds)), "sound is lost or repeated"


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("merge_ms", [0, 200])
@pytest.mark.parametrize("lag", [0, 2, 5])
async def test_a_climb_lands_on_the_common_keyframe(bframes: int, merge_ms: int, lag: int) -> None:
    show = Show(bframes=bframes, merge_ms=merge_ms, lag=lag)
    show.step(40)
    seat = show.seat("90p")
    show.step(20)
    seat.move(SOURCE, Cause.FITS)
    show.step(60)
    assert seat.packager.rendition == SOURCE
    seat.move("180p", Cause.ASKED)
    show.step(60)
    assert seat.packager.rendition == "180p"
    seat.move("90p", Cause.ASKED)
    show.step(60)
    assert seat.packager.rendition == "90p"
    seat.packager.flush()
    is_whole(seat)
    assert sizes_of(seat) == [(160, 90), (320, 180), (160, 90)]
    assert [(old, new) for old, new, _, _ in show.switches] == [("90p", SOURCE), (SOURCE, "180p"), ("180p", "90p")]
    assert len(flv_of(seat).configs) == 5, "one for sound, and one for each rung"


@pytest.mark.parametrize(("is_hasty", "within"), [(False, 8), (True, 25)])
async def test_from_the_source_down_nobody_waits_for_its_next_keyframe(is_hasty: bool, within: int) -> None:
    show = Show(gop=250)
    show.ladder.is_hasty = is_hasty
    show.step(30)
    seat = show.seat()
    show.step(5)
    seat.move("90p", Cause.ASKED)
    show.step(within)
    assert seat.packager.rendition == "90p"
    is_whole(seat)


@pytest.mark.parametrize("bframes", [0, 2])
async def test_with_b_frames_and_nothing_queued_the_common_keyframe_has_to_do(bframes: int) -> None:
    show = Show(bframes=bframes, gop=50)
    show.ladder.is_deaf = True
    show.step(30)
    seat = show.seat()
    show.step(5)
    seat.move("90p", Cause.ASKED)
    show.step(40)
    assert seat.packager.rendition == "90p"
    is_whole(seat)


async def test_a_rung_that_makes_no_keyframe_costs_a_moment_and_no_picture() -> None:
    show = Show(gop=250)
    show.ladder.is_deaf = True
    show.step(30)
    seat = show.seat()
    show.step(2)
    seat.move("90p", Cause.ASKED)
    show.step(12)
    before = len(flv_of(seat).pictures)
    assert before < 44, "some are held back"
    await asyncio.sleep(HOLD)
    async with asyncio.timeout(5):
        while len(flv_of(seat).pictures) == before:
            await asyncio.sleep(0.01)
    seat.switch.cancel() if seat.switch else None
    show.step(5)
    assert seat.packager.rendition == SOURCE
    is_whole(seat)


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("behind", [12, 20, 28])
async def test_pictures_that_a_slow_connection_has_not_taken_are_replaced(bframes: int, behind: int) -> None:
    show = Show(bframes=bframes, gop=250)
    show.step(30)
    seat = show.seat()
    show.step(5)
    outlet = outlet_of(seat)
    outlet.give_room(500)
    show.step(behind)
    queued = seat.viewer.queued_bytes
    seat.move("90p", Cause.BACKLOG)
    show.step(7)
    assert seat.packager.rendition == "90p"
    assert seat.viewer.queued_bytes < queued * 1.6
    outlet.give_room(None)
    show.step(20)
    is_whole(seat, holes=2 if bframes else 0)
    assert seat.viewer.skips == 0


async def test_a_keyframe_that_waits_in_the_queue_is_the_place_at_once() -> None:
    show = Show(bframes=2, gop=25)
    show.step(30)
    warm = show.seat("90p")
    seat = show.seat()
    show.step(15)
    outlet = outlet_of(seat)
    outlet.give_room(500)
    show.step(15)
    assert show.stream.renditions["90p"] is not None
    queued = seat.viewer.queued_bytes
    seat.move("90p", Cause.BACKLOG)
    assert seat.packager.rendition == "90p", "nothing was waited for"
    assert seat.viewer.queued_bytes < queued / 2
    outlet.give_room(None)
    show.step(20)
    is_whole(seat)
    is_whole(warm)


async def test_a_viewer_that_skips_goes_on_with_the_rung() -> None:
    show = Show(gop=250)
    show.step(30)
    seat = show.seat()
    show.step(5)
    outlet = outlet_of(seat)
    outlet.give_room(500)
    show.step(60)
    assert seat.viewer.is_skipping
    seat.move("90p", Cause.BACKLOG)
    show.step(6)
    assert seat.packager.rendition == "90p"
    outlet.give_room(None)
    show.step(20)
    numbers = numbers_of(seat)
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    assert sorted(set(steps))[0] == 1
    assert sum(step > 1 for step in steps) == 1, "one hole, the skip's"
    sounds = [tag.timestamp for tag in flv_of(seat).sounds]
    assert all(b > a for a, b in itertools.pairwise(sounds))


@pytest.mark.parametrize("holding", [False, True])
async def test_a_rung_that_is_shed_hands_its_viewers_to_the_one_below(holding: bool) -> None:
    show = Show()
    show.step(30)
    seat = show.seat("180p")
    other = show.seat("180p", wanted="180p")
    show.step(10)
    for each in (seat, other):
        each.look(show.choices)
    if holding:
        seat.move(SOURCE, Cause.FITS)
        show.step(1)
    show.ladder.shed("180p")
    show.step(30)
    assert other.packager.rendition == "90p"
    assert seat.packager.rendition == (SOURCE if holding else "90p")
    assert not seat.viewer.done.done()
    is_whole(other, holes=3)
    show.ladder.offer("180p")
    other.look(show.choices)
    show.step(60)
    assert other.packager.rendition == "180p", "pinned, so it comes back"
    is_whole(other, holes=3)


async def test_without_another_rung_the_source_has_to_do() -> None:
    show = Show()
    show.ladder.offered = ["90p"]
    show.step(30)
    seat = show.seat("90p")
    show.step(10)
    seat.look(show.choices)
    show.ladder.shed("90p")
    show.step(40)
    assert seat.packager.rendition == SOURCE
    numbers = numbers_of(seat)
    assert numbers == sorted(set(numbers))
    sounds = [tag.timestamp for tag in flv_of(seat).sounds]
    assert all(20 <= b - a <= 22 for a, b in itertools.pairwise(sounds)), "sound goes on meanwhile"


async def test_the_wait_for_a_cold_rung_is_bridged_by_the_source() -> None:
    show = Show()
    show.step(30)
    seat = show.seat(SOURCE, wanted="180p")
    show.step(2)
    seat.look(show.choices)
    show.step(30)
    assert seat.packager.rendition == "180p"
    is_whole(seat)


async def test_a_viewer_that_has_not_begun_goes_over_at_once() -> None:
    show = Show()
    show.step(1)
    show.stream._rings.clear()
    seat = show.seat()
    seat.move("90p", Cause.ASKED)
    assert seat.packager.rendition == "90p"
    show.step(40)
    is_whole(seat)


@pytest.mark.parametrize("is_stranded", [False, True])
async def test_a_rung_that_ends_before_its_first_picture_costs_no_header(is_stranded: bool) -> None:
    show = Show()
    show.is_bare = is_stranded
    show.step(20)
    show.ladder.is_dead = True
    seat = show.seat("180p")
    seat.look(show.choices)
    show.step(1)
    show.ladder.shed("180p")
    show.is_bare = show.ladder.is_dead = False
    assert not is_stranded or seat.retry(show.choices)
    assert not outlet_of(seat).taken
    show.step(30)
    assert seat.packager.rendition == "90p"
    is_whole(seat)


async def test_leaving_in_the_middle_of_a_switch_leaves_nothing_behind() -> None:
    show = Show()
    show.step(30)
    seat = show.seat()
    show.step(5)
    seat.move("90p", Cause.FITS)
    seat.leave()
    assert all(p.is_ended for p in show.packagers.values())
    assert show.stream.demand == {SOURCE: 1}, "the ladder's own"


async def test_a_change_of_mind_costs_nothing() -> None:
    show = Show()
    show.step(30)
    seat = show.seat("90p")
    show.step(3)
    seat.move(SOURCE, Cause.FITS)
    show.step(2)
    seat.move("180p", Cause.FITS)
    show.step(2)
    seat.move("90p", Cause.BACKLOG)
    assert seat.switch is None
    show.step(40)
    assert seat.packager.rendition == "90p"
    is_whole(seat)


@pytest.mark.parametrize("seed", range(6))
async def test_many_changes_at_any_time_lose_nothing(seed: int) -> None:
    rng = random.Random(seed)
    show = Show(bframes=rng.choice([0, 2]), gop=rng.choice([12, 25, 60]), lag=rng.choice([0, 1, 3]))
    show.step(30)
    seat = show.seat(rng.choice(["90p", "180p", SOURCE]))
    for _ in range(12):
        show.step(rng.randint(1, 25))
        seat.move(rng.choice(["90p", "180p", SOURCE]), rng.choice([Cause.FITS, Cause.ASKED]))
    show.step(20)
    is_whole(seat)


async def test_a_viewer_that_skips_for_ever_on_the_lowest_rung_is_too_slow() -> None:
    show = Show()
    show.step(30)
    seat = show.seat("90p")
    show.step(5)
    for _ in range(HOPELESS_SKIPS):
        seat.look(show.choices)
        assert not seat.viewer.done.done()
        seat.viewer.skips += 1
        show.step(20)
    seat.look(show.choices)
    assert seat.viewer.done.result() is TOO_SLOW


async def test_now_and_then_a_skip_is_no_reason_to_give_up() -> None:
    show = Show()
    show.step(30)
    seat = show.seat("90p")
    for _ in range(3 * HOPELESS_SKIPS):
        show.step(2)
        show.clock.advance(HOPELESS_TIME / 3)
        seat.look(show.choices)
        seat.viewer.skips += 1
    assert not seat.viewer.done.done()


async def test_a_slow_connection_is_seen_and_followed() -> None:
    """The policy, the switch and the queue together: the connection takes half of what the source needs."""
    show = Show(gop=250)
    show.step(30)
    seat = show.seat()
    outlet = outlet_of(seat)
    rate = (show.stream.bitrate(SOURCE) or 0) // 8 // 2
    acked = 0
    for _ in range(60):
        outlet.give_room((outlet.room or 0) + rate // 25)
        acked += rate // 25
        outlet.path = TcpPath(0, acked, rate, False, 0.05, 0.05)
        show.step()
        seat.look(show.choices)
    assert seat.packager.rendition != SOURCE
    assert seat.viewer.skips == 0
    outlet.give_room(None)
    outlet.path = TcpPath(0, acked, 10 * rate, True, 0.05, 0.05)
    for _ in range(200):
        show.step()
        seat.look(show.choices)
    assert seat.switches >= 1
    is_whole(seat)

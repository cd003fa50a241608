from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.reasons import ENDED, SHUTDOWN, TOO_SLOW, VANISHED
from relay import flv_viewer
from relay.batch import Batch, Framing
from relay.flv_viewer import FlvViewer, ViewerCounters, ViewerLimits
from tests.support.outlet import FakeOutlet
from tests.support.units import FakeClock
from wire.websocket import BINARY, PING, WsParser, encode_ping, encode_pong

FRAME = 3000  # ticks of a picture at 30 a second
PRELUDE = b"<prelude>"


class Seat:
    """One viewer with everything around it."""

    def __init__(
        self, room: int | None = None, *, framing: Framing = Framing.BARE, limits: ViewerLimits | None = None
    ) -> None:
        self.outlet = FakeOutlet(room)
        self.clock = FakeClock()
        self.counters = ViewerCounters()
        self.viewer = FlvViewer(
            self.outlet, framing, now=self.clock.now, limits=limits or ViewerLimits(), counters=self.counters
        )
        self.next = 0

    @property
    def taken(self) -> bytes:
        return bytes(self.outlet.taken)

    def send(self, count: int = 1, *, gop: int = 30) -> list[Batch]:
        """The next pictures of a stream with a keyframe every `gop`."""
        batches = [make_batch(index, gop) for index in range(self.next, self.next + count)]
        self.next += count
        for batch in batches:
            self.viewer.deliver(batch, batch.dts // FRAME // gop)
        return batches

    def join(self, pictures: int = 1, *, gop: int = 30) -> None:
        self.viewer.start(0, PRELUDE, [make_batch(index, gop) for index in range(pictures)])
        self.next = pictures


def make_batch(index: int, gop: int = 30) -> Batch:
    starts = index % gop == 0
    text = b"[%s%d]" % (b"K" if starts else b"", index)
    return Batch(text, index * FRAME, starts_group=starts, configs=b"(config)" if starts else b"")


def text_of(*indices: int, gop: int = 30) -> bytes:
    return b"".join(make_batch(index, gop).payload for index in indices)


async def test_a_viewer_that_keeps_up_costs_one_call_a_batch() -> None:
    seat = Seat()
    seat.join()
    calls = seat.outlet.calls
    seat.send(5)
    assert seat.outlet.calls == calls + 5
    assert seat.taken == PRELUDE + text_of(*range(6))
    assert seat.viewer.bytes_sent == len(seat.taken)
    assert seat.outlet.callback is None


async def test_a_start_is_the_prelude_and_what_joiners_may_see_of_the_group() -> None:
    seat = Seat()
    early = Batch(b"[early][1]", FRAME, starts_group=False, payload_for_joiners=b"[1]")
    only_early = Batch(b"[early]", 2 * FRAME, starts_group=False, payload_for_joiners=b"")
    seat.viewer.start(4, PRELUDE, [make_batch(0), early, only_early])
    seat.viewer.deliver(early, 4)
    seat.viewer.deliver(only_early, 4)
    assert seat.taken == PRELUDE + b"[K0][1][1]"
    seat.viewer.deliver(early, 5)
    assert seat.taken.endswith(b"[1][early][1]")


async def test_nothing_for_a_joiner_that_is_behind_is_not_queued() -> None:
    seat = Seat(0)
    seat.join()
    before = seat.viewer.queued_bytes
    seat.viewer.deliver(Batch(b"[early]", FRAME, starts_group=False, payload_for_joiners=b""), 0)
    assert seat.viewer.queued_bytes == before


async def test_what_did_not_fit_follows_when_there_is_room() -> None:
    seat = Seat()
    seat.join()
    seat.outlet.give_room(2)
    seat.send()
    assert seat.taken == PRELUDE + b"[K0][1"
    assert seat.viewer.queued_bytes == 1
    seat.send()
    seat.outlet.give_room(None)
    assert seat.taken == PRELUDE + text_of(0, 1, 2)
    assert seat.outlet.callback is None
    assert seat.viewer.queued_bytes == 0


async def test_one_and_a_half_seconds_of_backlog_are_kept_whole() -> None:
    seat = Seat()
    seat.join()
    seat.outlet.give_room(0)
    seat.send(46)  # from picture 1 to 46: 45 intervals, 1.5 s
    assert seat.viewer.skips == 0
    seat.outlet.give_room(None)
    assert seat.taken == PRELUDE + text_of(*range(47))


async def test_a_slow_viewer_skips_once_and_goes_on_at_a_keyframe() -> None:
    seat = Seat()
    seat.join(gop=60)
    seat.outlet.give_room(2)
    seat.send(80, gop=60)  # too far behind at picture 47, the next keyframe is 60
    assert seat.viewer.skips == seat.counters.skips == 1
    assert seat.counters.skipped_batches == 46 + 12
    seat.outlet.give_room(None)
    seat.send(2, gop=60)
    assert seat.taken == PRELUDE + text_of(0, 1, gop=60) + b"(config)" + text_of(*range(60, 83), gop=60)
    assert seat.viewer.skips == 1


async def test_the_old_head_does_not_cause_a_second_skip() -> None:
    seat = Seat()
    seat.join(gop=60)
    seat.outlet.give_room(2)
    seat.send(60 + 45, gop=60)  # the head is from picture 1, the keyframe 60 is 1.5 s old
    assert seat.viewer.skips == 1
    seat.send(1, gop=60)
    assert seat.viewer.skips == 2


async def test_a_viewer_that_catches_up_while_it_skips_still_waits_for_the_keyframe() -> None:
    seat = Seat()
    seat.join(gop=90)
    seat.outlet.give_room(2)
    seat.send(50, gop=90)
    assert seat.viewer.skips == 1
    seat.outlet.give_room(None)
    assert seat.outlet.callback is None, "with nothing queued nobody waits for the socket"
    seat.send(45, gop=90)
    assert seat.taken == PRELUDE + text_of(0, 1, gop=90) + b"(config)" + text_of(*range(90, 96), gop=90)


async def test_a_skip_lands_on_the_keyframe_that_made_it_too_much() -> None:
    seat = Seat()
    seat.join(gop=47)
    seat.outlet.give_room(0)
    seat.send(47, gop=47)
    assert seat.viewer.skips == 1
    assert seat.counters.skipped_batches == 45
    seat.outlet.give_room(None)
    assert seat.taken == PRELUDE + text_of(0, 1, gop=47) + b"(config)" + text_of(47, gop=47)


async def test_the_group_that_a_joiner_starts_with_is_no_backlog() -> None:
    seat = Seat(0)
    seat.join(240, gop=300)  # 8 s at once
    seat.send(45, gop=300)
    assert seat.viewer.skips == 0
    seat.outlet.give_room(None)
    assert seat.taken == PRELUDE + text_of(*range(285), gop=300)
    seat.outlet.give_room(0)
    seat.send(47, gop=1000)
    assert seat.viewer.skips == 1, "who has caught up once is held to 1.5 s"


async def test_a_joiner_that_skips_keeps_the_first_picture_because_its_base_is_there() -> None:
    seat = Seat(0)
    seat.join(30)
    seat.send(70)
    assert seat.viewer.skips
    seat.outlet.give_room(None)
    seat.send(30)
    assert seat.taken.startswith(PRELUDE + b"[K0](config)[K")


async def test_a_viewer_that_takes_nothing_is_closed() -> None:
    seat = Seat()
    seat.join()
    seat.outlet.give_room(0)
    seat.send()
    seat.clock.advance(10)
    seat.send()
    assert not seat.viewer.done.done()
    seat.clock.advance(0.1)
    seat.send()
    assert seat.viewer.done.result() is TOO_SLOW
    assert seat.counters.too_slow == 1
    assert seat.viewer.was_cut
    assert seat.outlet.closed
    seat.send()
    assert seat.counters.too_slow == 1


async def test_a_viewer_that_reads_a_byte_a_second_is_closed_too() -> None:
    seat = Seat()
    seat.join()
    seat.outlet.give_room(0)
    seat.viewer.deliver(Batch(bytes(1000), FRAME, starts_group=False), 0)
    for _ in range(11):
        seat.clock.advance(1)
        seat.outlet.give_room(1)
        seat.send()
    assert seat.viewer.done.result() is TOO_SLOW


async def test_bytes_are_bounded_whatever_the_time() -> None:
    seat = Seat(limits=ViewerLimits(max_bytes=50))
    seat.join()
    seat.outlet.give_room(0)
    for index in range(1, 10):
        seat.viewer.deliver(Batch(bytes(10), index, starts_group=False), 0)
        assert seat.viewer.queued_bytes <= 50
    assert seat.viewer.skips == 1


@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_peer_that_is_gone_ends_its_viewer(is_behind: bool) -> None:
    seat = Seat()
    seat.join()
    if is_behind:
        seat.outlet.give_room(0)
        seat.send()
    seat.outlet.is_gone = True
    if is_behind:
        seat.outlet.give_room(None)
    else:
        seat.send()
    assert seat.viewer.done.result() is VANISHED
    assert seat.viewer.was_cut == is_behind
    seat.send()
    seat.viewer.start(9, PRELUDE, [make_batch(270)])
    seat.viewer.control(b"ping")
    assert seat.outlet.callback is None


async def test_control_frames_go_between_messages_and_are_never_skipped() -> None:
    seat = Seat(framing=Framing.WEBSOCKET)
    seat.join(gop=60)
    seat.outlet.give_room(1)
    seat.send(1, gop=60)
    seat.viewer.control(encode_ping(b"one"))
    seat.send(60, gop=60)
    seat.viewer.control(encode_pong(b"two"))
    seat.outlet.give_room(None)
    assert seat.viewer.skips == 1
    parser = WsParser()
    parser.receive_data(seat.taken)
    frames = list(iter(parser.next_event, None))
    assert b"".join(f.payload for f in frames if f.opcode == BINARY) == (
        PRELUDE + text_of(0, 1, gop=60) + b"(config)" + text_of(60, 61, gop=60)
    )
    assert [f.payload for f in frames if f.opcode >= PING] == [b"one", b"two"]


async def test_a_peer_that_pings_and_does_not_read_fills_no_memory() -> None:
    seat = Seat(framing=Framing.WEBSOCKET)
    seat.join()
    seat.outlet.give_room(0)
    for _ in range(1000):
        seat.viewer.control(encode_pong(bytes(125)))
    assert seat.viewer.queued_bytes < 1000


async def test_a_ping_before_the_start_does_not_cost_the_prelude() -> None:
    seat = Seat(0, framing=Framing.WEBSOCKET)
    seat.viewer.control(encode_ping())
    seat.join(gop=1000)
    seat.send(60, gop=1000)
    seat.outlet.give_room(None)
    assert seat.viewer.skips == 1
    assert seat.taken == encode_ping() + b"".join(Framing.WEBSOCKET.frame(b) for b in (PRELUDE, b"[K0]"))


async def test_a_viewer_that_keeps_up_is_finished_at_once() -> None:
    seat = Seat()
    seat.join()
    seat.viewer.finish(ENDED)
    assert seat.viewer.done.result() is ENDED
    assert not seat.viewer.was_cut


async def test_a_viewer_that_is_behind_gets_the_rest_before_it_is_finished() -> None:
    seat = Seat()
    seat.join()
    seat.outlet.give_room(0)
    seat.send(3)
    seat.viewer.finish(ENDED)
    seat.viewer.finish(SHUTDOWN)
    seat.send()
    assert not seat.viewer.done.done()
    seat.outlet.give_room(None)
    assert seat.viewer.done.result() is ENDED
    assert seat.taken == PRELUDE + text_of(0, 1, 2, 3)
    assert not seat.viewer.was_cut


async def test_a_viewer_that_does_not_take_the_rest_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flv_viewer, "FINISH_TIMEOUT", 0.01)
    seat = Seat(0)
    seat.join()
    seat.viewer.finish(ENDED)
    assert await asyncio.wait_for(seat.viewer.done, 5) is ENDED
    assert seat.viewer.was_cut


async def test_only_the_first_reason_to_close_counts() -> None:
    seat = Seat()
    seat.join()
    seat.viewer.close(ENDED)
    seat.viewer.close(VANISHED)
    seat.viewer.finish(SHUTDOWN)
    assert seat.viewer.done.result() is ENDED


@pytest.mark.parametrize("framing", list(Framing))
def test_a_batch_is_framed_once_for_each_transport(framing: Framing) -> None:
    batch = Batch(b"tag", 0, starts_group=True)
    assert batch.framed(framing) is batch.framed(framing)
    assert batch.framed_for_joiners(framing) is batch.framed(framing)
    other = Batch(b"early tag", 0, starts_group=True, payload_for_joiners=b"tag")
    assert other.framed_for_joiners(framing) is other.framed_for_joiners(framing)
    assert other.framed_for_joiners(framing) == batch.framed(framing)
    assert Batch(b"early", 0, starts_group=False, payload_for_joiners=b"").framed_for_joiners(framing) == b""


@settings(max_examples=150, deadline=None)
@given(
    gop=st.integers(1, 80),
    joined_with=st.integers(1, 60),
    rooms=st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0, 1, 3, 7, 30, 200, None])), max_size=12),
)
def test_what_is_taken_is_whole_batches_in_order_and_every_hole_ends_on_a_keyframe(
    gop: int, joined_with: int, rooms: list[tuple[int, int | None]]
) -> None:
    async def watch() -> Seat:
        seat = Seat(0)
        seat.join(min(gop, joined_with), gop=gop)
        for count, room in rooms:
            seat.outlet.give_room(room)
            seat.send(count, gop=gop)
        seat.outlet.give_room(None)
        seat.send(gop, gop=gop)
        return seat

    seat = asyncio.run(watch())
    taken = seat.taken.replace(b"(config)", b"")
    assert taken.startswith(PRELUDE)
    texts = [part + b"]" for part in taken[len(PRELUDE) :].split(b"]")[:-1]]
    indices = [int(text.strip(b"[]K")) for text in texts]
    assert texts == [make_batch(index, gop).payload for index in indices]
    holes = [after for before, after in itertools.pairwise(indices) if after != before + 1]
    assert all(after % gop == 0 for after in holes)
    assert indices == sorted(set(indices))
    assert indices[0] == 0
    assert indices[-1] == seat.next - 1
    assert len(holes) <= seat.viewer.skips

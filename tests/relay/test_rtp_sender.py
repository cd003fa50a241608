"""The batch sender in fake time: live viewers, joiners that catch up, those who wait, and those who are too slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from relay.fanout import PacketFanOut
from relay.rtp_batch import RtpBatch, SharedPacket
from relay.rtp_sender import BURST, MAX_BEHIND, PACE_INTERVAL, VIEWERS_PER_TURN, FanOuts, RtpSender
from relay.rtp_target import History, Repeat, RtpTarget
from tests.support.rtp_viewers import Viewer, shared_packets
from tests.support.scheduler import FakeScheduler


class CountingFanOut(PacketFanOut):
    """Says how many viewers each turn had; `room` is how many sends the shared socket takes, None for ever."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.room: int | None = None

    def send(self, batch: RtpBatch, targets: Sequence[RtpTarget]) -> int:
        self.turns.append(len(targets))
        for number, target in enumerate(targets):
            if self.room == 0:
                return number
            if self.room is not None:
                self.room -= 1
            super().send(batch, (target,))
        return len(targets)


class Rig:
    def __init__(self) -> None:
        self.clock = FakeScheduler()
        self.history = History()
        self.fan_out = CountingFanOut()
        self.when_writable: list[Callable[[], object]] = []
        self.sender = RtpSender(
            self.history,
            FanOuts(self.fan_out, self.fan_out),
            scheduler=self.clock,
            now=self.clock.now,
            on_full=self.when_writable.append,
        )
        self._seed = 0

    def join(self, start: int | None = None, *, repeat: Repeat | None = None) -> Viewer:
        self._seed += 1
        viewer = Viewer(self._seed, repeat=repeat)
        self.sender.join(viewer.target, start)
        return viewer

    def picture(self, packets: int = 5, *, keyframe: bool = False) -> None:
        first = self.sender.head
        for packet in shared_packets([100] * packets, first=first):
            self.history.put(packet.shared, packet)
        if keyframe:
            self.sender.note_keyframe(first)
        self.sender.wake()

    def writable(self) -> None:
        waiting, self.when_writable[:] = list(self.when_writable), []
        for callback in waiting:
            callback()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def no_repeats(own: int, packet: SharedPacket, now: float) -> None: ...


def numbers(viewer: Viewer) -> list[int]:
    return [packet.sequence for packet in viewer.received()]


def payloads(viewer: Viewer) -> list[bytes]:
    return [packet.payload for packet in viewer.received()]


def expected(first: int, end: int) -> list[bytes]:
    packets: list[SharedPacket] = shared_packets([100] * (end - first), first=first)
    return [packet.payload for packet in packets]


def test_a_picture_goes_out_at_once_to_everyone(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewers = [rig.join(0) for _ in range(3)]
    rig.clock.run(0.05)
    rig.picture()
    rig.clock.run(0.0)
    for viewer in viewers:
        assert numbers(viewer) == list(range(1, 11))


def test_the_event_loop_gets_a_turn_every_few_viewers(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewers = [rig.join(0) for _ in range(100)]
    rig.clock.run(0.1)
    rig.fan_out.turns.clear()
    before = rig.clock.calls
    rig.picture()
    rig.clock.run(0.0)
    assert max(rig.fan_out.turns) == VIEWERS_PER_TURN
    assert sum(rig.fan_out.turns) == 100
    assert rig.clock.calls - before >= 100 // VIEWERS_PER_TURN
    assert all(len(numbers(viewer)) == 10 for viewer in viewers)


def test_a_joiner_gets_the_group_in_paced_steps_and_then_lives_with_the_others(rig: Rig) -> None:
    early = rig.join()
    rig.picture(200, keyframe=True)
    for _ in range(20):
        rig.picture(10)
        rig.clock.run(0.033)
    late = rig.join(0)
    rig.clock.run(0.0)
    assert len(numbers(late)) < 60, "not the whole group in one burst"
    for _ in range(10):
        rig.picture(10)
        rig.clock.run(0.033)
    assert late.target.next == rig.sender.head == early.target.next
    assert late.target.packets == 500
    rig.picture(10)
    rig.clock.run(0.0)
    assert payloads(late)[-10:] == payloads(early)[-10:] == expected(500, 510)


def test_joiners_of_one_moment_share_their_steps(rig: Rig) -> None:
    rig.picture(300, keyframe=True)
    viewers = [rig.join(0) for _ in range(40)]
    rig.clock.run(0.2)
    for viewer in viewers:
        assert numbers(viewer) == list(range(1, 301))


def test_a_large_picture_leaves_in_steps(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewer = rig.join(0)
    rig.clock.run(0.05)
    numbers(viewer)
    rig.picture(3 * BURST, keyframe=True)
    rig.clock.run(0.0)
    assert len(numbers(viewer)) == BURST
    rig.clock.run(1.1 * PACE_INTERVAL)
    assert len(numbers(viewer)) == BURST
    rig.clock.run(1.1 * PACE_INTERVAL)
    assert len(numbers(viewer)) == BURST


def test_without_a_keyframe_a_joiner_waits_for_one(rig: Rig) -> None:
    rig.picture()
    viewer = rig.join()
    rig.picture()
    rig.clock.run(1.0)
    assert viewer.port.sent == []
    rig.picture(keyframe=True)
    rig.clock.run(0.05)
    rig.picture()
    rig.clock.run(0.05)
    assert payloads(viewer) == expected(10, 20)


def test_an_empty_packet_opens_what_a_viewer_can_ask_for_again(rig: Rig) -> None:
    waiting = rig.join(repeat=no_repeats)
    assert numbers(waiting) == [], "the opener comes with the picture"
    rig.picture(keyframe=True)
    late = rig.join(0, repeat=no_repeats)
    rig.clock.run(0.05)
    for viewer in (waiting, late):
        opener, first, *_ = packets = viewer.received()
        assert [packet.sequence for packet in packets] == list(range(6))
        assert (opener.payload, opener.marker, opener.timestamp) == (b"", False, first.timestamp)
        assert viewer.target.packets == 5
        assert viewer.target.locate(0) is None
    rig.sender.replay(late.target, 0)
    rig.clock.run(0.05)
    assert numbers(late) == list(range(6, 11)), "once"


def test_the_parameter_sets_of_the_picture_that_a_viewer_begins_with_leave_twice(rig: Rig) -> None:
    repeats: list[tuple[int, SharedPacket | None, list[int]]] = []
    viewer = rig.join(repeat=lambda own, packet, _: repeats.append((own, packet, numbers(viewer))))
    rig.picture(keyframe=True)
    first = rig.history.get(0)
    assert repeats == [(1, first, [0])], "behind the opener, ahead of the picture"
    rig.clock.run(0.05)
    rig.picture(keyframe=True)
    rig.clock.run(0.05)
    assert numbers(viewer) == list(range(1, 11))
    assert len(repeats) == 1, "what it follows comes once"
    rig.sender.replay(viewer.target, 0)
    assert repeats[1:] == [(11, first, [])]


def test_a_replay_has_new_numbers_and_the_same_packets(rig: Rig) -> None:
    rig.picture(30, keyframe=True)
    viewer = rig.join(0)
    rig.clock.run(0.2)
    first = viewer.received()
    rig.sender.replay(viewer.target, 0)
    rig.clock.run(0.2)
    second = viewer.received()
    assert [packet.payload for packet in second] == [packet.payload for packet in first]
    assert [packet.timestamp for packet in second] == [packet.timestamp for packet in first]
    assert [packet.sequence for packet in second] == list(range(31, 61))


def test_a_full_socket_is_waited_for_and_nobody_loses_a_packet(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewers = [rig.join(0) for _ in range(10)]
    rig.clock.run(0.1)
    rig.fan_out.room = 4
    rig.picture()
    rig.picture()
    rig.clock.run(0.1)
    assert len(rig.when_writable) == 1, "one callback, however long it takes"
    rig.fan_out.room = None
    rig.writable()
    rig.clock.run(0.1)
    for viewer in viewers:
        assert numbers(viewer) == list(range(1, 16))


def test_a_viewer_whose_own_connection_is_full_catches_up_alone(rig: Rig) -> None:
    rig.picture(keyframe=True)
    slow, fast = rig.join(0), rig.join(0)
    rig.clock.run(0.1)
    slow.port.room = 2
    for _ in range(5):
        rig.picture()
        rig.clock.run(0.033)
    assert len(numbers(fast)) == 30
    assert len(numbers(slow)) == 7
    slow.port.room = None
    rig.clock.run(0.1)
    assert numbers(slow) == list(range(8, 31))


def test_a_viewer_too_far_behind_goes_on_with_a_keyframe_and_without_a_gap_in_its_numbers(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewer = rig.join(0)
    rig.clock.run(0.1)
    assert len(numbers(viewer)) == 5
    viewer.port.room = 0
    while rig.sender.head < MAX_BEHIND + 200:
        rig.picture(10, keyframe=rig.sender.head % 1000 == 5)
        rig.clock.run(0.033)
    assert viewer.target.skips >= 1
    viewer.port.room = None
    keyframe = rig.sender.keyframe
    assert keyframe is not None
    rig.picture(10, keyframe=True)
    rig.clock.run(0.5)
    got = viewer.received()
    assert [packet.sequence for packet in got] == list(range(6, 6 + len(got)))
    assert got[-1].payload == expected(rig.sender.head - 1, rig.sender.head)[0]


def test_when_everything_is_too_slow_all_skip_to_the_newest_keyframe(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewers = [rig.join(0) for _ in range(3)]
    rig.clock.run(0.1)
    rig.fan_out.room = 1
    for number in range(300):
        rig.picture(10, keyframe=number % 60 == 0)
        rig.clock.run(0.033)
    rig.fan_out.room = None
    rig.writable()
    rig.clock.run(1.0)
    assert rig.sender.skips == 3
    for viewer in viewers:
        got = numbers(viewer)
        assert got == list(range(1, len(got) + 1))
        assert viewer.target.next == rig.sender.head


def test_whoever_leaves_in_the_middle_of_a_walk_gets_nothing_more(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewers = [rig.join(0) for _ in range(6)]
    rig.clock.run(0.1)
    for viewer in viewers:
        numbers(viewer)
    rig.fan_out.room = 2
    rig.picture()
    rig.clock.run(0.0)
    rig.sender.leave(viewers[4].target)
    rig.sender.leave(viewers[4].target)
    rig.fan_out.room = None
    rig.writable()
    rig.clock.run(0.1)
    assert [len(numbers(viewer)) for viewer in viewers] == [5, 5, 5, 5, 0, 5]


def test_a_closed_sender_sends_nothing(rig: Rig) -> None:
    rig.picture(keyframe=True)
    viewer = rig.join(0)
    rig.sender.close()
    rig.picture()
    rig.clock.run(1.0)
    assert viewer.port.sent == []


def test_it_rests_when_there_is_nothing_to_do(rig: Rig) -> None:
    rig.picture(keyframe=True)
    rig.join(0)
    rig.clock.run(1.0)
    before = rig.clock.calls
    rig.clock.run(10.0)
    assert rig.clock.calls == before

"""What every fan-out does, whichever is in use: the same packets, under indices that are never used twice."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from relay import segmentation
from relay.endpoint import UdpRoute
from relay.fanout import FanOut, GcmFanOut, PacketFanOut, native_fan_out
from relay.rtp_batch import HeaderKey, RtpBatch
from relay.rtp_target import History
from relay.segmentation import SINGLE_SENDS, TRY_INTERVAL, supports_segmentation
from tests.support.rtp_viewers import SEND_TIME_ID, SSRC, Viewer, batch_of, drain, history_of, with_rider
from wire.dtls import SrtpProfile
from wire.rtp import extensions
from wire.rtp.packet import RtpPacket

SO_NO_CHECK = 11
"""asm-generic/socket.h: UDP without checksums."""
FRAME = [30, *[1160] * 9, 417]


def _native(segmentation: bool) -> FanOut:
    made = native_fan_out(segmentation=segmentation)
    if made is None:
        pytest.skip("relay._fanout was not built: it needs a C compiler and OpenSSL's headers")
    return made


def _segmented(make: Callable[[bool], FanOut]) -> FanOut:
    if not supports_segmentation():
        pytest.skip("this kernel does not cut UDP sends into segments")
    return make(True)


IMPLEMENTATIONS: dict[str, Callable[[], FanOut]] = {
    "python, segmented": lambda: _segmented(lambda on: GcmFanOut(segmentation=on)),
    "python": lambda: GcmFanOut(segmentation=False),
    "packet by packet": PacketFanOut,
    "native, segmented": lambda: _segmented(_native),
    "native": lambda: _native(False),
}


class Rig:
    """A fan-out, the socket it sends from, and viewers that listen on sockets of their own."""

    def __init__(self, fan_out: FanOut, stack: ExitStack) -> None:
        self.fan_out = fan_out
        self._stack = stack
        self._sender = self._open()
        self._seed = 0

    def viewer(self, history: History | None = None, *, start: int = 0, **options: int) -> Viewer:
        """One who starts with shared packet `start`."""
        self._seed += 1
        if isinstance(self.fan_out, PacketFanOut):
            viewer = Viewer(self._seed, **options)
        else:
            incoming = self._open()
            route = UdpRoute(self._sender, incoming.getsockname())
            viewer = Viewer(self._seed, route=route, incoming=incoming, **options)
        self.fan_out.add(viewer.target)
        viewer.target.move(start, history or History())
        return viewer

    def refusing(self) -> Viewer:
        """A viewer to whom the kernel sends no segments, as if its path were too narrow for them."""
        viewer = self.viewer()
        assert viewer.target.route is not None
        refusing = self._open()
        refusing.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        viewer.target.route = UdpRoute(refusing, viewer.target.route.sockaddr)
        return viewer

    def pair(self, **options: int) -> Viewer:
        """One with sound that may ride along."""
        viewer = self.viewer(**{"rider_type": 111, **options})
        self.fan_out.add(viewer.rider)
        viewer.rider.move(0, History())
        return viewer

    def send(self, batch: RtpBatch, *viewers: Viewer) -> int:
        return self.fan_out.send(batch, [viewer.target for viewer in viewers])

    def _open(self) -> socket.socket:
        made = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made


@pytest.fixture(params=list(IMPLEMENTATIONS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    fan_out = IMPLEMENTATIONS[request.param]()
    with ExitStack() as stack:
        yield Rig(fan_out, stack)


def test_every_viewer_gets_every_payload_in_order(rig: Rig) -> None:
    viewers = [rig.viewer() for _ in range(20)]
    batch = batch_of(FRAME, rtp_time=123_456)
    assert rig.send(batch, *viewers) == 20
    for viewer in viewers:
        got = viewer.received()
        assert [packet.payload for packet in got] == [packet.payload for packet in batch.packets]
        assert [packet.sequence for packet in got] == list(range(1, 12))
        assert {packet.timestamp for packet in got} == {123_456}
        assert {packet.ssrc for packet in got} == {SSRC}
        assert [packet.marker for packet in got] == [False] * 10 + [True]
        assert viewer.target.next == batch.end
        assert (viewer.target.packets, viewer.target.octets) == (11, sum(FRAME))


def test_payload_type_and_extension_are_the_viewers_own(rig: Rig) -> None:
    one = rig.viewer(payload_type=102, send_time_id=2)
    other = rig.viewer(payload_type=126, send_time_id=14)
    plain = rig.viewer(payload_type=41, send_time_id=0)
    rig.send(batch_of([200, 200, 9], stamped_at=7.25), one, other, plain)
    stamp = extensions.abs_send_time(7.25)
    for viewer, payload_type, number in ((one, 102, 2), (other, 126, 14)):
        for packet in viewer.received():
            assert packet.payload_type == payload_type
            assert packet.extension_profile is not None
            assert extensions.parse(packet.extension_profile, packet.extension) == {number: stamp}
    for packet in plain.received():
        assert (packet.payload_type, packet.extension_profile) == (41, None)


@pytest.mark.parametrize(
    "sizes",
    [[1], [1160], [5, 9, 3], [1160] * 64, [1160] * 65, [1160] * 200, [3, 3, 2, 2, 3, 1], [16] * 70 + [15], [0, 0, 0]],
)
def test_payloads_of_any_sizes_arrive_as_they_are(rig: Rig, sizes: list[int]) -> None:
    viewer = rig.viewer()
    batch = batch_of(sizes)
    assert rig.send(batch, viewer) == 1
    assert [packet.payload for packet in viewer.received()] == [packet.payload for packet in batch.packets]


def test_a_late_joiner_begins_at_one_however_far_the_others_are(rig: Rig) -> None:
    shared = (1 << 33) + 70_000
    viewer = rig.viewer(start=shared)
    rig.send(batch_of(FRAME, first=shared), viewer)
    assert [packet.sequence for packet in viewer.received()] == list(range(1, 12))


def test_the_sequence_number_wraps_and_the_receiver_follows(rig: Rig) -> None:
    viewer = rig.viewer()
    viewer.target.base = -65_530  # packet 0 is its 65,530th
    for first in range(0, 40, 10):
        rig.send(batch_of([700] * 10, first=first), viewer)
    got = viewer.received()
    assert [packet.sequence for packet in got] == [(65_530 + at) & 0xFFFF for at in range(40)]


def test_the_roll_over_counter_goes_on_counting(rig: Rig) -> None:
    """Four cycles of sequence numbers, of which the receiver sees a part of each: it must never lose count."""
    viewer = rig.viewer()
    for first in range(0, 4 << 16, 1 << 14):
        viewer.target.base, viewer.target.next = -1, first
        rig.send(batch_of([8] * 4, first=first), viewer)
        assert [packet.sequence for packet in viewer.received()] == [(first + 1 + at) & 0xFFFF for at in range(4)]


def test_rtp_time_wraps(rig: Rig) -> None:
    viewer = rig.viewer()
    rig.send(batch_of([10], first=0, rtp_time=(1 << 32) - 1), viewer)
    rig.send(batch_of([10], first=1, rtp_time=(1 << 32) + 2999), viewer)
    assert [packet.timestamp for packet in viewer.received()] == [0xFFFFFFFF, 2999]


def test_a_move_goes_on_with_the_next_index_wherever_it_leads(rig: Rig) -> None:
    viewer = rig.viewer()
    rig.send(batch_of([50] * 10, first=0), viewer)
    viewer.target.move(4, History())  # the group once more
    rig.send(batch_of([50] * 6, first=4), viewer)
    viewer.target.move(900, History())  # another rung
    rig.send(batch_of([50] * 3, first=900), viewer)
    got = viewer.received()
    assert [packet.sequence for packet in got] == list(range(1, 20))
    assert got[10].payload == got[4].payload, "the same picture"
    assert len({raw[20:] for raw in viewer.raw}) == 19, "under another nonce"


def test_what_a_target_has_already_is_left_out(rig: Rig) -> None:
    viewer = rig.viewer()
    batch = batch_of(FRAME)
    viewer.target.next, viewer.target.base = 4, -1
    rig.send(batch, viewer)
    assert [packet.sequence for packet in viewer.received()] == list(range(5, 12))
    assert rig.send(batch, viewer) == 1
    assert viewer.received() == []


def test_a_removed_target_can_be_added_again(rig: Rig) -> None:
    viewer = rig.viewer()
    rig.fan_out.remove(viewer.target)
    rig.fan_out.remove(viewer.target)
    rig.fan_out.add(viewer.target)
    rig.send(batch_of([5]), viewer)
    assert len(viewer.received()) == 1


def test_no_two_viewers_get_the_same_bytes(rig: Rig) -> None:
    viewers = [rig.viewer() for _ in range(3)]
    rig.send(batch_of([500] * 3), *viewers)
    for viewer in viewers:
        viewer.received()
    assert len({raw[20:] for viewer in viewers for raw in viewer.raw}) == 9


@pytest.mark.parametrize("name", ["python", "native"])
def test_a_full_socket_loses_nothing_and_repeats_nothing(name: str) -> None:
    """A pair of unix sockets gets full for real; what was cut short goes on with the same bytes."""
    fan_out = IMPLEMENTATIONS[name]()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        viewers = [Viewer(seed, route=UdpRoute(ours, ()), incoming=theirs) for seed in range(1, 9)]
        for viewer in viewers:
            fan_out.add(viewer.target)
            viewer.target.move(0, History())
        batch, left, datagrams, stops = batch_of([1000] * 10), [viewer.target for viewer in viewers], [], 0
        while left:
            left = left[fan_out.send(batch, left) :]
            stops += bool(left)
            datagrams += drain(theirs)
    assert stops > 2, "the socket was full again and again"
    assert len(datagrams) == len(set(datagrams)) == 80
    for number, viewer in enumerate(viewers):
        viewer.port.sent = datagrams[10 * number : 10 * number + 10]
        viewer._incoming = None
        assert [packet.sequence for packet in viewer.received()] == list(range(1, 11))


SEGMENTED = pytest.mark.parametrize("name", ["python, segmented", "native, segmented"])


@SEGMENTED
def test_where_segmentation_is_refused_packets_leave_one_by_one(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fan_out = IMPLEMENTATIONS[name]()
    with ExitStack() as stack:
        rig = Rig(fan_out, stack)
        rig._sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)  # the kernel then refuses, as a bad device would
        viewers = [rig.viewer() for _ in range(5)]
        monkeypatch.setattr(segmentation, "supports_segmentation", lambda: False)
        assert rig.send(batch_of(FRAME), *viewers) == 5
        assert "packet by packet" in fan_out.name
        assert fan_out.refused == 1
        assert "packet by packet" in caplog.text
        for viewer in viewers:
            assert [packet.sequence for packet in viewer.received()] == list(range(1, 12))
            assert viewer.target.errors == 0


@SEGMENTED
def test_one_viewer_that_takes_no_segments_is_sent_packets_and_the_others_segments(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        rig = Rig(IMPLEMENTATIONS[name](), stack)
        first, narrow, last = rig.viewer(), rig.refusing(), rig.viewer()
        for frame in range(3):
            assert rig.send(batch_of(FRAME, first=11 * frame), first, narrow, last) == 3
        for viewer in (first, narrow, last):
            assert [packet.sequence for packet in viewer.received()] == list(range(1, 34))
            assert (viewer.target.packets, viewer.target.octets) == (33, 3 * sum(FRAME))
            assert viewer.target.errors == 0
        assert "UDP segmentation" in rig.fan_out.name
        assert rig.fan_out.refused == 1, "it is not asked again with each picture"
        assert "stopped working" not in caplog.text


@SEGMENTED
def test_sound_that_rides_to_a_viewer_that_takes_no_segments_arrives_once(name: str) -> None:
    with ExitStack() as stack:
        rig = Rig(IMPLEMENTATIONS[name](), stack)
        narrow, other = rig.pair(), rig.pair()
        route = rig.refusing().target.route
        assert narrow.target.route is not None
        assert route is not None
        narrow.target.route = UdpRoute(route.socket, narrow.target.route.sockaddr)
        assert rig.send(with_rider(batch_of([1160] * 4), [160]), narrow, other) == 2
        for pair in (narrow, other):
            got = pair.received()
            assert [packet.sequence for packet in _of_stream(got, SSRC)] == [1, 2, 3, 4]
            assert [packet.sequence for packet in _of_stream(got, SSRC + 1)] == [1]
        assert rig.fan_out.refused == 1


@SEGMENTED
def test_segments_are_tried_again_after_a_while(name: str) -> None:
    with ExitStack() as stack:
        rig = Rig(IMPLEMENTATIONS[name](), stack)
        narrow = rig.refusing()
        for number in range(SINGLE_SENDS + 2):
            rig.send(batch_of([8, 8], first=2 * number), narrow)
        assert rig.fan_out.refused == 2
        assert len(narrow.received()) == 2 * SINGLE_SENDS + 4


@SEGMENTED
def test_a_viewer_at_port_0_costs_the_others_nothing(name: str) -> None:
    with ExitStack() as stack:
        rig = Rig(IMPLEMENTATIONS[name](), stack)
        first, nowhere, last = rig.viewer(), rig.viewer(), rig.viewer()
        nowhere.target.route = UdpRoute(rig._sender, ("127.0.0.1", 0))
        assert rig.send(batch_of(FRAME), first, nowhere, last) == 3
        assert len(first.received()) == len(last.received()) == 11
        assert (nowhere.target.next, nowhere.target.errors) == (11, 11)
        assert "UDP segmentation" in rig.fan_out.name


@SEGMENTED
def test_refusals_by_many_viewers_are_one_line_in_the_log(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []
    monkeypatch.setattr(segmentation, "supports_segmentation", lambda: tries.append(None) or True)
    caplog.set_level("INFO")
    with ExitStack() as stack:
        rig = Rig(IMPLEMENTATIONS[name](), stack)
        assert rig.send(batch_of(FRAME), *[rig.refusing() for _ in range(20)]) == 20
        assert rig.fan_out.refused == 20
        assert len(tries) == len(caplog.messages) == 1
        rig.send(batch_of(FRAME, stamped_at=1.5 + TRY_INTERVAL), rig.refusing())
        assert len(tries) == len(caplog.messages) == 2


@pytest.mark.parametrize("name", ["python, segmented", "native, segmented", "python", "native"])
def test_a_viewer_that_cannot_be_reached_costs_the_others_nothing(name: str) -> None:
    with ExitStack() as stack:
        rig = Rig(IMPLEMENTATIONS[name](), stack)
        first, lost, gone, last = (rig.viewer() for _ in range(4))
        lost.target.route = UdpRoute(rig._sender, ("255.255.255.255", 9))  # broadcasting is not allowed
        gone.target.route = None
        assert rig.send(batch_of(FRAME), first, lost, gone, last) == 4
        for viewer in (first, last):
            assert len(viewer.received()) == 11
        assert lost.target.errors > 0
        assert gone.target.errors > 0
        assert lost.target.next == gone.target.next == 11


def test_a_full_connection_holds_up_nobody_else() -> None:
    fan_out = PacketFanOut()
    slow, fast = Viewer(1), Viewer(2)
    slow.port.room = 3
    for viewer in (slow, fast):
        viewer.target.move(0, History())
    batch = batch_of([100] * 6)
    assert fan_out.send(batch, [slow.target, fast.target]) == 2
    assert slow.target.next == 3
    assert fast.target.next == 6
    slow.port.room = None
    assert fan_out.send(batch, [slow.target]) == 1
    assert [packet.sequence for packet in slow.received()] == [1, 2, 3, 4, 5, 6]


def test_aes_cm_viewers_get_the_same() -> None:
    fan_out = PacketFanOut()
    viewer = Viewer(profile=SrtpProfile.AES128_CM_SHA1_80, send_time_id=0)
    viewer.target.move(0, History())
    viewer.target.base = -65_530
    batch = batch_of([100] * 20)
    fan_out.send(batch, [viewer.target])
    assert [packet.payload for packet in viewer.received()] == [packet.payload for packet in batch.packets]


@pytest.mark.parametrize("profile", list(SrtpProfile))
def test_a_packet_without_a_time_is_the_same_to_the_byte_when_it_is_sent_again(profile: SrtpProfile) -> None:
    """Where RTX was not offered, the packet itself is repeated, which is safe only when its bytes are the same."""
    fan_out = PacketFanOut()
    viewer = Viewer(profile=profile, send_time_id=0)
    viewer.target.move(0, History())
    for stamped_at in (1.0, 2.0):
        fan_out.send(batch_of([100] * 3, stamped_at=stamped_at), [viewer.target])
        viewer.target.next = 0
    first, second = viewer.port.sent[:3], viewer.port.sent[3:]
    assert first == second


def test_locating_a_sequence_number_finds_the_packet_it_carried() -> None:
    first, second = history_of(batch_of([10] * 40).packets), history_of(batch_of([20] * 40, first=500).packets)
    target = Viewer().target
    target.move(0, first)
    target.next = 40
    target.move(20, first)  # a replay
    target.next = 40
    target.move(500, second)  # another rung
    target.next = 540
    for sequence, shared in ((1, 0), (40, 39), (41, 20), (60, 39), (61, 500), (100, 539)):
        found = target.locate(sequence)
        assert found is not None
        assert (found[0], found[1].shared) == (sequence, shared)
    assert target.locate(101) is None, "it was never sent"
    assert target.locate(0) is None
    assert target.locate(65_000) is None


def test_locating_works_across_the_wrap() -> None:
    history = history_of(batch_of([10] * 40).packets)
    target = Viewer().target
    target.base, target.next = -65_530, 0
    target.move(0, history)
    target.next = 40
    found = target.locate(65_531)
    assert found is not None
    assert (found[0], found[1].shared) == (65_531, 1)
    found = target.locate(3)
    assert found is not None
    assert (found[0], found[1].shared) == (65_539, 9)


SOUND = [161, 158]
"""Two packets of sound, the second of which leaves by itself."""


def _of_stream(packets: list[RtpPacket], ssrc: int) -> list[RtpPacket]:
    return [packet for packet in packets if packet.ssrc == ssrc]


@pytest.mark.parametrize("sizes", [FRAME, [30, *[1160] * 10], [90], [1160] * 64, [1160] * 130, [161], [160]])
def test_sound_rides_along_or_comes_after(rig: Rig, sizes: list[int]) -> None:
    pairs = [rig.pair() for _ in range(5)]
    batch = with_rider(batch_of(sizes), SOUND)
    assert rig.send(batch, *pairs) == 5
    assert batch.rider is not None
    is_carried = not isinstance(rig.fan_out, PacketFanOut)
    for pair in pairs:
        assert (pair.rider.next == batch.rider.end) is is_carried
    assert rig.fan_out.send(batch.rider, [pair.rider for pair in pairs]) == 5
    for pair in pairs:
        got = pair.received()
        picture, sound = _of_stream(got, SSRC), _of_stream(got, SSRC + 1)
        assert [packet.payload for packet in picture] == [packet.payload for packet in batch.packets]
        assert [packet.payload for packet in sound] == [packet.payload for packet in batch.rider.packets]
        assert [packet.sequence for packet in sound] == [1, 2]
        assert {packet.payload_type for packet in sound} == {111}
        assert (pair.target.packets, pair.target.octets) == (len(sizes), sum(sizes))
        assert (pair.rider.packets, pair.rider.octets) == (2, sum(SOUND))


def test_only_a_rider_that_has_come_so_far_rides_along(rig: Rig) -> None:
    ready, behind, ahead, none = rig.pair(), rig.pair(), rig.pair(), rig.viewer()
    batch = with_rider(batch_of(FRAME), SOUND, first=100)
    assert batch.rider is not None
    for pair, at in ((ready, 100), (behind, 99), (ahead, 102)):
        pair.rider.move(at, History())
    assert rig.send(batch, ready, behind, ahead, none) == 4
    assert (behind.rider.next, ahead.rider.next) == (99, 102)
    for pair in (behind, ahead, none):
        assert len(pair.received()) == len(FRAME)


def test_viewers_with_other_headers_of_sound_get_theirs(rig: Rig) -> None:
    pairs = [rig.pair(rider_type=payload_type) for payload_type in (111, 109, 111)]
    batch = with_rider(batch_of([400]), [100])
    rig.send(batch, *pairs)
    assert batch.rider is not None
    rig.fan_out.send(batch.rider, [pair.rider for pair in pairs])
    for pair, payload_type in zip(pairs, (111, 109, 111), strict=True):
        (sound,) = _of_stream(pair.received(), SSRC + 1)
        assert sound.payload_type == payload_type


def test_a_rider_that_was_removed_is_not_sent_to() -> None:
    with ExitStack() as stack:
        rig = Rig(_native(False), stack)
        pair = rig.pair()
        rig.fan_out.remove(pair.rider)
        assert rig.send(with_rider(batch_of([400]), [100]), pair) == 1
        assert len(pair.received()) == 1


@pytest.mark.parametrize("name", ["python", "native"])
def test_a_full_socket_in_the_middle_of_a_rider_loses_nothing(name: str) -> None:
    fan_out = IMPLEMENTATIONS[name]()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        pairs = [Viewer(seed, route=UdpRoute(ours, ()), incoming=theirs, rider_type=111) for seed in range(1, 9)]
        for pair in pairs:
            fan_out.add(pair.target)
            fan_out.add(pair.rider)
            pair.target.move(0, History())
            pair.rider.move(0, History())
        batch = with_rider(batch_of([1000] * 2), [900, 800, 700])
        left, datagrams, places = [pair.target for pair in pairs], [], set()
        while left:
            left = left[fan_out.send(batch, left) :]
            places |= {(target.next, target.rider.next) for target in left[:1] if target.rider}
            datagrams += drain(theirs)
    assert len(datagrams) == len(set(datagrams)) == 40
    assert {(2, 1), (2, 2)} & places, "it was full between two packets of sound"
    for number, pair in enumerate(pairs):
        pair.port.sent = datagrams[5 * number : 5 * number + 5]
        pair._incoming = None
        assert [packet.sequence for packet in pair.received()] == [1, 2, 1, 2, 3]


def test_sound_fits_the_send_of_a_picture_whose_fragments_are_of_one_size() -> None:
    key, rider = HeaderKey(SSRC, 96, SEND_TIME_ID), HeaderKey(SSRC + 1, 111, SEND_TIME_ID)
    assert with_rider(batch_of([1160] * 9), SOUND).cargo(key, rider).runs == ((0, 10), (10, 11))
    assert with_rider(batch_of([1160, 1100]), SOUND).cargo(key, rider).runs == ((0, 2), (2, 4))
    assert with_rider(batch_of([90]), [120, 120]).cargo(key, rider).runs == ((0, 1), (1, 3))
    assert with_rider(batch_of([1160] * 9), SOUND).cargo(key).runs == ((0, 9),)


def test_padding_arrives_as_none_and_is_not_counted(rig: Rig) -> None:
    viewer = rig.viewer()
    first, last = batch_of([500, 500]).packets
    padded = last._replace(payload=last.payload[:-3] + b"\0\0\3", padding=3)
    rig.send(RtpBatch([first, padded], 1.0), viewer)
    assert [packet.payload for packet in viewer.received()] == [first.payload, last.payload[:-3]]
    assert viewer.target.octets == 997


def runs_of(sizes: list[int]) -> tuple[tuple[int, int], ...]:
    return batch_of(sizes).cargo(HeaderKey(SSRC, 96, SEND_TIME_ID)).runs


def test_runs_are_equal_packets_and_one_tail() -> None:
    assert runs_of(FRAME) == ((0, 1), (1, 11))
    assert runs_of([5, 5, 4, 4, 6]) == ((0, 3), (3, 4), (4, 5))
    assert runs_of([1160] * 130 + [1]) == ((0, 50), (50, 100), (100, 131))
    assert runs_of([10] * 130) == ((0, 64), (64, 128), (128, 130))
    assert SEND_TIME_ID

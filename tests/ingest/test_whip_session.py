"""Publications over bad links in fake time, with real keys and real packets."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ingest.whip_session import KEYFRAME_EVERY
from media.hub import Hub
from media.reasons import DISPLACED, ENDED, VANISHED
from media.stream import StreamState
from media.ticks import TICKS_PER_SECOND
from media.track import Codec
from tests.support.link import Conditions
from tests.support.units import FakeClock
from tests.support.whip_link import FRAME, WALL, Source, WhipLink
from wire.codecs.h264 import H264Config
from wire.rtp import rtcp
from wire.rtp.packet import RtpPacket
from wire.stun import Address

BAD = Conditions(loss=0.10, duplication=0.05, delay=0.02, jitter=0.03)
SMALL_SPS = bytes.fromhex("6742c00bda0505c9a808800000030080000018478a1532")


def gaps(numbers: list[int]) -> int:
    return sum(later - earlier - 1 for earlier, later in itertools.pairwise(numbers))


def test_what_is_sent_is_published() -> None:
    link = WhipLink()
    link.run(5)
    numbers = link.numbers()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 130
    assert {unit.track.codec for unit in link.reader.units} == {Codec.H264, Codec.OPUS}
    assert len({id(unit.track) for unit in link.reader.pictures}) == 1
    steps = [later.dts - earlier.dts for earlier, later in itertools.pairwise(link.reader.pictures)]
    assert set(steps) == {3000}, "the picture's clock is the timeline's"
    steps = [later.dts - earlier.dts for earlier, later in itertools.pairwise(link.reader.sounds)]
    assert set(steps) == {1800}


@pytest.mark.parametrize("seed", range(3))
def test_no_broken_picture_passes_with_a_tenth_of_the_packets_lost(seed: int) -> None:
    link = WhipLink(BAD, seed=seed)
    link.run(20)
    numbers = link.numbers()
    assert len(numbers) >= 0.9 * 20 / FRAME, "retransmissions repair nearly everything"
    pictures = link.reader.pictures
    for (before, earlier), (after, later) in itertools.pairwise(zip(numbers, pictures, strict=True)):
        assert later.keyframe or after == before + 1, "a picture without the one before it is not published"
        assert later.dts - earlier.dts == 3000 * (after - before)
    assert link.heard(rtcp.Nack)
    assert link.session.counters().repaired > 100


def test_what_nobody_repairs_is_given_up_with_a_request_for_a_keyframe() -> None:
    link = WhipLink(replace(BAD, loss=0.02), answers=False, gop=30)
    link.run(20)
    numbers = link.numbers()
    counters = link.session.counters()
    assert counters.lost > 10
    assert gaps(numbers) > 10
    assert 5 < len(link.heard(rtcp.Pli)) < 20 / 0.3
    for (before, after), unit in zip(itertools.pairwise(numbers), link.reader.pictures[1:], strict=True):
        assert unit.keyframe or after == before + 1


def test_a_keyframe_ends_a_loss_early_where_the_publisher_makes_one() -> None:
    link = WhipLink(gop=10_000)
    link.run(2)
    link.pair.up._conditions = Conditions(loss=1.0)
    link.run(0.5)
    link.pair.up._conditions = Conditions()
    link.run(2)
    numbers = link.numbers()
    assert numbers[-1] - numbers[0] + 1 - len(numbers) < 0.5 / FRAME + 15
    assert numbers[-1] * FRAME > 3.9


def test_transport_feedback_names_every_packet() -> None:
    link = WhipLink()
    link.run(5)
    feedback = [packet for packet in link.received if isinstance(packet, rtcp.TransportFeedback)]
    assert len(feedback) >= 4 / 0.06, "every 50 ms"
    assert all(arrival is not None for packet in feedback for arrival in packet.arrivals)
    named = sum(len(packet.arrivals) for packet in feedback)
    assert named >= 0.95 * link.session.counters().packets


def test_transport_feedback_does_not_count_what_waited_for_us_as_the_paths_delay() -> None:
    """A node with many viewers looks into its socket once in a while, and hosts would send less for it."""

    def arrivals(between_reads: float) -> dict[int, int]:
        link = WhipLink(Conditions(delay=0.02))
        link.run(1)
        link.pair.hold_up(between_reads)
        link.run(4)
        told = [packet for packet in link.received if isinstance(packet, rtcp.TransportFeedback)]
        numbered = [(packet.base_sequence + n, at) for packet in told for n, at in enumerate(packet.arrivals)]
        return {number & 0xFFFF: at for number, at in numbered if at is not None}

    expected, found = arrivals(0.0), arrivals(0.06)
    common = expected.keys() & found.keys()
    assert len(common) >= 0.95 * len(expected)
    assert {number: found[number] for number in common} == {number: expected[number] for number in common}


def test_reports_carry_what_the_publisher_needs_to_learn_the_round_trip() -> None:
    link = WhipLink(Conditions(delay=0.04))
    link.run(5)
    blocks = [block for packet in link.received if isinstance(packet, rtcp.ReceiverReport) for block in packet.reports]
    assert any(block.last_sr for block in blocks)
    assert all(block.fraction_lost == 0 and block.packets_lost == 0 for block in blocks)
    assert link.heard(rtcp.ReferenceTime)


def test_wall_time_of_capture_comes_from_the_reports() -> None:
    link = WhipLink()
    link.run(3)
    assert link.begun is not None
    for unit, number in list(zip(link.reader.pictures, link.numbers(), strict=True))[30:]:
        assert unit.captured_at == pytest.approx(WALL + link.begun + number * FRAME, abs=0.005)


@pytest.mark.parametrize("late", [-0.15, 0.0, 0.15])
def test_reports_align_sound_and_picture_from_the_start(late: float) -> None:
    """The sound leaves later than it was captured; the reports know."""
    link = WhipLink(audio_late=max(late, 0.0), reports_from=0.2)
    link.run(2)
    sounds, pictures = link.reader.sounds, link.reader.pictures
    for unit in sounds[5:]:
        assert unit.captured_at is not None
    wall = {unit.dts: unit.captured_at for unit in pictures if unit.captured_at}
    origin = min(dts - 90_000 * at for dts, at in wall.items())
    for unit in sounds:
        if unit.captured_at is not None:
            assert abs(unit.dts - 90_000 * unit.captured_at - origin) < 90 * 3, "within 3 ms"


def test_without_reports_arrival_aligns_and_nothing_waits_longer_than_400_ms() -> None:
    link = WhipLink(reports_from=None)
    held_until = None
    while not link.reader.units:
        link.step()
        held_until = link.pair.now
    assert held_until is not None
    assert link.begun is not None
    assert held_until - link.begun < 0.45
    link.run(2)
    first_picture, first_sound = link.reader.pictures[0], link.reader.sounds[0]
    assert abs(first_picture.dts - first_sound.dts) < 90 * 40


def test_a_late_report_moves_only_the_sound_and_by_at_most_5_ms_a_second() -> None:
    link = WhipLink(audio_late=0.2, reports_from=1.0)
    link.run(10)
    pictures = [later.dts - earlier.dts for earlier, later in itertools.pairwise(link.reader.pictures)]
    assert set(pictures) == {3000}
    sounds = link.reader.sounds
    assert all(1790 <= later.dts - earlier.dts <= 1810 for earlier, later in itertools.pairwise(sounds))
    second = 50
    for earlier, later in zip(sounds, sounds[second:], strict=False):
        assert abs(later.dts - earlier.dts - 90_000) <= 451
    before, after = sounds[60], sounds[-1]
    moved = (after.dts - before.dts) - 1800 * (len(sounds) - 61)
    assert -460 * 9 < moved < -400 * 6, "towards the picture, which is 200 ms behind"


def test_a_drifting_audio_clock_stays_within_10_ms() -> None:
    link = WhipLink(drift=0.001)
    link.run(30)
    skew = link.session.skew
    assert skew is not None
    assert abs(skew) < 900
    last = link.reader.sounds[-1]
    assert last.captured_at is not None
    picture = link.reader.pictures[-1]
    assert picture.captured_at is not None
    apart = (last.dts - picture.dts) / 90_000 - (last.captured_at - picture.captured_at)
    assert abs(apart) < 0.010


def test_a_report_that_counts_no_packet_is_ignored() -> None:
    link = WhipLink(reports_from=None)
    while not link.pair.caller.connected:
        link.step()
    for ssrc in (1001, 1002):
        link.pair.caller.send_rtcp([rtcp.SenderReport(ssrc, 1 << 40, 0xFFFFFFFF, 0, 0)])
    link.run(2)
    assert link.session.skew is None
    assert all(unit.captured_at is None for unit in link.reader.units)


def test_another_resolution_is_another_track() -> None:
    link = WhipLink()
    link.run(2)
    link.parameter_sets = (SMALL_SPS, link.parameter_sets[1])
    link._wants_keyframe = True
    link.run(2)
    tracks = list(dict.fromkeys(unit.track for unit in link.reader.pictures))
    assert len(tracks) == 2
    sizes = [(track.config.width, track.config.height) for track in tracks if isinstance(track.config, H264Config)]
    assert len(set(sizes)) == 2
    assert gaps(link.numbers()) == 0
    link.parameter_sets = (b"\x67\xff", link.parameter_sets[1])
    link._wants_keyframe = True
    link.run(1)
    assert link.session.counters().dropped > 0, "sets that cannot be read are not published"


def test_another_source_takes_over_when_the_first_is_silent() -> None:
    link = WhipLink(reports_from=None)
    link.run(2)
    link.sends_video = False
    link.run(0.6)
    link.change_source(5005)
    link.sends_video = True
    link.run(2)
    assert link.numbers()[-1] * FRAME > 4.3
    steps = [later.dts - earlier.dts for earlier, later in itertools.pairwise(link.reader.pictures)]
    assert all(0 < step <= 90_000 for step in steps)


def test_a_second_source_at_the_same_time_is_ignored() -> None:
    link = WhipLink()
    link.run(1)
    packet = RtpPacket(link.incoming[0].payload.payload_type, 1, 1, 9999, b"\x65\x88" + bytes(100), marker=True)
    link.send_packet(packet, 1)
    link.run(1)
    assert gaps(link.numbers()) == 0


GARBAGE = {
    "empty": b"",
    "one byte": b"\x00",
    "empty STAP-A": b"\x78\x00",
    "half an FU-A": b"\x7c",
    "the end of an FU-A": b"\x7c\x45" + bytes(9),
    "an unknown kind": b"\xff" * 100,
}


@pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE)
def test_garbage_in_good_packets_breaks_nothing(payload: bytes) -> None:
    link = WhipLink()
    link.run(1)
    for source in (link._video, link._audio, link._rtx, Source(4242, 1)):
        source.index += 1
        packet = RtpPacket(source.payload_type, source.index & 0xFFFF, 5, source.ssrc, payload)
        link.send_packet(packet, source.index)
    link.run(3)
    numbers = link.numbers()
    assert numbers[-1] * FRAME > 3.8
    assert not link.closed


def test_a_viewer_that_needs_a_keyframe_gets_one() -> None:
    link = WhipLink(gop=10_000)
    link.run(2)
    assert link.stream.request_keyframe()
    link.run(1)
    keyframes = [number for number, unit in zip(link.numbers(), link.reader.pictures, strict=True) if unit.keyframe]
    assert len(keyframes) == 2
    assert link.heard(rtcp.Pli)


def keyframe_times(link: WhipLink) -> list[float]:
    return [unit.dts / TICKS_PER_SECOND for unit in link.reader.pictures if unit.keyframe]


def test_who_makes_keyframes_only_when_asked_is_asked() -> None:
    link = WhipLink(gop=10_000)
    link.run(12)
    steps = [later - earlier for earlier, later in itertools.pairwise(keyframe_times(link))]
    assert len(steps) >= 4
    assert all(KEYFRAME_EVERY <= step <= KEYFRAME_EVERY + 0.2 for step in steps), steps


def test_who_makes_them_every_two_seconds_is_not_asked() -> None:
    link = WhipLink(gop=60)
    link.run(12)
    assert len(keyframe_times(link)) >= 6
    assert not link.heard(rtcp.Pli)


def test_who_makes_none_is_not_flooded_with_requests() -> None:
    link = WhipLink(gop=10_000, answers=False)
    link.run(12)
    assert len(keyframe_times(link)) == 1
    assert len(link.heard(rtcp.Pli)) == 12 // KEYFRAME_EVERY


def test_a_publisher_that_roams_is_followed() -> None:
    link = WhipLink()
    link.run(2)
    link.pair.caller_address = Address("203.0.113.9", 40_404)
    link.run(3)
    assert link.pair.server.remote == Address("203.0.113.9", 40_404)
    numbers = link.numbers()
    assert numbers[-1] * FRAME > 4.5
    assert not link.closed


def test_a_publisher_that_is_killed_leaves_a_stream_that_waits() -> None:
    link = WhipLink()
    link.run(2)
    link.pair.checking = link.sends_video = link.sends_audio = False
    link.pair.up._conditions = Conditions(loss=1.0)
    link.run(14)
    assert not link.closed
    link.run(2)
    assert link.closed == [VANISHED]
    assert link.stream.state is StreamState.WAITING
    assert link.port.is_closed


def test_goodbye_over_dtls_is_a_clean_stop() -> None:
    link = WhipLink()
    link.run(2)
    link.pair.caller.close()
    link.run(1)
    assert link.closed == [ENDED]
    assert link.stream.state is StreamState.STOPPED


def test_silence_on_an_open_connection_ends_it() -> None:
    link = WhipLink(idle=5.0)
    link.run(2)
    link.sends_video = link.sends_audio = False
    link.run(4)
    assert not link.closed
    link.run(2)
    assert link.closed == [VANISHED]


def test_without_video_the_sound_goes_on() -> None:
    link = WhipLink()
    link.run(2)
    link.sends_video = False
    sounds = len(link.reader.sounds)
    link.run(5)
    assert len(link.reader.sounds) - sounds >= 240
    link.sends_video = True
    link.run(1)
    assert gaps(link.numbers()) >= 140
    assert not link.closed


def test_who_takes_over_displaces_and_the_first_one_is_told() -> None:
    clock = FakeClock(100.0)
    hub = Hub(clock, new_epoch=lambda: "epoch1")
    first = WhipLink(hub=hub)
    first.run(2)
    first.sends_video = False
    second = hub.claim("room", peer="192.0.2.3", on_displaced=lambda reason: None)
    first.run(1)
    assert first.closed == [DISPLACED]
    assert second.is_active
    goodbyes = [packet for packet in first.received if isinstance(packet, rtcp.Bye)]
    assert goodbyes
    assert "4100" in goodbyes[0].reason


def test_a_room_is_taken_only_when_the_keys_are_there() -> None:
    link = WhipLink(Conditions(loss=1.0))
    link.run(3)
    assert link.hub.get("room") is None, "a publisher whose packets never arrive takes nothing from anybody"


@pytest.mark.parametrize("name", ["obs-publisher", "ffmpeg-publisher", "gstreamer-publisher"])
def test_publishers_of_every_kind_get_through(name: str) -> None:
    link = WhipLink(replace(BAD, loss=0.0), offered=name)
    link.run(5)
    numbers = link.numbers()
    assert len(numbers) >= 130
    assert gaps(numbers) == 0

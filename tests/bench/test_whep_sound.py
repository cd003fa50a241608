"""A checked viewer's sound, fed packet by packet, and the samples that are kept of it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bench.media_sample import SAMPLE_S, SampleTaker, sample_starts
from bench.whep_sound import GIVE_UP_S, SoundProbe
from wire.rtp.packet import RtpPacket

TWENTY_MS = b"\xfc" + bytes(20)  # CELT, 20 ms, stereo, one frame
START = 0xFFFFFFFF - 1000


def sound(number: int, *, time: int | None = None, payload: bytes = TWENTY_MS) -> RtpPacket:
    at = START + 960 * number if time is None else time
    return RtpPacket(111, (65_533 + number) & 0xFFFF, at & 0xFFFFFFFF, 7, payload)


def heard(packets: Iterable[RtpPacket]) -> SoundProbe:
    probe = SoundProbe()
    probe.measure()
    for number, packet in enumerate(packets):
        probe.receive(packet, number * 0.02)
    return probe


def test_steady_sound_has_no_gaps_and_may_wrap() -> None:
    probe = heard(sound(n) for n in range(20))
    assert (probe.packets, probe.lost, probe.gaps, probe.steps_back) == (20, 0, 0, 0)


def test_overtaken_packets_are_put_in_order() -> None:
    probe = heard(sound(n) for n in (0, 2, 1, 3))
    assert (probe.packets, probe.lost, probe.gaps, probe.steps_back) == (4, 0, 0, 0)


def test_a_lost_packet_is_a_loss_and_not_a_gap() -> None:
    probe = heard(sound(n) for n in (0, 1, 3, 4))
    probe.handle_timeout(0.06 + GIVE_UP_S)
    assert (probe.packets, probe.lost, probe.gaps) == (4, 1, 0)


@pytest.mark.parametrize(("shift", "expected"), [(1, (1, 0)), (-1, (0, 1)), (960, (1, 0))])
def test_rtp_time_that_does_not_follow_is_counted(shift: int, expected: tuple[int, int]) -> None:
    probe = heard([sound(0), sound(1), *(sound(n, time=START + 960 * n + shift) for n in range(2, 6))])
    assert (probe.gaps, probe.steps_back) == expected


def test_what_is_no_opus_is_counted() -> None:
    probe = heard([sound(0), sound(1, payload=b"\xff"), sound(2), sound(3, payload=b"")])
    assert (probe.packets, probe.malformed, probe.gaps) == (2, 1, 0)


def test_what_came_before_the_measurement_does_not_count() -> None:
    probe = SoundProbe()
    probe.receive(sound(0), 0.0)
    probe.receive(sound(1, time=START), 0.02)
    probe.measure()
    probe.receive(sound(2, time=START + 960), 0.04)
    assert (probe.packets, probe.gaps, probe.steps_back) == (1, 0, 0)


@pytest.mark.parametrize(("seconds", "starts"), [(2.0, [0, 0, 0]), (20.0, [0, 6, 12]), (600.0, [0, 296, 592])])
def test_samples_are_spread_over_the_window(seconds: float, starts: list[float]) -> None:
    assert sample_starts(seconds) == starts


def test_a_sample_begins_at_a_keyframe_and_has_the_sound_and_the_reports() -> None:
    taker = SampleTaker([b"\x67", b"\x68"], None, lips=True)
    taker.begin([0.0, 20.0], 100.0)
    taker.sound(0, b"before", 100.0)
    taker.picture(1, [b"\x41"], 100.0, keyframe=False)
    taker.picture(2, [b"\x65"], 100.1, keyframe=True)
    taker.sound(3, b"sound", 100.2)
    taker.reported(1, 2, video=True)
    taker.reported(3, 4, video=False)
    taker.picture(4, [b"\x41"], 100.1 + SAMPLE_S, keyframe=False)
    taker.picture(5, [b"\x65"], 119.9, keyframe=True)
    taker.picture(6, [b"\x65"], 120.1, keyframe=True)
    taker.finish()
    first, second = taker.samples
    assert first.parameter_sets == b"\0\0\0\1\x67\0\0\0\1\x68"
    assert (first.pictures, first.sounds) == ([(2, b"\0\0\0\1\x65")], [(3, b"sound")])
    assert (first.video_reports, first.audio_reports) == (((1, 2),), ((3, 4),))
    assert [time for time, _ in second.pictures] == [6]


def test_a_viewer_of_whom_only_the_sound_is_kept_keeps_no_picture() -> None:
    taker = SampleTaker([], None, lips=False)
    taker.begin([0.0], 0.0)
    taker.picture(1, [b"\x65"], 0.0, keyframe=True)
    taker.sound(2, b"sound", 0.1)
    taker.picture(3, [b"\x65"], 0.2, keyframe=True)
    taker.finish()
    (sample,) = taker.samples
    assert (sample.pictures, sample.sounds) == ([], [(2, b"sound")])

"""Payloads and RTP times of units."""

from __future__ import annotations

import itertools
from hashlib import sha256

import pytest

from media.rtp import (
    MAX_PAYLOAD,
    OpusClock,
    audio_rtp_time,
    packetise,
    reorders,
    rtp_origin,
    video_rtp_time,
)
from media.ticks import Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.encoded import video_flv
from tests.support.units import AUDIO, PPS, SPS, VIDEO, picture, sound
from wire.codecs.h265 import H265Config
from wire.codecs.opus import OpusConfig
from wire.flv import FlvParser
from wire.flv_tag import VIDEO as VIDEO_TAG
from wire.flv_tag import FlvTag
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.h265 import H265Depacketiser

OPUS = Track(Codec.OPUS, OpusConfig(2))
TOC_20_MS = bytes([0xFC])  # CELT, 20 ms, one frame


def test_the_origin_is_the_first_four_bytes_of_the_hash_of_the_epoch() -> None:
    assert rtp_origin("k3") == int.from_bytes(sha256(b"k3").digest()[:4], "big")


def test_rtp_time_is_origin_plus_t_and_wraps() -> None:
    assert video_rtp_time(1000, 90) == 1090
    assert video_rtp_time(0xFFFFFFFF, 2) == 1
    assert video_rtp_time(5, (1 << 32) * 3 + 7) == 12
    assert audio_rtp_time(1000, 90_000) == 49_000
    assert audio_rtp_time(0xFFFFFFFF, 90_000) == 47_999


def test_picture_and_sound_of_one_moment_are_at_one_moment() -> None:
    """What a receiver makes of the sender reports: t from either kind is the same."""
    for t in (0, 1, 89_999, 90_000, 7_654_321):
        assert abs((audio_rtp_time(0, t) / 48_000) - (video_rtp_time(0, t) / 90_000)) < 1 / 48_000


def test_a_keyframe_begins_with_its_parameter_sets_in_one_packet() -> None:
    unit = picture(0, key=True, size=5000)
    payloads = packetise(unit)
    assert payloads[0][0] & 0x1F == 24
    depacketiser = H264Depacketiser()
    nals = [nal for payload in payloads for nal in depacketiser.receive(payload)]
    assert nals == [SPS, PPS, *unit.parts]


def test_other_pictures_carry_none() -> None:
    unit = picture(0, size=200)
    assert packetise(unit) == [unit.parts[0]]


def test_fragments_are_equal_but_for_rounding() -> None:
    sizes = [len(payload) for payload in packetise(picture(0, size=10_000))]
    assert len(set(sizes[:-1])) == 1
    assert sizes[0] - len(sizes) < sizes[-1] <= sizes[0] <= MAX_PAYLOAD


def test_opus_is_one_payload() -> None:
    unit = sound(0, track=OPUS)
    assert packetise(unit) == [unit.parts[0]]


def test_what_has_no_payload_format_is_an_error() -> None:
    with pytest.raises(ValueError, match="aac"):
        packetise(sound(0, track=AUDIO))


def test_h265_carries_its_three_kinds_of_sets() -> None:
    reader = FlvParser()
    config = next(iter(_hevc_configs(reader)))
    nal = bytes([19 << 1, 1]) + bytes(4000)
    unit = AccessUnit(Track(Codec.H265, config), Ticks(0), Ticks(0), True, (nal,))
    depacketiser = H265Depacketiser()
    nals = [found for payload in packetise(unit) for found in depacketiser.receive(payload)]
    assert nals == [*config.vps, *config.sps, *config.pps, nal]


def _hevc_configs(reader: FlvParser) -> list[H265Config]:
    from wire import flv_video

    reader.receive_data(video_flv("libx265", 192, 128, params="log-level=none"))
    found = []
    while (tag := reader.next_event()) is not None:
        event = flv_video.parse_video(tag.body) if isinstance(tag, FlvTag) and tag.kind == VIDEO_TAG else None
        if isinstance(event, flv_video.VideoConfigRecord):
            found.append(H265Config.from_hvcc(event.record)[0])
    return found


def test_only_what_declares_reordering_is_taken_to_reorder() -> None:
    assert not reorders(VIDEO)
    assert not reorders(OPUS)


def test_milliseconds_do_not_make_opus_click() -> None:
    clock = OpusClock(100)
    times = []
    for number in range(200):
        exact = number * 1800  # 20 ms
        rounded = (exact // 90 + (number % 3 - 1)) * 90  # a publisher's milliseconds, one off in both directions
        times.append(clock.rtp_time(max(0, rounded), TOC_20_MS))
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert steps == {960}


def test_a_pause_of_the_sound_is_a_gap_in_its_time() -> None:
    clock = OpusClock(0)
    assert clock.rtp_time(0, TOC_20_MS) == 0
    assert clock.rtp_time(90_000, TOC_20_MS) == 48_000
    assert clock.rtp_time(91_800, TOC_20_MS) == 48_960


def test_a_packet_that_cannot_be_read_is_placed_by_its_time() -> None:
    clock = OpusClock(0)
    assert clock.rtp_time(0, bytes([3])) == 0
    assert clock.rtp_time(1800, TOC_20_MS) == 960

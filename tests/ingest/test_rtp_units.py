"""Packets of real encoders to units: both codecs, reordered pictures, starts in the middle."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from ingest.rtp_units import AudioUnits, RawUnit, VideoUnits
from media.rtp import packetise
from media.ticks import Ticks
from media.track import Codec
from media.unit import AccessUnit
from tests.support.encoded import video_flv
from tests.support.film import units_of
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import InOrder

WRAP = 1 << 32
MTU = 200


def shots(codec: Codec, params: str = "bframes=0:scenecut=0") -> list[AccessUnit]:
    library = {Codec.H264: "libx264", Codec.H265: "libx265"}[codec]
    return list(units_of(video_flv(library, 160, 96, params=params)))


def packets(units: Iterable[AccessUnit]) -> list[InOrder]:
    """As they arrive in order, with the presentation time that RTP carries."""
    items: list[InOrder] = []
    for unit in units:
        payloads = packetise(unit, MTU)
        for number, payload in enumerate(payloads):
            marker = number == len(payloads) - 1
            packet = RtpPacket(96, len(items) & 0xFFFF, unit.pts % WRAP, 1, payload, marker=marker)
            items.append(InOrder(len(items), packet, after_gap=False))
    return items


def receive(maker: VideoUnits, items: Iterable[InOrder]) -> list[RawUnit]:
    return [unit for item in items for unit in maker.receive(item)]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_pictures_come_out_as_the_encoder_made_them(codec: Codec) -> None:
    sent = shots(codec)
    maker = VideoUnits(codec)
    got = receive(maker, packets(sent))
    assert [unit.parts for unit in got] == [unit.parts for unit in sent]
    assert [unit.keyframe for unit in got] == [unit.keyframe for unit in sent]
    assert [unit.shown - got[0].shown for unit in got] == [unit.pts - sent[0].pts for unit in sent]
    assert got[0].track.codec is codec
    assert len({id(unit.track) for unit in got}) == 1
    assert not maker.wants_keyframe


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_reordered_pictures_get_decoding_times(codec: Codec) -> None:
    sent = shots(codec, "bframes=2:b-adapt=0:scenecut=0")
    assert any(later.pts < earlier.pts for earlier, later in itertools.pairwise(sent))
    got = receive(VideoUnits(codec), packets(sent))
    assert [unit.shown - got[0].shown for unit in got] == [unit.pts - sent[0].pts for unit in sent]
    assert all(later.time > earlier.time for earlier, later in itertools.pairwise(got))
    assert all(unit.time <= unit.shown for unit in got)


@pytest.mark.parametrize("jump", [3 * 3600 * 90_000, -3 * 3600 * 90_000])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_decoding_times_follow_a_jump_of_reordered_pictures(codec: Codec, jump: int) -> None:
    sent = shots(codec, "bframes=2:b-adapt=0:scenecut=0")
    later = [replace(unit, dts=Ticks(unit.dts + jump), pts=Ticks(unit.pts + jump)) for unit in sent]
    got = receive(VideoUnits(codec), packets([*sent, *later]))
    assert len(got) == 2 * len(sent)
    before, after = got[: len(sent)], got[len(sent) :]
    assert [unit.shown - unit.time for unit in after] == [unit.shown - unit.time for unit in before]
    assert after[0].time - before[0].time == jump


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_a_start_in_the_middle_waits_for_a_whole_keyframe(codec: Codec) -> None:
    sent = shots(codec)
    keyframes = [number for number, unit in enumerate(sent) if unit.keyframe]
    assert len(keyframes) > 1
    for skipped in range(1, len(packetise(sent[0], MTU))):
        maker = VideoUnits(codec)
        got = receive(maker, packets(sent)[skipped:])
        assert len(got) == len(sent) - keyframes[1], f"{skipped} packets of the first keyframe are missing"
        assert got[0].keyframe


def test_a_gap_asks_for_a_keyframe_until_one_is_here() -> None:
    sent = shots(Codec.H264)
    items = packets(sent)
    at = next(number for number, item in enumerate(items) if item.packet.timestamp == sent[3].pts % WRAP)
    maker = VideoUnits(Codec.H264)
    assert len(receive(maker, items[:at])) == 3
    after = items[at + 1]
    assert maker.receive(InOrder(after.index, after.packet, after_gap=True)) == []
    assert maker.wants_keyframe
    rest = receive(maker, items[at + 2 :])
    assert rest[0].keyframe
    assert not maker.wants_keyframe


def test_sound_is_one_unit_a_packet_and_unreadable_sound_is_left_out() -> None:
    maker = AudioUnits()
    payloads = [b"\xfc" + bytes(20), b"", b"\xff\x00", b"\xfc" + bytes(20)]
    items = [
        InOrder(number, RtpPacket(111, number, 960 * number, 1, payload), after_gap=number == 3)
        for number, payload in enumerate(payloads)
    ]
    got = [unit for item in items for unit in maker.receive(item)]
    assert [unit.time - got[0].time for unit in got] == [0, 2880]
    assert maker.dropped == {"unreadable": 1}
    assert not maker.wants_keyframe

"""Rungs on demand: made while wanted, from the newest picture on, gone on with after a fault. Nothing is encoded."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.overload import Overload, Remedy, RungLoad
from media.reasons import RUNG_SHED
from media.rung import Rung
from media.stream import Kinds
from media.track import Codec, Track
from media.unit import AccessUnit
from tests.support.encoded import video_flv
from tests.support.film import units_of
from tests.support.fragile_worker import CRASH, HANG
from tests.support.plain_worker import FAIL, REFUSE
from tests.support.quiet import own_time
from tests.support.sound import access_units, beep_sound
from tests.support.transcode import PLAIN_COMMAND, Listener, Studio, studio
from tests.support.units import VIDEO, hevc_track, picture, sound
from wire.codecs.h264 import H264Config
from wire.codecs.opaque import OpaqueConfig

STEP = 3600
LOW = Rung("low", Codec.H264, 90, 200_000)
MID = Rung("mid", Codec.H264, 180, 500_000)
HEVC = Rung("hevc", Codec.H265, 180, 300_000, profile="main", encoder="libx265")
HUGE = Rung("huge", Codec.H264, 4320, 50_000_000)
LADDER = (LOW, MID, HEVC, HUGE)


def shots(count: int, *, first: int = 0, group: int = 25, track: Track = VIDEO) -> list[AccessUnit]:
    """Pictures without reordering, a keyframe every `group`."""
    return [picture(n * STEP, key=n % group == 0, track=track) for n in range(first, first + count)]


def watch(room: Studio, name: str, audio: str | None = None) -> Listener:
    listener = Listener()
    room.stream.attach(listener, video=name, audio=audio)
    return listener


async def publish_live(room: Studio, units: Sequence[AccessUnit]) -> None:
    started = time.monotonic()
    for unit in units:
        await asyncio.sleep(max(0.0, started + (unit.dts - units[0].dts) / 90_000 - time.monotonic()))
        room.publisher.publish(unit)


def check_times(listener: Listener, *, largest: int = STEP) -> None:
    """In order, without a hole of more than this."""
    steps = [b.dts - a.dts for a, b in pairwise(listener.pictures)]
    assert min(steps) > 0
    assert max(steps) <= largest
    assert listener.pictures[0].keyframe


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


def plain(**changes):
    return studio(command=PLAIN_COMMAND, rungs=LADDER, **changes)


async def test_a_rung_begins_at_the_newest_picture_with_a_keyframe_and_ends_with_its_last_reader() -> None:
    async with plain() as room:
        room.publish(shots(20))
        assert not room.transcoding.workers
        viewer = watch(room, "mid")
        room.publish(shots(1, first=20))
        await viewer.until(lambda: bool(viewer.pictures))
        assert viewer.pictures[0].keyframe
        assert viewer.pictures[0].dts == 20 * STEP
        assert viewer.pictures[0].track.rendition == "mid"
        assert room.stream.renditions["mid"] is viewer.pictures[0].track
        pid = room.pid
        room.stream.detach(viewer)
        await gone(pid)
        assert room.stream.renditions.keys() == {"source"}
        assert not room.transcoding.active


async def test_a_rung_that_is_made_again_much_later_begins_at_the_newest_picture_as_well() -> None:
    async with plain() as room:
        room.publish(shots(20))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        pid = room.pid
        room.stream.detach(viewer)
        await gone(pid)
        room.publish(shots(200, first=20, group=110))
        again = watch(room, "mid")
        await again.until(lambda: bool(again.pictures))
        assert again.pictures[0].dts == 219 * STEP
        assert again.pictures[0].keyframe


async def test_viewers_of_the_source_cost_no_worker() -> None:
    async with plain() as room:
        room.publish(shots(20))
        watch(room, "source")
        assert not room.transcoding.workers
        assert {rendition.name for rendition in room.stream.could_encode()} == {"low", "mid", "hevc"}


async def test_what_could_be_encoded_is_the_ladder_that_fits_best_first() -> None:
    async with plain() as room:
        assert room.stream.could_encode() == ()
        room.publish(shots(2))
        names = [rendition.name for rendition in room.stream.could_encode()]
        assert names == ["mid", "hevc", "low"]
        low = room.stream.could_encode()[-1]
        assert (low.width, low.height, low.is_made, low.bitrate) == (160, 90, False, 200_000)
        assert low.codec_string == "avc1.42c00c"
        viewer = watch(room, "low")
        await viewer.until(lambda: bool(viewer.pictures))
        assert room.stream.could_encode()[-1].is_made


async def test_nothing_is_encoded_of_a_source_without_a_known_picture() -> None:
    async with plain() as room:
        av1 = Track(Codec.AV1, OpaqueConfig(b"\x81"))
        room.publish([picture(0, key=True, track=av1)])
        assert room.stream.could_encode() == ()
        viewer = watch(room, "low")
        await viewer.until(lambda: bool(viewer.ended))
        assert viewer.ended == [RUNG_SHED]
        assert not room.transcoding.workers


async def test_no_rung_is_larger_than_a_source_that_shrinks() -> None:
    small = Track(Codec.H264, units_of(video_flv("libx264", 160, 96))[0].track.config)
    async with plain() as room:
        room.publish(shots(20))
        viewer, other = watch(room, "mid"), watch(room, "low")
        room.publish(shots(1, first=20))
        await other.until(lambda: bool(viewer.pictures and other.pictures))
        assert small.config.height == 96
        room.publish(shots(20, first=25, track=small))
        await viewer.until(lambda: bool(viewer.ended))
        assert viewer.ended == [RUNG_SHED]


async def test_two_rungs_have_keyframes_together_and_one_worker() -> None:
    async with plain() as room:
        room.publish(shots(5))
        first = watch(room, "mid")
        await first.until(lambda: bool(first.pictures))
        second = watch(room, "low")
        for number in range(5, 60):
            room.publish(shots(1, first=number))
            await first.until(lambda due=number * STEP: first.pictures[-1].dts == due)
        await second.until(lambda: second.pictures[-1:] and second.pictures[-1].dts == 59 * STEP)
        await first.until(lambda: first.pictures[-1].dts == 59 * STEP)
        assert room.transcoding.counters.starts == 1
        keys = [{u.dts for u in v.pictures if u.keyframe and u.dts >= second.pictures[0].dts} for v in (first, second)]
        assert keys[0] == keys[1]
        check_times(first)
        check_times(second)


async def test_readers_of_a_rung_get_a_keyframe_when_they_ask() -> None:
    async with plain() as room:
        room.publish(shots(5))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        assert room.stream.request_keyframe("mid")
        room.publish(shots(3, first=5))
        await viewer.until(lambda: len(viewer.pictures) >= 4)
        assert viewer.pictures[1].keyframe


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_dies_or_hangs_costs_a_rung_no_picture(fault: signal.Signals) -> None:
    heard = access_units(beep_sound("aac", 44_100, 2, 10))[:260]
    units = sorted([*shots(150, group=50), *heard], key=lambda unit: unit.dts)
    async with plain() as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        live = asyncio.create_task(publish_live(room, units))
        while not room.stream.renditions or not room.stream.audio:
            await asyncio.sleep(0.01)
        viewer = watch(room, "mid", "opus")
        await viewer.until(lambda: len(viewer.pictures) > 30)
        track, struck = viewer.pictures[-1].track, own_time()
        os.kill(room.pid, fault)
        await live
        await viewer.until(lambda: viewer.pictures[-1].dts == 149 * STEP)
        pictures = [at for unit, at in zip(viewer.units, viewer.arrivals, strict=True) if unit.is_video and at > struck]
        assert max(b - a for a, b in pairwise(pictures)) < 1.5
        check_times(viewer)
        assert {unit.track for unit in viewer.pictures} == {track}
        assert room.transcoding.counters.restarts == 1
        assert room.transcoding.counters.hangs == (fault is signal.SIGSTOP)
        assert len(viewer.steps) == 1


@pytest.mark.parametrize("pill", [CRASH, HANG])
async def test_the_rest_of_a_group_that_kills_two_workers_is_left_out(pill: bytes) -> None:
    units = shots(60)
    units[30] = picture(30 * STEP, track=VIDEO).__class__(VIDEO, units[30].dts, units[30].pts, False, (pill,))
    async with plain() as room:
        room.publish(units[:5])
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        room.publish(units[5:40])
        async with asyncio.timeout(10):
            while room.transcoding.counters.restarts < 2:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            while not any(t.pid for t in room.transcoding.active):
                await asyncio.sleep(0.01)
        room.publish(units[40:])
        await viewer.until(lambda: viewer.pictures[-1].dts == 59 * STEP)
        assert room.transcoding.counters.restarts == 2
        assert room.transcoding.counters.drops["poison"] > 5
        after = [unit for unit in viewer.pictures if unit.dts > 30 * STEP]
        assert after[0].keyframe
        assert after[0].dts == 50 * STEP


def finding_codes(room: Studio) -> list[str]:
    return [finding.code for finding in room.transcoding.findings(room.stream)]


@pytest.mark.parametrize("command", ["/bin/false", "/nonexistent"])
async def test_without_a_worker_viewers_of_rungs_are_sent_elsewhere_and_newcomers_too(command: str) -> None:
    async with studio(command=(command,), rungs=LADDER) as room:
        room.publish(shots(5))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.ended))
        assert viewer.ended == [RUNG_SHED]
        assert room.stream.could_encode() == ()
        assert finding_codes(room) == ["ladder-worker"]
        assert not room.transcoding.active
        starts = room.transcoding.counters.starts
        newcomer = watch(room, "mid")
        await newcomer.until(lambda: bool(newcomer.ended))
        assert room.transcoding.counters.starts == starts


async def test_what_was_learned_of_a_room_is_forgotten_with_its_broadcast_and_not_later() -> None:
    async with plain() as room:
        load = RungLoad("room", "mid", 0.5, 1, 300, 0, 9.0, is_last_resort=False, is_lowered=False)
        overload = room.transcoding.overload = Overload()
        overload.judge(0.0, [load], idle=1.0, cores=2)
        first = room.stream
        room.hub.end("room")
        assert overload.cost("room", "mid") is None
        room.claim()
        overload.judge(1.0, [load], idle=1.0, cores=2)
        first.attach(Listener(), video="mid", audio=None)
        assert overload.cost("room", "mid") == 0.5


async def test_nothing_is_started_for_a_stream_that_has_ended() -> None:
    async with studio(command=("/nonexistent",), rungs=LADDER, linger=30) as room:
        room.publish(shots(5))
        viewer = watch(room, "mid")
        room.hub.end("room")
        assert viewer.ended
        assert not room.transcoding.active
        watch(room, "mid")
        assert not room.transcoding.active


async def test_a_worker_that_does_not_come_back_in_time_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.transcoder.MISSED_AFTER", 0.2)
    hangs = tmp_path / "hangs"
    program = f"test -e {hangs} && exec sleep 60; touch {hangs}; exit 1"
    async with studio(command=("/bin/sh", "-c", program), rungs=LADDER) as room:
        room.publish([*shots(5), sound(0)])
        viewer = watch(room, "mid", "opus")
        await viewer.until(lambda: bool(viewer.ended))
        assert viewer.ended == [RUNG_SHED]
        assert room.stream.could_encode() == ()
        assert finding_codes(room) == ["ladder-worker"]


async def test_an_encoder_that_fails_is_tried_once_more_and_then_not_for_a_while() -> None:
    units = shots(60)
    for index in (20, 40):
        units[index] = AccessUnit(VIDEO, units[index].dts, units[index].pts, False, (FAIL,))
    async with plain() as room:
        room.publish(units[:5])
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        room.publish(units[5:30])
        await viewer.until(lambda: viewer.pictures[-1].dts == 29 * STEP)
        assert not viewer.ended
        assert b"run 2" in viewer.pictures[-1].parts[0]
        room.publish(units[30:])
        await viewer.until(lambda: bool(viewer.ended))
        assert "mid" not in [rendition.name for rendition in room.stream.could_encode()]
        assert "low" in [rendition.name for rendition in room.stream.could_encode()]
        assert room.transcoding.counters.restarts == 0
        assert room.transcoding.counters.rung_failures == 2


async def test_a_rung_whose_hardware_fails_twice_goes_on_in_software() -> None:
    asked = Rung("mid", Codec.H264, 180, 500_000, preset="p4", encoder="h264_nvenc")
    units = shots(90)
    for index in (20, 40, 60, 80):
        units[index] = AccessUnit(VIDEO, units[index].dts, units[index].pts, False, (FAIL,))
    async with studio(command=PLAIN_COMMAND, rungs=(asked,)) as room:
        room.publish(units[:5])
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        room.publish(units[5:20])
        for failures, encoder in enumerate(("h264_nvenc", "libx264", "libx264"), 1):
            pill = 20 * failures
            room.publish(units[pill : pill + 1])
            async with asyncio.timeout(5):
                while room.transcoding.counters.rung_failures < failures:
                    await asyncio.sleep(0.01)
            (made,) = room.transcoding.of(room.stream).picture.rungs
            assert made.rung.encoder == encoder
            room.publish(units[pill + 1 : pill + 20])
            await viewer.until(lambda end=pill + 19: viewer.pictures[-1].dts == end * STEP)
        assert not viewer.ended
        check_times(viewer, largest=2 * STEP)
        room.publish(units[80:])
        await viewer.until(lambda: bool(viewer.ended))
        assert room.stream.could_encode() == (), "in software too it fails twice, and is left alone"


async def test_a_source_that_is_refused_ends_its_rungs_and_another_one_brings_them_back() -> None:
    async with plain() as room:
        room.publish(shots(5))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        room.publish([AccessUnit(VIDEO, 5 * STEP, 5 * STEP, False, (REFUSE,))])
        await viewer.until(lambda: bool(viewer.ended))
        assert room.stream.could_encode() == ()
        transcoder = room.transcoding.of(room.stream)
        assert transcoder.picture.problem == "it was told to"
        room.publish([picture(25 * STEP, key=True, track=hevc_track())])
        assert room.stream.could_encode()
        assert transcoder.picture.problem == ""


async def test_a_blip_of_the_publisher_restarts_nothing() -> None:
    async with plain() as room:
        room.publish(shots(20))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        room.publisher.release(clean=False)
        room.claim(Kinds(video=True, audio=False))
        again = Track(VIDEO.codec, H264Config(VIDEO.config.sps, VIDEO.config.pps))
        room.publish(shots(20, track=again))
        await viewer.until(lambda: len(viewer.pictures) >= 21)
        check_times(viewer)
        assert len({unit.track for unit in viewer.pictures}) == 1
        assert room.transcoding.counters.starts == 1
        assert room.transcoding.counters.rung_starts == 1


async def test_a_publisher_that_comes_back_without_a_picture_ends_the_rungs() -> None:
    async with plain() as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        room.publish([*shots(20), sound(0)])
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        pid = room.pid
        room.claim(Kinds(video=False, audio=True))
        room.publish([sound(index * 1920) for index in range(60)])
        await gone(pid)
        assert viewer.ended
        assert not room.stream.renditions


async def test_a_picture_that_is_shed_sends_its_readers_away_and_is_not_offered_for_a_while() -> None:
    async with plain() as room:
        room.publish(shots(5))
        viewer, other = watch(room, "mid"), watch(room, "low")
        room.publish(shots(1, first=5))
        await other.until(lambda: bool(viewer.pictures and other.pictures))
        (transcoder,) = room.transcoding.active
        transcoder.picture.remedy("mid", Remedy.SHED)
        assert viewer.ended == [RUNG_SHED]
        assert not other.ended
        assert room.transcoding.counters.rungs_shed == 1
        transcoder.picture.remedy("low", Remedy.LOWER)
        room.publish(shots(3, first=6))
        await other.until(lambda: other.pictures[-1].dts == 8 * STEP)
        assert other.pictures[-1].parts == (b"low run 2 at 15.0",)
        check_times(other)


async def test_no_more_rungs_than_the_limit() -> None:
    async with plain(max_rungs=1) as room:
        room.publish(shots(5))
        viewer, other = watch(room, "mid"), watch(room, "low")
        await other.until(lambda: bool(other.ended))
        assert other.ended == [RUNG_SHED]
        assert [rendition.name for rendition in room.stream.could_encode()] == ["mid"]
        assert not viewer.ended


async def test_a_decoder_that_is_behind_begins_again_at_a_keyframe() -> None:
    async with plain() as room:
        room.publish(shots(5))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        os.kill(room.pid, signal.SIGSTOP)
        room.publish(shots(120, first=5))
        os.kill(room.pid, signal.SIGCONT)
        await viewer.until(lambda: viewer.pictures[-1].dts == 124 * STEP)
        assert room.transcoding.counters.drops["decoder behind"] > 10
        check_times(viewer, largest=110 * STEP)


async def test_a_picture_too_large_for_a_message_is_left_out() -> None:
    async with plain() as room:
        room.publish(shots(5))
        viewer = watch(room, "mid")
        await viewer.until(lambda: bool(viewer.pictures))
        room.publish([picture(5 * STEP, size=16_000_000), *shots(3, first=6)])
        await viewer.until(lambda: viewer.pictures[-1].dts == 8 * STEP)
        assert room.transcoding.counters.drops["too large"] == 1
        assert room.transcoding.counters.restarts == 0

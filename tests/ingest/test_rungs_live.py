"""Real encoders in a real worker, beside sound, paced as a host paces them: what viewers of a rung see, and when."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from ingest import picture_feed, picture_queue
from ingest.worker_process import WORKER_COMMAND
from media.reasons import RUNG_SHED
from media.rung import Rung
from media.stream import Kinds
from media.track import Codec
from media.unit import AccessUnit
from tests.support.coded_film import STEP, coded_film, shown
from tests.support.quiet import is_quiet, own_time
from tests.support.sound import access_units, beep_sound
from tests.support.transcode import PATIENCE, PATIENT_COMMAND, Listener, Studio, studio

LOW = Rung("low", Codec.H264, 180, 300_000, preset="ultrafast")
MID = Rung("mid", Codec.H264, 270, 500_000, preset="ultrafast")
HEVC = Rung("hevc", Codec.H265, 180, 200_000, preset="ultrafast", profile="main", encoder="libx265")
MAX_WAIT = 0.3
"""Seconds that a host waits for its listeners, so that a fault is still one."""
HOG = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
DELAY = 2 * STEP
"""Of the film: what its B-frames need."""


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """How busy the machine is says when pictures come, and must not say which."""
    monkeypatch.setattr(picture_queue, "MAX_BEHIND", 20 * 90_000)
    monkeypatch.setattr(picture_feed, "MAX_FILL", 20 * 90_000)
    monkeypatch.setattr(picture_feed, "FILL_SECONDS", 20.0)


def show(seconds: int, **film) -> list[AccessUnit]:
    """The film with beeps, in the order of dts."""
    heard = access_units(beep_sound("aac", 48_000, 2, seconds), shift=-90_000)
    pictures = coded_film(seconds, **film)
    return sorted([*pictures, *(unit for unit in heard if unit.dts >= 0)], key=lambda unit: unit.dts)


async def publish_live(room: Studio, units: Sequence[AccessUnit], *listeners: Listener) -> None:
    """As fast as they were recorded, or as the slowest listener gets them: a machine of tests may be busy."""
    started = time.monotonic()
    for unit in units:
        await asyncio.sleep(max(0.0, started + (unit.dts - units[0].dts) / 90_000 - time.monotonic()))
        waited = 0.0
        while waited < MAX_WAIT and any(_lags(listener, unit) for listener in (*listeners, *room.watching)):
            await asyncio.sleep(0.01)
            waited += 0.01
        room.publisher.publish(unit)


def _lags(listener: Listener, unit: AccessUnit) -> bool:
    return bool(listener.pictures) and listener.pictures[-1].pts < unit.dts - 6 * STEP


def watch(room: Studio, name: str, audio: str | None = None) -> Listener:
    listener = Listener()
    room.stream.attach(listener, video=name, audio=audio)
    room.watching.append(listener)
    return listener


def check_pictures(listener: Listener, *, largest: int = STEP) -> None:
    """Every one decodes to the picture of its time, and none is missing between the first and the last."""
    assert listener.pictures[0].keyframe
    seen = shown(listener.pictures)
    assert len(seen) == len(listener.pictures)
    offsets = {pts - (code or 0) * 90 for pts, code in seen}
    assert offsets == {DELAY}, "t - code differs"
    steps = [b - a for (a, _), (b, _) in pairwise(seen)]
    assert min(steps) > 0
    assert max(steps) <= largest
    dts = [unit.dts for unit in listener.pictures]
    assert dts == sorted(set(dts))
    assert all(unit.dts <= unit.pts for unit in listener.pictures)


def keyframes(listener: Listener) -> set[int]:
    return {unit.pts for unit in listener.pictures if unit.keyframe}


async def until_live(room: Studio) -> None:
    async with asyncio.timeout(PATIENCE):
        while room.stream.source_video is None or room.stream.source_audio is None:
            await asyncio.sleep(0.01)


async def test_an_encoder_that_is_not_there_is_replaced_by_software_in_the_broadcast() -> None:
    asked = replace(LOW, encoder="h264_nvenc", preset="p4")
    async with studio(command=PATIENT_COMMAND, rungs=(asked,)) as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        units = show(3)
        live = asyncio.create_task(publish_live(room, units))
        await until_live(room)
        viewer = watch(room, "low")
        await live
        await viewer.until(lambda: len(viewer.pictures) > 20)
        assert not viewer.ended
        assert room.transcoding.counters.rung_failures == 2
        check_pictures(viewer)


async def test_the_worker_is_told_how_many_pixels_a_source_may_have() -> None:
    async with studio(command=(*WORKER_COMMAND, "100000"), rungs=(LOW,)) as room:
        room.publish(show(1)[:20])
        viewer = watch(room, "low")
        await viewer.until(lambda: bool(viewer.ended))
        (finding,) = room.transcoding.findings(room.stream)
        assert "a picture of 640 x 360 exceeds 100000 pixels" in finding.text


@pytest.mark.parametrize("low", [LOW, HEVC])
async def test_two_rungs_of_a_host_with_b_frames_miss_nothing_and_have_keyframes_together(low: Rung) -> None:
    units = show(5)
    async with studio(command=PATIENT_COMMAND, rungs=(low, MID)) as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        live = asyncio.create_task(publish_live(room, units))
        await until_live(room)
        first, second = watch(room, low.name, "opus"), watch(room, "mid")
        await live
        end = max(unit.pts for unit in units) - 4 * STEP
        await first.until(lambda: bool(first.pictures) and first.pictures[-1].pts >= end)
        await second.until(lambda: bool(second.pictures) and second.pictures[-1].pts >= end)
        check_pictures(first)
        check_pictures(second)
        begin = max(listener.pictures[0].pts for listener in (first, second))
        assert {t for t in keyframes(first) if t >= begin} == {t for t in keyframes(second) if t >= begin}
        assert not room.transcoding.counters.restarts
        assert not room.transcoding.counters.late_pictures
        assert (first.pictures[0].track.config.height, second.pictures[0].track.config.height) == (180, 270)


async def test_a_cold_rung_shows_its_first_picture_within_a_second_and_an_idle_one_costs_nothing() -> None:
    units = show(6, group=125)
    async with studio(command=PATIENT_COMMAND, rungs=(LOW, MID), linger=0.2) as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        live = asyncio.create_task(publish_live(room, units))
        await until_live(room)
        viewer = Listener()
        room.stream.attach(viewer, video="source", audio="opus")
        room.watching.append(viewer)
        # late in a group of five seconds
        await viewer.until(lambda: len(viewer.pictures) > 90)
        assert room.transcoding.counters.rung_starts == 0
        started = own_time()
        cold = watch(room, "low")
        await cold.until(lambda: bool(cold.pictures))
        assert own_time() - started < 1.0 or not is_quiet()
        await cold.until(lambda: len(cold.pictures) > 5)
        assert cold.pictures[0].keyframe
        # the newest one, and not what had been kept for joiners
        assert cold.pictures[0].pts > viewer.pictures[80].pts
        room.watching.remove(cold)
        room.stream.detach(cold)
        await viewer.until(lambda: "low" not in room.stream.renditions)
        before, made = room.transcoding.cpu_seconds, room.transcoding.counters.pictures_out
        await live
        assert room.transcoding.counters.pictures_out == made
        assert room.transcoding.cpu_seconds - before < 0.1
        check_pictures(cold)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("after", [0, 40])
async def test_whenever_the_worker_dies_rungs_leave_no_hole_and_sound_is_back_within_a_second(
    fault: signal.Signals, after: int
) -> None:
    units = show(6)
    async with studio(command=PATIENT_COMMAND, rungs=(LOW, MID)) as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        live = asyncio.create_task(publish_live(room, units))
        await until_live(room)
        viewer, other = watch(room, "low", "opus"), watch(room, "mid")
        if after:
            await viewer.until(lambda: len(viewer.pictures) > after)
        struck = own_time()
        os.kill(room.pid, fault)
        await live
        end = max(unit.pts for unit in units) - 4 * STEP
        await viewer.until(lambda: bool(viewer.pictures) and viewer.pictures[-1].pts >= end)
        await other.until(lambda: bool(other.pictures) and other.pictures[-1].pts >= end)
        for listener in (viewer, other):
            # all rungs go on with one keyframe, after the one that was furthest
            check_pictures(listener, largest=4 * STEP)
            at = [t for unit, t in zip(listener.units, listener.arrivals, strict=True) if unit.is_video]
            gap = max(b - a for a, b in pairwise([struck, *(t for t in at if t > struck)]))
            assert gap < 1.5 or not is_quiet()
        heard = [t for unit, t in zip(viewer.units, viewer.arrivals, strict=True) if not unit.is_video]
        gap = max(b - a for a, b in pairwise([struck, *(t for t in heard if t > struck)]))
        assert gap < 1.0 or not is_quiet()
        assert viewer.steps == {1800} or not is_quiet()
        assert len({unit.track for unit in viewer.pictures}) == 1
        assert room.transcoding.counters.restarts == 1


async def test_a_host_that_comes_back_leaves_no_hole_in_a_rung() -> None:
    units = [unit for unit in show(4) if unit.is_video]
    async with studio(command=PATIENT_COMMAND, rungs=(LOW,)) as room:
        room.publisher.expect(Kinds(video=True, audio=False))
        live = asyncio.create_task(publish_live(room, units[:60]))
        async with asyncio.timeout(PATIENCE):
            while room.stream.source_video is None:
                await asyncio.sleep(0.01)
        viewer = watch(room, "low")
        await live
        await viewer.until(lambda: len(viewer.pictures) > 30)
        room.publisher.release(clean=False)
        room.claim(Kinds(video=True, audio=False))
        await publish_live(room, units)
        await viewer.until(lambda: len(viewer.pictures) > 130)
        steps = [b.pts - a.pts for a, b in pairwise(viewer.pictures)]
        assert set(steps) <= {STEP, STEP * 2, STEP * 3}
        assert room.transcoding.counters.rung_starts == 1
        assert len({unit.track for unit in viewer.pictures}) == 1


async def test_on_a_machine_that_is_too_busy_the_dearest_rung_goes_and_the_last_resort_stays() -> None:
    slow = replace(MID, name="slow", height=360, preset="veryslow", bitrate=3_000_000)
    units = list(coded_film(14))
    before = os.sched_getaffinity(0)
    async with studio(rungs=(slow, LOW), is_judged=True) as room:
        room.publisher.expect(Kinds(video=True, audio=False))
        os.sched_setaffinity(0, {min(before)})  # the worker inherits it
        try:
            room.publisher.publish(units[0])
            hogs = [await asyncio.create_subprocess_exec(sys.executable, "-c", HOG) for _ in range(3)]
            dear, low = Listener(), Listener()
            room.stream.attach(dear, video="slow", audio=None)
            room.stream.attach(low, video="low", audio=None)
            live = asyncio.create_task(publish_live(room, units[1:]))
            await dear.until(lambda: bool(dear.ended))
            assert dear.ended == [RUNG_SHED]
            assert not low.ended
            (transcoder,) = room.transcoding.active
            assert transcoder.picture.state.shed == ("slow",)
            assert [rendition.name for rendition in room.stream.could_encode()] == ["low"]
            live.cancel()
            assert room.transcoding.counters.rungs_shed == 1
            assert room.transcoding.counters.restarts == 0
        finally:
            os.sched_setaffinity(0, before)
            for hog in hogs:
                hog.kill()
                await hog.wait()

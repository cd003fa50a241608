"""The worker as a process: started on demand, killed, stopped, poisoned; and what readers notice of it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from ingest.audio_target import TARGETS
from media.stream import Kinds
from media.ticks import Ticks
from media.track import Codec
from media.unit import AccessUnit
from tests.support.fragile_worker import CRASH, HANG
from tests.support.quiet import is_quiet, own_time
from tests.support.sound import access_units, beep_sound, config_record, onsets
from tests.support.transcode import FRAGILE_COMMAND, PATIENCE, Listener, Studio, studio
from tests.support.units import picture

ROOT = Path(__file__).parents[2]
AAC = beep_sound("aac", 44_100, 2, 10)
OPUS = beep_sound("opus", 48_000, 2, 10)
FRAME = TARGETS["opus"].frame_ticks


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it may go while it is looked at
        return False


async def gone(pid: int, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while is_alive(pid):
            await asyncio.sleep(0.01)


def listen(room: Studio, audio: str = "opus", video: str | None = None) -> Listener:
    listener = Listener()
    room.stream.attach(listener, video=video, audio=audio)
    return listener


def check_beeps(listener: Listener, source: Sequence[AccessUnit], codec: str, *, within_ms: float = 5) -> None:
    """Every beep that was published is heard at its time: the last half second may still be inside."""
    record = config_record(listener.sound[0].track)
    heard = onsets(codec, listener.made, record, 2)
    track = source[0].track
    units = [(unit.dts, unit.parts[0]) for unit in source]
    first = listener.sound[0].dts
    due = [at for at in onsets(track.codec, units, config_record(track), 2) if at >= first]
    assert len(due) - 1 <= len(heard) <= len(due)
    assert max(abs(a - b) for a, b in zip(heard, due, strict=False)) < within_ms * 90


def on_stream(units: list[AccessUnit]) -> list[AccessUnit]:
    """The same units where the timeline of a new stream puts them."""
    first = units[0].dts
    return [replace(unit, dts=Ticks(unit.dts - first), pts=Ticks(unit.pts - first)) for unit in units]


@pytest.mark.parametrize(("sound", "output"), [(AAC, "opus"), (OPUS, "aac")])
async def test_sound_in_another_codec_is_made_while_somebody_wants_it(sound, output) -> None:
    units = access_units(sound)
    async with studio() as room:
        assert room.stream.audio_track(output) is None
        room.publish(units[:50])
        track = room.stream.audio_track(output)
        assert not room.transcoding.workers
        listener = listen(room, output)
        assert room.stream.audio[output] is track
        await room.publish_fast(units[50:], listener)
        assert all(unit.track is track for unit in listener.sound)
        assert listener.steps == {TARGETS[output].frame_ticks}
        check_beeps(listener, on_stream(units), output)
        assert room.transcoding.counters.units_in >= len(units[50:])
        assert not room.transcoding.counters.drops.keys() - {"before the start"}
        pid = room.pid
        room.stream.detach(listener)
        await gone(pid)
        assert output not in room.stream.audio
        assert not room.transcoding.active


def test_it_runs_on_uvloop_too() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_sound_in_another_codec_is_made_while_somebody_wants_it(AAC, "opus"))


async def test_readers_of_the_sources_own_codec_start_nothing() -> None:
    async with studio() as room:
        room.publish(access_units(AAC)[:50])
        for audio in ("aac", "source", "flac", None):
            listener = Listener()
            room.stream.attach(listener, video=None, audio=audio)
        assert not room.transcoding.workers
        assert not room.transcoding.active


async def test_one_worker_serves_everybody_and_joiners_get_what_it_made() -> None:
    units = access_units(AAC)
    async with studio() as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        for index, unit in enumerate(units[:80]):
            room.publish([picture(unit.dts, key=index % 50 == 0), unit])
        first = listen(room, video="source")
        await first.until(lambda: len(first.sound) > 30)
        second = listen(room, video="source")
        assert room.transcoding.workers == 1
        assert second.units[0].is_video
        assert second.units[0].keyframe
        # less the little that begins before the keyframe
        assert [u.dts for u in second.sound] == [u.dts for u in first.sound if u.dts >= second.units[0].dts]


async def test_a_new_reader_within_the_linger_finds_the_worker_running() -> None:
    async with studio(linger=30) as room:
        room.publish(access_units(AAC)[:50])
        first = listen(room)
        pid = room.pid
        room.stream.detach(first)
        listen(room)
        assert room.pid == pid
        assert room.transcoding.counters.starts == 1


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
async def test_sound_is_back_within_a_second_and_the_picture_never_stops(fault: signal.Signals) -> None:
    units = access_units(AAC)[:140]
    async with studio() as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        listener, viewer = listen(room), Listener()
        room.stream.attach(viewer, video="source", audio=None)
        live = asyncio.create_task(room.publish_live(units, pictures=True))
        # readers that attached before the sound began are served from its first unit on
        await listener.until(lambda: len(listener.sound) > 40)
        struck = own_time()
        os.kill(room.pid, fault)
        await live
        await listener.until(lambda: listener.sound[-1].dts > units[-12].dts - units[0].dts)
        gaps = [b - a for a, b in zip(listener.arrivals, listener.arrivals[1:], strict=False) if b > struck]
        assert max(gaps) < 1.0 or not is_quiet()
        assert listener.steps == {FRAME}
        check_beeps(listener, on_stream(units), "opus")
        assert room.transcoding.counters.restarts == 1
        assert room.transcoding.counters.hangs == (fault is signal.SIGSTOP)
        assert len(viewer.units) == len(units)
        late = [b - a for a, b in zip(viewer.arrivals, viewer.arrivals[1:], strict=False)]
        assert max(late) < 0.2


@pytest.mark.parametrize(("pill", "hangs"), [(CRASH, 0), (HANG, 2)])
async def test_a_unit_that_kills_it_twice_is_left_out(pill: bytes, hangs: int) -> None:
    units = access_units(AAC)
    units[100] = replace(units[100], parts=(pill,))
    async with studio(command=FRAGILE_COMMAND) as room:
        room.publish(units[:1])
        listener = listen(room)
        await room.publish_fast(units[1:], listener)
        counters = room.transcoding.counters
        assert (counters.restarts, counters.hangs, counters.drops["poison"]) == (2, hangs, 1)
        assert listener.steps == {FRAME}


async def test_garbage_costs_no_worker() -> None:
    units = access_units(AAC)
    for index in range(100, 112):
        units[index] = replace(units[index], parts=(bytes(range(250)) * 2,))
    async with studio() as room:
        room.publish(units[:1])
        listener = listen(room)
        await room.publish_fast(units[1:], listener)
        assert room.transcoding.counters.restarts == 0
        assert room.transcoding.counters.drops["undecodable"] >= 5


async def test_a_publisher_with_the_wanted_codec_takes_over_and_gives_back() -> None:
    aac, opus = access_units(AAC)[:200], access_units(OPUS)[:200]
    async with studio() as room:
        room.publish(aac[:1])
        listener = listen(room)
        room.publish(aac[1:])
        await listener.until(lambda: len(listener.sound) > 100)
        pid = room.pid
        room.claim()
        room.publish(opus)
        await gone(pid)
        assert listener.sound[-1].track is opus[0].track
        assert room.stream.audio == {Codec.OPUS: opus[0].track}
        room.claim()
        room.publish(aac)
        before = len(listener.sound)
        await listener.until(lambda: len(listener.sound) > before + 100)
        dts = [unit.dts for unit in listener.sound]
        assert dts == sorted(set(dts))
        assert listener.sound[-1].track.rendition == "opus"


async def test_a_publisher_with_other_sound_takes_over_and_the_worker_goes_on() -> None:
    mono = access_units(beep_sound("mp3", 48_000, 1, 10))
    async with studio() as room:
        room.publish(access_units(OPUS)[:1])
        listener = listen(room, "aac")
        await room.publish_fast(access_units(OPUS)[1:200], listener)
        room.claim()
        await room.publish_fast(mono[:200], listener)
        assert room.transcoding.counters.starts == 1
        assert room.stream.audio["aac"] is listener.sound[-1].track
        dts = [unit.dts for unit in listener.sound]
        assert dts == sorted(set(dts))
        channels = [unit.track.config.channels for unit in listener.sound]
        assert set(channels) == {1, 2}
        assert channels == sorted(channels, reverse=True)
        # ISO 14496-3, 4.4.2.1: the first element's id, 0 for one channel and 1 for a pair; 6 is an encoder's greeting
        elements = [(unit.parts[0][0] >> 5, unit.track.config.channels) for unit in listener.sound]
        assert set(elements) - {(6, 1), (6, 2)} == {(0, 1), (1, 2)}


async def test_a_unit_that_is_absurdly_large_is_left_out() -> None:
    units = access_units(AAC)[:100]
    units[50] = replace(units[50], parts=(bytes(20_000_000),))
    async with studio() as room:
        room.publish(units[:1])
        listener = listen(room)
        await room.publish_fast(units[1:], listener)
        assert room.transcoding.counters.drops["too large"] == 1
        assert listener.steps == {FRAME}


async def test_a_publisher_without_sound_ends_the_worker() -> None:
    async with studio() as room:
        room.publisher.expect(Kinds(video=True, audio=True))
        room.publish([picture(0, key=True), *access_units(AAC)[:50]])
        listener = listen(room)
        pid = room.pid
        room.claim(Kinds(video=True, audio=False))
        room.publish([picture(index * 3000, key=index == 0) for index in range(60)])
        await gone(pid)
        assert listener.ended
        assert not room.stream.audio


async def test_the_end_of_the_stream_ends_the_worker() -> None:
    async with studio(linger=30) as room:
        room.publish(access_units(AAC)[:50])
        listener = listen(room)
        pid = room.pid
        room.hub.end("room")
        await gone(pid)
        assert listener.ended


@pytest.mark.parametrize("program", ["import sys; sys.exit(3)", "import socket, sys; s = socket.socket(fileno=int("
    "sys.argv[1])); s.sendall(b'\\x00\\x00\\x00\\x01\\xc0'); s.recv(1); import time; time.sleep(60)"])  # fmt: skip
async def test_a_worker_that_ends_at_once_or_talks_nonsense_is_tried_again_later_and_later(program: str) -> None:
    async with studio(command=(sys.executable, "-c", program)) as room:
        room.publish(access_units(AAC)[:50])
        listen(room)
        async with asyncio.timeout(10):
            while room.transcoding.counters.starts < 4:
                await asyncio.sleep(0.01)
        room.publish(access_units(AAC)[50:])
        (transcoder,) = room.transcoding.active
        assert transcoder.waiting_ms <= 4_000
        assert room.transcoding.counters.starts < 6


async def test_a_command_that_does_not_exist_is_no_crash() -> None:
    async with studio(command=("/nonexistent/worker",)) as room:
        room.publish(access_units(AAC)[:50])
        listen(room)
        await asyncio.sleep(0)
        assert room.transcoding.workers == 0
        assert room.stream.audio.keys() == {"aac", "opus"}


async def test_sound_that_waits_for_a_worker_is_bounded() -> None:
    async with studio(command=(sys.executable, "-c", "import time; time.sleep(60)")) as room:
        room.publish(access_units(AAC)[:1])
        listen(room)
        room.publish(access_units(AAC)[1:])
        (transcoder,) = room.transcoding.active
        assert transcoder.waiting_ms <= 2_100
        assert room.transcoding.counters.drops["too old"] > 300


async def test_no_more_workers_than_the_limit() -> None:
    async with studio(max_workers=1) as room:
        room.publish(access_units(AAC)[:50])
        listen(room)
        other = room.hub.claim("other", peer="tester", on_displaced=lambda reason: None)
        other.publish(access_units(AAC)[0])
        other.stream.attach(Listener(), video=None, audio="opus")
        assert room.transcoding.workers == 1
        assert room.transcoding.counters.refused
        assert "opus" not in other.stream.audio
        assert other.stream.audio_track("opus") is None


async def test_fifty_starts_and_stops_leave_nothing_behind() -> None:
    async with studio(linger=0.0) as room:
        room.publish(access_units(AAC)[:50])

        async def cycle() -> None:
            listener = listen(room)
            await listener.until(lambda: bool(listener.sound))
            pid = room.pid
            room.stream.detach(listener)
            await gone(pid)
            await room.transcoding.wait_closed()

        await cycle()
        # a second listener needs sound that was not made before: times go on
        gc.collect()
        tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for turn in range(50):
            room.publish(access_units(AAC, shift=(turn + 1) * 110_000)[:50])
            await cycle()
        gc.collect()
        assert len(asyncio.all_tasks()) == tasks
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert room.transcoding.counters.starts == 51


NODE = """
import asyncio, sys
from tests.support.sound import access_units, beep_sound
from tests.support.transcode import Listener, studio

async def main():
    async with studio() as room:
        units = access_units(beep_sound("aac", 44_100, 2, 2))
        room.publish(units)
        listener = Listener()
        room.stream.attach(listener, video=None, audio="opus")
        await listener.until(lambda: bool(listener.sound))
        print(room.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_worker_dies_with_its_node_even_when_it_hangs(stopped: bool) -> None:
    command = (sys.executable, "-c", textwrap.dedent(NODE))
    node = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert node.stdout is not None
        pid = int(await node.stdout.readline())  # it works, so that it has asked for this
        if stopped:
            os.kill(pid, signal.SIGSTOP)
    finally:
        node.kill()
        await node.wait()
    await gone(pid, 2)


async def test_its_cpu_time_is_counted_while_it_runs_and_after() -> None:
    units = access_units(beep_sound("aac", 48_000, 2, 30))
    async with studio() as room:
        room.publish(units[:1])
        listener = listen(room)
        await room.publish_fast(units[1:], listener)
        running = room.transcoding.cpu_seconds
        assert 0.02 < running < 10
        room.stream.detach(listener)
        await room.transcoding.wait_closed()
        assert room.transcoding.cpu_seconds >= running * 0.9

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.event import Event, Lane
from media.flv_muxer import FLV_WRAP_MS
from media.hub import Hub
from media.publisher import Publisher
from media.stream import Kinds, Stream
from media.ticks import Ticks
from media.track import Codec, Track
from media.unit import AccessUnit
from relay.recorder import Recorder, RecorderLimits, Recording
from relay.recording_file import WriterLimits, create
from tests.support.encoded import FRAMES, video_flv
from tests.support.film import FRAME, film
from tests.support.flv import FlvFile, read_flv
from tests.support.units import AUDIO, PPS, SPS, FakeClock, picture, sound, video_track
from wire.codecs.h264 import H264Config
from wire.codecs.opaque import OpaqueConfig

ROOT = Path(__file__).parents[2]
BOTH = Kinds(video=True, audio=True)
NO_SOUND = Kinds(video=True, audio=False)
GROUP = 12
LIMITS = RecorderLimits(close_timeout=5.0, writer=WriterLimits(interval=0.01, reserve_bytes=0))


@dataclass
class Broadcast:
    """A room that is recorded."""

    hub: Hub
    recorder: Recorder
    folder: Path

    def claim(self, kinds: Kinds = BOTH, *, room: str = "room") -> Publisher:
        publisher = self.hub.claim(room, peer="tester", on_displaced=lambda reason: None)
        publisher.expect(kinds)
        return publisher

    def file(self, part: int = 1, *, room: str = "room") -> Path:
        return self.folder / room / (f"epoch1.{part}.flv" if part > 1 else "epoch1.flv")


def send(publisher: Publisher, units: Iterable[AccessUnit]) -> None:
    for unit in units:
        publisher.publish(unit)


def make(folder: Path, limits: RecorderLimits = LIMITS, open_new: Callable[[Path], int] = create) -> Broadcast:
    numbers = itertools.count(1)
    hub = Hub(FakeClock(), new_epoch=lambda: f"epoch{next(numbers)}")
    return Broadcast(hub, Recorder(folder, limits, open_new=open_new), folder)


@pytest.fixture
async def broadcast(tmp_path: Path) -> AsyncIterator[Broadcast]:
    made = make(tmp_path)
    yield made
    assert await made.recorder.close()


def played(path: Path) -> tuple[int, int]:
    """Pictures and frames of sound that FFmpeg decodes; a tag that the end of the file cuts is no error to it."""
    counts: Counter[str] = Counter()
    with av.open(str(path)) as container:
        for packet in container.demux(*container.streams.video, *container.streams.audio):
            assert not counts["cut"] or not packet.size
            try:
                counts[packet.stream.type] += len(packet.decode())
            except av.error.InvalidDataError:
                counts["cut"] += 1
    return counts["video"], counts["audio"]


def read(path: Path) -> FlvFile:
    return read_flv(path.read_bytes())


def times(tags: Iterable[object]) -> list[int]:
    return [tag.timestamp for tag in tags]  # type: ignore[attr-defined]


async def test_a_recording_plays_and_has_every_picture_at_its_own_time(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(60))
    assert await recording.close()
    pictures, sounds = played(broadcast.file())
    assert pictures == 60
    assert sounds >= 110
    flv = read(broadcast.file())
    assert times(flv.pictures) == [round(40 * n) for n in range(60)]
    assert flv.scripts("onTimeline") == [{"epoch": "epoch1", "base_ms": 0.0}]
    assert recording.file.bytes_written == broadcast.file().stat().st_size == broadcast.recorder.counters.bytes
    assert broadcast.recorder.counters.files == 1
    assert not broadcast.recorder.counters.drops


async def test_it_plays_while_it_grows(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    for number in range(1, 4):
        send(publisher, film(20, start=(number - 1) * 20 * FRAME))
        await recording.flush()
        assert played(broadcast.file())[0] == 20 * number


async def test_a_recording_that_begins_late_begins_with_the_newest_group(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    send(publisher, film(30))
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(10, start=30 * FRAME))
    await recording.flush()
    flv = read(broadcast.file())
    assert flv.scripts("onTimeline") == [{"epoch": "epoch1", "base_ms": 960.0}]
    assert times(flv.media)[0] == flv.pictures[0].timestamp == 960
    assert played(broadcast.file())[0] == 16


async def test_what_came_before_the_tracks_were_known_is_recorded_too(broadcast: Broadcast) -> None:
    publisher = broadcast.claim(Kinds())
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(40, audio=False))
    await recording.flush()
    assert played(broadcast.file()) == (40, 0)
    assert not broadcast.file(2).exists()


def test_it_survives_the_death_of_the_process(tmp_path: Path) -> None:
    source = tmp_path / "source.flv"
    source.write_bytes(video_flv("libx264", 160, 96))
    command = [sys.executable, "-m", "tests.support.recording_child", str(source), str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"recorded\n"
        child.kill()
    path = tmp_path / "out" / "room" / "epoch.flv"
    assert len(read(path).pictures) >= 3 * FRAMES
    assert played(path)[0] >= 3 * FRAMES


async def test_a_file_cut_anywhere_plays_to_where_it_was_cut(broadcast: Broadcast, tmp_path: Path) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(30))
    await recording.flush()
    data = broadcast.file().read_bytes()
    for share in (0.3, 0.5, 0.77, 0.999):
        cut = tmp_path / "cut.flv"
        cut.write_bytes(data[: int(share * len(data))])
        whole = len(read(cut).pictures)
        assert whole - 3 <= played(cut)[0] <= whole + 1


async def test_a_blip_and_a_take_over_go_on_in_the_same_file(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(20))
    publisher.release(clean=False)
    again = broadcast.claim()
    send(again, film(20, start=77_777_777))
    other = broadcast.claim()
    send(other, film(20, start=-5_000_000))
    await recording.flush()
    assert [path.name for path in broadcast.file().parent.iterdir()] == ["epoch1.flv"]
    flv = read(broadcast.file())
    steps = {b - a for a, b in pairwise(times(flv.pictures))}
    assert steps <= {39, 40, 41}
    assert len(flv.pictures) == 60
    assert played(broadcast.file())[0] == 60


async def test_the_end_of_the_broadcast_closes_the_file_and_the_next_one_has_its_own(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    assert broadcast.recorder.record(publisher.stream) is recording
    send(publisher, film(20))
    broadcast.hub.end("room")
    assert not recording.is_active
    assert broadcast.recorder.recordings == []
    assert await recording.close()
    following = broadcast.claim()
    second = broadcast.recorder.record(following.stream)
    send(following, film(20))
    assert await second.close()
    assert sorted(p.name for p in broadcast.file().parent.iterdir()) == ["epoch1.flv", "epoch2.flv"]
    assert played(broadcast.file()) == played(broadcast.folder / "room" / "epoch2.flv")


@pytest.mark.parametrize("change", [{"codec": "libx265"}, {"size": (128, 96)}], ids=["codec", "size"])
async def test_another_codec_or_size_begins_a_part_that_plays_by_itself(
    broadcast: Broadcast, change: dict[str, object]
) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(24))
    again = broadcast.claim()
    send(again, film(24, **change))  # type: ignore[arg-type]
    assert await recording.close()
    assert [played(broadcast.file(part))[0] for part in (1, 2)] == [24, 24]
    first, second = read(broadcast.file()), read(broadcast.file(2))
    assert second.pictures[0].timestamp - first.pictures[-1].timestamp == 40
    assert second.scripts("onTimeline")[0]["base_ms"] == second.pictures[0].timestamp


async def test_sound_that_is_gone_after_a_take_over_begins_a_part_without(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(24))
    send(broadcast.claim(NO_SOUND), film(24, audio=False))
    assert await recording.close()
    assert played(broadcast.file(2)) == (24, 0)
    header = read(broadcast.file(2)).header
    assert header is not None
    assert (header.has_video, header.has_audio) == (True, False)


async def test_sound_that_appears_begins_a_part_with_the_group_it_is_in(broadcast: Broadcast) -> None:
    publisher = broadcast.claim(NO_SOUND)
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(30, audio=False))
    send(publisher, (u for u in film(30, start=0) if not u.is_video and u.dts > 29 * FRAME))
    send(publisher, (u for u in film(60) if u.dts >= 30 * FRAME))
    assert await recording.close()
    second = read(broadcast.file(2))
    assert second.pictures[0].timestamp == 24 * 40
    assert played(broadcast.file(2))[0] == 36
    assert len(second.sounds) > 50


async def test_another_audio_codec_begins_a_part(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    mp3 = Track(Codec.MP3, OpaqueConfig(b"", 44_100, 2))
    send(publisher, [picture(0, key=True), sound(0), picture(3000), sound(3000, track=mp3), sound(5000, track=mp3)])
    assert await recording.close()
    second = read(broadcast.file(2))
    assert [len(second.pictures), len(second.sounds)] == [2, 2]
    assert second.scripts("onMetaData")[0]["audiocodecid"] == 2


async def test_new_parameter_sets_for_the_same_picture_stay_in_the_file(broadcast: Broadcast) -> None:
    publisher = broadcast.claim(NO_SOUND)
    recording = broadcast.recorder.record(publisher.stream)
    changed = Track(Codec.H264, H264Config((SPS,), (PPS, bytes.fromhex("6859c0ce"))))
    send(publisher, [picture(0, key=True), picture(3000), picture(6000, key=True, track=changed)])
    send(publisher, [picture(9000, track=changed)])
    send(publisher, [picture(12_000, key=True, track=video_track())])
    assert await recording.close()
    assert not broadcast.file(2).exists()
    assert times(read(broadcast.file()).configs) == [0, 66, 133]


async def test_a_moment_before_a_take_over_in_another_codec_has_a_part_of_its_own(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    av1 = Track(Codec.AV1, OpaqueConfig(b"\x81"))
    send(publisher, [picture(0, key=True, track=av1), sound(0)])
    send(broadcast.claim(), [picture(0, key=True), sound(0)])
    assert await recording.close()
    assert [len(read(broadcast.file(part)).pictures) for part in (1, 2)] == [1, 1]


async def test_what_waits_for_the_tracks_to_be_known_is_bounded(tmp_path: Path) -> None:
    broadcast = make(tmp_path, RecorderLimits(queue_bytes=10_000, writer=LIMITS.writer))
    publisher = broadcast.claim(Kinds())
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, (picture(n * 3000, key=n % 10 == 0, size=1000) for n in range(40)))
    assert await recording.close()
    assert broadcast.recorder.counters.drops["before the tracks are known"] == 22
    assert read(broadcast.file()).pictures[0].timestamp == 1000


async def test_sound_alone_is_recorded(broadcast: Broadcast) -> None:
    publisher = broadcast.claim(Kinds(video=False, audio=True))
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, (u for u in film(50) if not u.is_video))
    assert await recording.close()
    assert played(broadcast.file())[0] == 0
    assert played(broadcast.file())[1] >= 90


async def test_events_are_in_the_file(broadcast: Broadcast) -> None:
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    event = Event("7", "epoch1", Ticks(90_000), 3, "product.show", Lane.COMMERCE, None, "host", {"sku": "A1"})
    publisher.stream.announce(event)
    send(publisher, film(20))
    publisher.stream.announce(event)
    assert await recording.close()
    (written,) = read(broadcast.file()).scripts("onEvent")
    assert (written["id"], written["t"], written["seq"], written["body"]) == ("7", 90_000.0, 3.0, {"sku": "A1"})
    assert broadcast.recorder.counters.drops == {"event without media": 1}
    assert played(broadcast.file())[0] == 20


async def test_the_wrap_of_flv_time_begins_a_part_at_the_next_keyframe(broadcast: Broadcast) -> None:
    stream = broadcast.claim().stream
    recording = broadcast.recorder.record(stream)
    first = (FLV_WRAP_MS - 1000) * 90
    for number in range(60):
        stream.deliver(picture(first + number * 3600, key=number % 20 == 0))
        stream.deliver(sound(first + number * 3600 - 5))
    assert await recording.close()
    before, after = read(broadcast.file()), read(broadcast.file(2))
    assert times(before.pictures)[-1] == FLV_WRAP_MS - 40
    assert times(after.pictures)[0] == 600
    assert len(after.pictures) == 20
    assert after.scripts("onTimeline")[0]["base_ms"] == FLV_WRAP_MS + 600
    assert not broadcast.file(3).exists()
    assert set(broadcast.recorder.counters.drops) == {"before keyframe"}


class Gate:
    """A disk that answers when a test lets it."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, path: Path) -> int:
        assert self.event.wait(10)
        return create(path)


async def test_a_slow_disk_costs_whole_groups_and_never_the_stream(tmp_path: Path) -> None:
    gate = Gate()
    limits = RecorderLimits(queue_bytes=40_000, writer=LIMITS.writer)
    broadcast = make(tmp_path, limits, gate)
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(600))
    assert publisher.stream.counters.video_units == 600
    assert recording.file.queued < 60_000
    counters = broadcast.recorder.counters
    assert counters.drops["slow disk"] > 500
    gate.event.set()
    await recording.flush()
    send(publisher, film(24, start=600 * FRAME))
    assert await recording.close()
    assert recording.skips == counters.skips == 1
    flv = read(broadcast.file())
    gaps = [(a, b) for a, b in pairwise(flv.pictures) if b.timestamp - a.timestamp > 41]
    assert len(gaps) == 1
    assert gaps[0][1].body[0] >> 4 == 1  # a keyframe
    assert gaps[0][1].timestamp == 24_000
    assert played(broadcast.file())[0] == len(flv.pictures)


async def test_an_end_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    broadcast = make(tmp_path, RecorderLimits(close_timeout=0.05, writer=LIMITS.writer), gate)
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    send(publisher, film(20))
    assert not await broadcast.recorder.close()
    assert "were not closed within 0.05 s" in caplog.text
    with pytest.raises(RuntimeError, match="closed"):
        broadcast.recorder.record(publisher.stream)
    gate.event.set()
    await asyncio.wait_for(asyncio.wrap_future(recording.stop()), 5)
    assert played(broadcast.file())[0] == 20


def no_space(path: Path) -> int:
    raise OSError(28, "No space left on device", str(path))


def dev_full(path: Path) -> int:
    return os.open("/dev/full", os.O_WRONLY)


def read_only(path: Path) -> int:
    create(path)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize(
    ("open_bad", "text"),
    [
        (no_space, "No space left on device"),
        (dev_full, "No space left on device"),
        (read_only, "Bad file descriptor"),
    ],
)
async def test_a_disk_error_stops_that_recording_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, open_bad: Callable[[Path], int], text: str
) -> None:
    broadcast = make(tmp_path, LIMITS, lambda path: open_bad(path) if path.parent.name == "bad" else create(path))
    publishers = [broadcast.claim(room=room) for room in ("bad", "good")]
    recordings = [broadcast.recorder.record(p.stream) for p in publishers]
    for publisher in publishers:
        send(publisher, film(20))
    await asyncio.gather(*(r.flush() for r in recordings))
    for publisher in publishers:
        send(publisher, film(20, start=20 * FRAME))
    assert [r.is_active for r in recordings] == [False, True]
    assert broadcast.recorder.recordings == recordings[1:]
    assert recordings[0].file.failure == text
    assert [p.stream.counters.video_units for p in publishers] == [40, 40]
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [w.getMessage().split(",")[0] for w in warnings] == [
        f"recording of broadcast epoch1 stopped after {recordings[0].file.bytes_written} bytes"
    ]
    assert broadcast.recorder.counters.failures == 1
    assert await broadcast.recorder.close()
    assert recordings[0].file.queued == 0
    assert played(tmp_path / "good" / "epoch2.flv")[0] == 40


async def test_a_directory_that_cannot_be_made_stops_the_recording(tmp_path: Path) -> None:
    (tmp_path / "room").write_text("in the way")
    broadcast = make(tmp_path)
    recording = broadcast.recorder.record((publisher := broadcast.claim()).stream)
    send(publisher, film(10))
    await recording.flush()
    assert recording.file.failure == "File exists"
    assert await broadcast.recorder.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_leaves_a_file_of_whole_tags(small_disk: Path) -> None:
    broadcast = make(small_disk)
    publisher = broadcast.claim()
    recording = broadcast.recorder.record(publisher.stream)
    for number in range(200):
        send(publisher, film(24, start=number * 24 * FRAME))
        await recording.flush()
    assert recording.file.failure == "No space left on device"
    data = broadcast.file().read_bytes()
    assert 200_000 < len(data) <= 256 * 1024
    flv = read_flv(data)
    last = flv.tags[-1]
    assert data.endswith(last.body + (len(last.body) + 11).to_bytes(4, "big"))
    assert played(broadcast.file())[0] == len(flv.pictures)
    assert publisher.stream.counters.video_units == 200 * 24
    assert await broadcast.recorder.close()


async def test_the_last_of_the_disk_is_left_to_others(tmp_path: Path) -> None:
    broadcast = make(tmp_path, RecorderLimits(writer=WriterLimits(interval=0.01, reserve_bytes=2**62)))
    recording = broadcast.recorder.record((publisher := broadcast.claim()).stream)
    send(publisher, film(10))
    await recording.flush()
    assert recording.file.failure is not None
    assert f"less than the reserve of {2**62}" in recording.file.failure
    assert await broadcast.recorder.close()


async def test_parts_are_bounded(tmp_path: Path) -> None:
    limits = RecorderLimits(writer=WriterLimits(interval=0.01, reserve_bytes=0, max_parts=3))
    broadcast = make(tmp_path, limits)
    publisher = broadcast.claim(NO_SOUND)
    recording = broadcast.recorder.record(publisher.stream)
    for number in range(5):
        size = (160, 96) if number % 2 else (128, 96)
        send(publisher, film(GROUP, start=number * GROUP * FRAME, audio=False, size=size))
    await recording.flush()
    assert recording.file.failure == "3 parts of one broadcast are the limit"
    assert len(recording.file.paths) == 3
    assert await broadcast.recorder.close()


async def test_nothing_that_exists_is_overwritten_or_followed(broadcast: Broadcast) -> None:
    folder = broadcast.folder / "room"
    folder.mkdir()
    (folder / "epoch1.flv").write_bytes(b"an earlier recording")
    victim = broadcast.folder / "victim"
    (folder / "epoch1.2.flv").symlink_to(victim)
    recording = broadcast.recorder.record((publisher := broadcast.claim()).stream)
    send(publisher, film(20))
    assert await recording.close()
    assert (folder / "epoch1.flv").read_bytes() == b"an earlier recording"
    assert not victim.exists()
    assert recording.file.paths == [broadcast.file(3)]
    assert played(broadcast.file(3))[0] == 20


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "/etc", "-rf", ".hidden", "a\0b", "a\nb", "é", "x" * 200]
)
async def test_names_that_lead_elsewhere_are_refused(broadcast: Broadcast, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        broadcast.recorder.record(broadcast.claim(room=name).stream)
    stream = broadcast.claim(room="good").stream
    stream.epoch = name
    with pytest.raises(ValueError, match="epoch named"):
        broadcast.recorder.record(stream)
    assert broadcast.recorder.recordings == []
    assert list(broadcast.folder.iterdir()) == []


async def test_nothing_is_left_behind(broadcast: Broadcast) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        recording = broadcast.recorder.record((publisher := broadcast.claim()).stream)
        send(publisher, film(3))
        assert await recording.close()
        broadcast.hub.end("room")
    assert len(os.listdir("/proc/self/fd")) == before
    for thread in threading.enumerate():
        if thread.name == "recordings":
            thread.join(5)
    assert not any(thread.name == "recordings" for thread in threading.enumerate())
    assert len(broadcast.recorder._closing) <= 1


async def test_giving_up_on_a_flush_harms_nothing(broadcast: Broadcast) -> None:
    recording = broadcast.recorder.record((publisher := broadcast.claim()).stream)
    task = asyncio.create_task(recording.flush())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    send(publisher, film(20))
    await recording.flush()
    assert played(broadcast.file())[0] == 20


class Witness:
    """Another reader of the same stream: what a recording has to have."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.pictures: set[int] = set()
        stream.attach(self)

    def push(self, unit: AccessUnit) -> None:
        if unit.is_video:
            self.pictures.add(unit.dts // 90)

    def on_event(self, event: Event) -> None: ...

    def end(self, reason: object) -> None:
        self.stream.attach(self)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["go on", "blip", "take over", "jump"]),
        st.sampled_from([BOTH, NO_SOUND, Kinds()]),
        st.sampled_from([video_track(), video_track(), Track(Codec.AV1, OpaqueConfig(b"\x81"))]),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_a_publisher_does_every_picture_is_in_a_part_that_plays(
    steps: list[tuple[str, Kinds, Track, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(misbehave(Path(folder), steps))


async def misbehave(folder: Path, steps: list[tuple[str, Kinds, Track, int]]) -> None:
    broadcast = make(folder)
    kinds, track = steps[0][1], steps[0][2]
    publisher = broadcast.claim(kinds)
    recording, witness = broadcast.recorder.record(publisher.stream), Witness(publisher.stream)
    dts = 0
    for step, wanted, other, count in steps:
        if step == "blip":
            publisher.release(clean=False)
        if step in ("blip", "take over"):
            with suppress(Exception):  # too many take-overs: the incumbent goes on
                publisher = broadcast.claim(wanted)
                kinds, track = wanted, other
        dts += 900_000 if step == "jump" else 0
        for number in range(count):
            publisher.publish(picture(dts, key=number % GROUP == 0, track=track))
            if kinds.audio:
                publisher.publish(sound(dts + 100, track=AUDIO))
            dts += 3000
    assert await recording.close()
    left_out = broadcast.recorder.counters.drops["before the tracks are known"]
    if publisher.stream.is_ready:
        check(recording, witness, left_out)


def check(recording: Recording, witness: Witness, left_out: int) -> None:
    recorded: set[int] = set()
    for path in recording.file.paths:
        flv = read(path)
        first = flv.media[0]
        assert path.stat().st_size > 0
        assert first in flv.pictures
        assert first.body[0] >> 4 in (1, 9)  # a keyframe, plain or with a FourCC
        for kind in (flv.pictures, flv.sounds):
            assert all(a < b for a, b in pairwise(times(kind)))
        recorded.update(times(flv.pictures))
    assert recorded <= witness.pictures
    assert len(witness.pictures - recorded) <= left_out

"""A publisher that dies, comes back, or is replaced: viewers stay, and the timeline has no gap."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv import FlvFile
from tests.support.flv_viewer import RawViewer, steps_ms
from tests.support.node import RunningNode
from tests.support.playback import watch
from wire.flv_tag import AUDIO

pytestmark = pytest.mark.e2e

FRAME_MS = 34
"""One frame interval at 30 pictures a second, in FLV's whole milliseconds."""
SOUND_MS = 22
"""One AAC frame at 48 kHz."""
LIP_SYNC_MS = 40
_rooms = itertools.count(1)


@pytest.fixture
def room() -> str:
    return f"blip{next(_rooms)}"


def demo(node: RunningNode, room: str, folder: Path, number: int) -> DemoProcess:
    return DemoProcess(node.publish_url(room), folder / f"demo{number}.log", number=number)


def has_published(viewer: RawViewer, after: int, *, pictures: int) -> None:
    viewer.wait_for(lambda file: len(file.pictures) >= after + pictures, f"{pictures} more pictures")


def waits_for_its_publisher(node: RunningNode, room: str) -> None:
    """This room, whatever those of other tests do."""
    eventually(lambda: f"-> waiting room={room}\n" in node.log, "the stream waits for its publisher")


def is_gapless(file: FlvFile) -> None:
    assert max(steps_ms(file.pictures)) <= FRAME_MS
    assert min(steps_ms(file.pictures)) >= 1
    assert min(steps_ms(file.sounds)) >= 1


def is_in_sync(viewer: RawViewer, *numbers: int) -> None:
    show = watch(viewer.data)
    assert sorted({picture.number for picture in show.pictures}) == sorted(numbers)
    for number in numbers:
        skews = show.lip_sync_ms(number)
        assert skews, f"no beep of publisher {number}"
        assert max(map(abs, skews)) <= LIP_SYNC_MS, skews


def test_a_killed_publisher_comes_back_without_a_gap_and_in_sync(node: RunningNode, room: str, tmp_path: Path) -> None:
    with RawViewer(node.flv(room)) as viewer, RawViewer(node.flv(room, "ws")) as by_websocket:
        with demo(node, room, tmp_path, 1) as first:
            has_published(viewer, 0, pictures=60)
            first.kill()
        waits_for_its_publisher(node, room)
        before = len(viewer.file.pictures)
        with demo(node, room, tmp_path, 2):
            has_published(viewer, before, pictures=60)
        assert viewer.ended is by_websocket.ended is None
        for each in (viewer, by_websocket):
            is_gapless(each.file)
            assert len(each.file.scripts("onTimeline")) == 1
            is_in_sync(each, 1, 2)
        assert node.metric("streamer_stream_resumes_total", room=room) == 1
        # The sound goes on as well: what was missing at the moment of death is at most what the demo host sends ahead.
        assert max(steps_ms(viewer.file.sounds)) <= 4 * SOUND_MS


def test_a_frozen_publisher_is_taken_over_without_a_gap_and_in_sync(
    node: RunningNode, room: str, tmp_path: Path
) -> None:
    """Half-open TCP: the old connection stays, and says nothing."""
    with RawViewer(node.flv(room)) as viewer, demo(node, room, tmp_path, 3) as first:
        has_published(viewer, 0, pictures=60)
        first.freeze()
        before = len(viewer.file.pictures)
        with demo(node, room, tmp_path, 4):
            has_published(viewer, before, pictures=60)
        assert viewer.ended is None
        is_gapless(viewer.file)
        is_in_sync(viewer, 3, 4)
        assert node.metric("streamer_stream_takeovers_total", room=room) == 1
        # The frozen host does not answer its close, and has a while for it.
        eventually(lambda: "displaced" in node.log, "the old connection is given up")


def test_joiners_in_the_window_get_the_last_pictures_and_then_the_new_ones(
    node: RunningNode, room: str, tmp_path: Path
) -> None:
    with demo(node, room, tmp_path, 5), RawViewer(node.flv(room)) as viewer:
        has_published(viewer, 0, pictures=40)
    waits_for_its_publisher(node, room)
    with RawViewer(node.flv(room)) as joiner:
        kept = joiner.wait_for(lambda file: file.pictures, "the kept pictures")
        assert kept.pictures[0].body[0] >> 4 == 1
        with demo(node, room, tmp_path, 6):
            has_published(joiner, len(kept.pictures), pictures=40)
        is_gapless(joiner.file)
        assert {picture.number for picture in watch(joiner.data).pictures} == {5, 6}


def test_two_hosts_who_fight_over_a_key_do_not_ruin_the_room(node: RunningNode, room: str, tmp_path: Path) -> None:
    with RawViewer(node.flv(room)) as viewer, demo(node, room, tmp_path, 7):
        has_published(viewer, 0, pictures=10)
        with demo(node, room, tmp_path, 8):
            eventually(lambda: "take-overs within 30 s" in node.log, "the fight is ended", within=20)
            before = len(viewer.file.pictures)
            has_published(viewer, before, pictures=60)
        assert viewer.ended is None
        is_gapless(viewer.file)
        assert len({picture.number for picture in watch(viewer.data).pictures[-50:]}) == 1
        assert node.metric("streamer_stream_takeovers_total", room=room) == 3


def test_sound_is_never_ahead_of_the_first_picture(node: RunningNode, room: str, tmp_path: Path) -> None:
    with demo(node, room, tmp_path, 9), RawViewer(node.flv(room)) as viewer:
        has_published(viewer, 0, pictures=10)
        media = viewer.file.media
        first = next(tag for tag in media if tag.kind != AUDIO)
        assert media[0] is first
        assert all(tag.timestamp >= first.timestamp for tag in media)

"""Several rooms, several viewers, and players that are early."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode, running_node

pytestmark = pytest.mark.e2e


def test_rooms_do_not_mix_and_early_players_get_their_stream(node: RunningNode, tmp_path: Path) -> None:
    early = [RawViewer(node.flv(room, scheme)) for room in ("one", "two") for scheme in ("http", "ws")]
    eventually(lambda: node.metric("streamer_flv_viewers") == 4, "four players wait")
    assert all(viewer.status is None for viewer in early)  # the heads are held back
    with DemoProcess(node.publish_url("one"), tmp_path / "1"), DemoProcess(node.publish_url("two"), tmp_path / "2"):
        for viewer in early:
            viewer.wait_for_more(10)
        late = RawViewer(node.flv("one"))
        late.wait_for_more(30)
        epochs = [viewer.file.scripts("onTimeline")[0]["epoch"] for viewer in (*early, late)]
        assert len({epochs[0], epochs[2]}) == 2
        assert epochs == [epochs[0], epochs[0], epochs[2], epochs[2], epochs[0]]
        # Two viewers of a room read the same: from where the late one began.
        begin = late.file.pictures[0].timestamp
        same = [tag for tag in early[0].file.pictures if tag.timestamp >= begin]
        count = min(len(same), len(late.file.pictures))
        assert count > 10
        assert same[:count] == late.file.pictures[:count]
        late.close()
    for viewer in early:
        viewer.close()


def test_a_late_viewer_starts_at_once_on_a_keyframe(node: RunningNode, tmp_path: Path) -> None:
    # The next keyframe would be far away.
    with DemoProcess(node.publish_url("late"), tmp_path / "demo", options=["--keyint", "60"]):
        with RawViewer(node.flv("late")) as first:
            first.wait_for_more(45)
            newest = first.file.pictures[-1].timestamp
            with RawViewer(node.flv("late")) as viewer:
                viewer.wait_for(lambda file: file.pictures, "the first picture")
        assert viewer.file.pictures[0].timestamp <= newest, "what was there before it came"
        assert viewer.file.pictures[0].body[0] >> 4 == 1
        assert viewer.file.sounds == [] or viewer.file.sounds[0].timestamp >= viewer.file.pictures[0].timestamp


def test_a_player_of_a_room_that_never_comes_gets_404_with_retry_after(tmp_path: Path) -> None:
    with running_node(tmp_path, "--set", "flv.join_wait_s=0.5") as node:
        begun = time.monotonic()
        status, headers, body = node.get("/live/nobody.flv")
        assert 0.4 < time.monotonic() - begun < 5
        assert status == 404
        assert int(headers["Retry-After"]) >= 1
        assert "nobody is not live" in body

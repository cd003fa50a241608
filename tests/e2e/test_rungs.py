"""A host with B-frames, a rung of its picture with sound, and what a player of it is shown, through a whole node."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.test_sound import children, is_in_sync
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer, steps_ms
from tests.support.node import RunningNode
from tests.support.playback import watch
from tests.support.quiet import is_quiet

pytestmark = pytest.mark.e2e
RUNG = "360p"
"""The default ladder's lowest: of a smaller source it is made at the source's size."""


def workers(node: RunningNode) -> list[int]:
    return [pid for pid in children(node.pid) if b"transcode_worker" in command_of(pid)]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it has just ended


def check(viewer: RawViewer) -> None:
    """Every picture is the one of its time, none is missing, and the beeps are with the flashes."""
    shown = watch(viewer.data)
    assert shown.offset_ms(1) is not None
    if is_quiet():
        assert max(b.pts_ms - a.pts_ms for a, b in pairwise(shown.pictures)) < 60
    is_in_sync(viewer.data)


def test_a_rung_is_made_while_somebody_watches_it(node: RunningNode, tmp_path: Path) -> None:
    with DemoProcess(node.publish_url("rung"), tmp_path / "demo.log", options=["--bframes", "2"]):
        with RawViewer(f"{node.flv('rung')}?rendition={RUNG}") as viewer:
            viewer.wait_for(lambda file: len(file.pictures) > 180, "six seconds")
            assert node.metric("streamer_transcode_rungs") == 1
            eventually(lambda: node.metric("streamer_rung_cores", room="rung", rung=RUNG) > 0, "a cost")
        check(viewer)
        eventually(lambda: node.metric("streamer_transcode_rungs") == 0, "no rung without a viewer", within=15)
        eventually(lambda: node.metric("streamer_transcode_workers") == 0, "no worker either", within=15)
        eventually(lambda: not workers(node), "nor its process")


def test_a_killed_worker_leaves_no_hole_in_a_rung(node: RunningNode, tmp_path: Path) -> None:
    with (
        DemoProcess(node.publish_url("killed"), tmp_path / "demo.log", options=["--bframes", "2"]),
        RawViewer(f"{node.flv('killed')}?rendition={RUNG}&audio=opus") as viewer,
    ):
        viewer.wait_for(lambda file: len(file.pictures) > 90, "three seconds")
        os.kill(workers(node)[0], signal.SIGKILL)
        pictures = len(viewer.file.pictures)
        viewer.wait_for(lambda file: len(file.pictures) > pictures + 120, "four more seconds")
    assert node.metric("streamer_transcode_restarts_total") >= 1
    if is_quiet():
        assert max(steps_ms(viewer.file.pictures)) <= 34
        assert max(steps_ms(viewer.file.sounds)) <= 21
    kinds = [tag.body[0] >> 4 for tag in viewer.file.pictures]
    assert kinds.count(1) >= 2, "the rung goes on with a keyframe"

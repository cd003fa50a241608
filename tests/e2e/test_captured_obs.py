"""A captured session of real OBS, replayed byte for byte into a node, with viewers."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

import pytest

from streamer.keys import KeyStore
from tests.support.encoders import start_ffmpeg
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer, steps_ms
from tests.support.node import ROOT, RunningNode, running_node

pytestmark = pytest.mark.e2e

SESSION = (ROOT / "tests" / "captures" / "obs29_rtmp.bin").read_bytes()
BEGINNING = 60_000
"""Bytes: some pictures of the first GOP and some sound, so that a viewer can begin, and far less than the GOP."""
PICTURES, SOUNDS = 202, 311
"""Of the capture, see tests/wire/rtmp/test_captured_obs.py."""


def replay(node: RunningNode, viewers: int) -> None:
    """The beginning; the rest once so many viewers watch; then the end of the connection, as OBS left it."""
    with socket.create_connection(("127.0.0.1", node.ports["rtmp"]), timeout=10) as sock:
        sock.sendall(SESSION[:BEGINNING])
        eventually(lambda: node.metric("streamer_flv_joins_total") == viewers, f"{viewers} viewers join")
        sock.sendall(SESSION[BEGINNING:])
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass


def test_every_picture_and_sound_of_an_obs_session_reaches_ffmpeg_and_a_raw_viewer(tmp_path: Path) -> None:
    KeyStore(tmp_path / "keys.json").put("demo", "capture", created="2025-01-01T00:00:00+00:00")
    with running_node(tmp_path, "--set", "stream.resume_window_s=0") as node:
        listing = tmp_path / "frames.txt"
        arguments = ["-i", node.flv("demo"), "-map", "0:v", "-map", "0:a", "-c", "copy", "-f", "framecrc", listing]
        with RawViewer(node.flv("demo")) as viewer, start_ffmpeg(arguments, tmp_path / "reader.log") as reader:
            replay(node, viewers=2)
            reader.finish()
            assert viewer.wait_for_end() == "clean"
        frames = [line.split(",") for line in listing.read_text().splitlines() if not line.startswith("#")]
        assert Counter(frame[0].strip() for frame in frames) == {"0": PICTURES, "1": SOUNDS}
        assert "capture" not in node.log
        assert "the publisher took its leave" in node.log
        _check(viewer)


def _check(viewer: RawViewer) -> None:
    file = viewer.file
    assert (len(file.pictures), len(file.sounds)) == (PICTURES, SOUNDS)
    (timeline,), (metadata,) = file.scripts("onTimeline"), file.scripts("onMetaData")
    assert timeline["base_ms"] == file.media[0].timestamp
    assert (metadata["width"], metadata["height"], metadata["framerate"]) == (640, 360, 30)
    assert set(steps_ms(file.pictures)) <= {33, 34}
    assert set(steps_ms(file.sounds)) <= {21, 22}


@pytest.mark.parametrize("size", [1, 700])
def test_pieces_of_any_size_mean_the_same(node: RunningNode, size: int) -> None:
    """The beginning of the session in small segments, by a peer that vanishes afterwards."""
    before = node.metric("streamer_stream_units_total", room="demo", kind="video")
    with socket.create_connection(("127.0.0.1", node.ports["rtmp"]), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, 20_000, size):
            sock.sendall(SESSION[at : at + size])
        eventually(
            lambda: node.metric("streamer_stream_units_total", room="demo", kind="video") > before, "pictures arrive"
        )

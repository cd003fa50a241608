"""SIGTERM: everyone is told, nothing is cut short, and the process ends in time with status 0."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode, running_node

pytestmark = pytest.mark.e2e

BOUND_S = 8.0
"""`http.shutdown_timeout_s` and a little: nobody may keep the node longer."""


def test_sigterm_ends_viewers_cleanly(tmp_path: Path) -> None:
    with running_node(tmp_path, "--open") as node, DemoProcess(node.publish_url("live"), tmp_path / "demo.log"):
        with RawViewer(node.flv("live")) as over_http, RawViewer(node.flv("live", "ws")) as over_websocket:
            for viewer in (over_http, over_websocket):
                viewer.wait_for_more(10)
            assert node.stop() < BOUND_S
            assert (over_http.wait_for_end(), over_websocket.wait_for_end()) == ("clean", "clean")
            assert over_websocket.close_code == 4001
            assert over_http.file.pictures
        assert "closed: stopped" in node.log


def test_early_players_and_silent_peers_do_not_hold_the_node_back(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, "--open", "--set", "flv.join_wait_s=60") as node,
        RawViewer(node.flv("nobody")) as early,
        socket.create_connection(("127.0.0.1", node.ports["rtmp"])),
        socket.create_connection(("127.0.0.1", node.ports["http"])),
    ):
        eventually(lambda: node.metric("streamer_flv_viewers") == 1, "a player waits")
        assert node.stop() < BOUND_S
        early.wait_for_end()
        assert early.status in (404, 503)


def test_viewers_that_do_not_read_or_do_not_answer_do_not_hold_the_node_back(tmp_path: Path) -> None:
    options = ("--bitrate", "40000000")
    with (
        running_node(tmp_path, "--open") as node,
        DemoProcess(node.publish_url("live"), tmp_path / "demo.log", options=options),
        RawViewer(node.flv("live")) as witness,
        RawViewer(node.flv("live", "ws"), answers_close=False) as rude,
        socket.socket() as stalled,
    ):
        witness.wait_for_more(10)
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", node.ports["http"]))
        stalled.sendall(b"GET /live/live.flv HTTP/1.1\r\nHost: node\r\n\r\n")
        eventually(lambda: node.metric("streamer_flv_joins_total") == 3, "the stalled viewer has joined")
        witness.wait_for_more(30)
        assert node.stop() < BOUND_S
        assert witness.wait_for_end() == "clean"
        assert rude.close_code == 4001


def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    node = RunningNode(tmp_path, "--open")
    try:
        node.terminate()
        eventually(lambda: "stopping: SIGTERM" in node.log or not node.is_running, "the first signal is heard")
        node.terminate()
        status = node.wait()
        # It may have ended by itself between the two.
        assert status in (0, -signal.SIGTERM)
    finally:
        node.kill()

"""A node as a process, and the signals that an operator sends it: reload, drain, stop, kill."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv import read_flv
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode, running_node

pytestmark = pytest.mark.e2e


def hang_up(node: RunningNode) -> None:
    os.kill(node.pid, signal.SIGHUP)


def lines(node: RunningNode, text: str) -> list[str]:
    return [line for line in node.log.splitlines() if text in line]


def test_sighup_takes_up_what_may_change_and_nobody_notices(tmp_path: Path) -> None:
    file = tmp_path / "streamer.toml"
    file.write_text("[flv]\nmerge_ms = 0\n")
    with (
        running_node(tmp_path, "--open", "--config", file) as node,
        DemoProcess(node.publish_url("live"), tmp_path / "demo.log"),
        RawViewer(node.flv("live")) as over_http,
        RawViewer(node.flv("live", "ws")) as over_websocket,
    ):
        for viewer in (over_http, over_websocket):
            viewer.wait_for_more(10)
        file.write_text('[flv]\nmerge_ms = 100\n[log]\nformat = "json"\n[http]\nmax_body_bytes = 2048\n')
        hang_up(node)
        eventually(lambda: lines(node, "these changes need a restart"), "the reload is logged")
        said = [json.loads(line) for line in node.log.splitlines() if line.startswith("{")]
        assert [(s["level"], s["message"]) for s in said[:2]] == [
            ("info", "reloaded: flv.merge_ms, log.format"),
            ("warning", "these changes need a restart: http.max_body_bytes"),
        ]
        file.write_text("[flv]\nmerge_ms = -1\n")
        hang_up(node)
        eventually(lambda: lines(node, "the configuration is not reloaded"), "the mistake is named")
        (refused,) = lines(node, "the configuration is not reloaded")
        assert f"{file}:2: flv.merge_ms = -1 must be at least 0 ms" in json.loads(refused)["message"]
        for viewer in (over_http, over_websocket):
            viewer.wait_for_more(30)
            assert viewer.ended is None
        assert node.metric("streamer_config_reloads_total") == 1
        assert node.metric("streamer_stream_resumes_total") == 0
        assert node.metric("streamer_flv_joins_total") == 2


def test_a_draining_node_keeps_its_viewers_takes_nobody_new_and_ends_with_the_last(tmp_path: Path) -> None:
    grace = ("--set", "drain.grace_s=50", "--set", "drain.timeout_s=60")
    with (
        running_node(tmp_path, "--open", *grace) as node,
        DemoProcess(node.publish_url("live"), tmp_path / "demo.log"),
        RawViewer(node.flv("live")) as viewer,
        RawViewer(node.flv("later")) as early,
    ):
        viewer.wait_for_more(10)
        eventually(lambda: node.metric("streamer_flv_viewers") == 2, "an early player waits")
        assert node.get("/readyz")[0] == 200
        node.terminate()
        early.wait_for_end(within=5)
        assert (early.status, "retry-after" in early.headers) == (503, True)
        assert node.get("/readyz")[0] == 503
        assert node.get("/healthz")[0] == 200
        status, headers, body = node.get("/live/live.flv")
        assert (status, json.loads(body)["code"]) == (503, 4001)
        assert int(headers["Retry-After"]) > 0
        with DemoProcess(node.publish_url("another"), tmp_path / "refused.log"):
            eventually(lambda: lines(node, "4001 shutdown: the server is going away"), "a new publisher is refused")
        viewer.wait_for_more(30)
        viewer.close()
        assert node.wait() == 0, "with its last viewer the node has nothing to wait for"


def test_when_the_grace_is_over_viewers_are_told_and_recordings_are_whole(tmp_path: Path) -> None:
    flags = ("--set", "drain.grace_s=1", "--set", "record.rooms=live,vip-*")
    with (
        running_node(tmp_path, "--open", *flags) as node,
        DemoProcess(node.publish_url("live"), tmp_path / "demo.log"),
        RawViewer(node.flv("live")) as over_http,
        RawViewer(node.flv("live", "ws")) as over_websocket,
    ):
        for viewer in (over_http, over_websocket):
            viewer.wait_for_more(30)
        begun = time.monotonic()
        node.terminate()
        assert (over_http.wait_for_end(), over_websocket.wait_for_end()) == ("clean", "clean")
        assert over_websocket.close_code == 4001
        assert time.monotonic() - begun > 0.9
        assert node.wait() == 0
        (recording,) = (tmp_path / "recordings" / "live").glob("*.flv")
        recorded, watched = read_flv(recording.read_bytes()), over_http.file
        assert [tag.timestamp for tag in recorded.pictures][-1] >= [tag.timestamp for tag in watched.pictures][-1]
        assert "Traceback" not in node.log


def test_what_hangs_is_cut_when_the_time_is_over_and_the_status_is_still_0(tmp_path: Path) -> None:
    """Here: a request whose body never comes, at a node that would wait for it for ten minutes."""
    flags = ["http.shutdown_timeout_s=600", "http.body_timeout_s=600", "drain.timeout_s=1"]
    with (
        running_node(tmp_path, *(word for flag in flags for word in ("--set", flag))) as node,
        socket.create_connection(("127.0.0.1", node.ports["http"])) as peer,
    ):
        peer.sendall(b"POST /api/v1/streams HTTP/1.1\r\nHost: node\r\nContent-Length: 10\r\n\r\n")
        eventually(lambda: node.metric("streamer_http_connections") == 2, "the request is being served")
        begun = time.monotonic()
        node.terminate()
        assert node.wait() == 0
        assert 0.9 < time.monotonic() - begun < 5
        assert lines(node, "not everything was closed within 1 s")


def test_a_certificate_changes_with_a_reload(tmp_path: Path) -> None:
    from streamer.certificate import make_self_signed, write_pair

    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_pair(make_self_signed(["localhost"]), cert=cert, key=key)
    with running_node(tmp_path, "--open", "--tls-cert", cert, "--tls-key", key, tls=True) as node:
        write_pair(make_self_signed(["localhost"]), cert=cert, key=key, force=True)
        hang_up(node)
        eventually(lambda: lines(node, "took up the changed certificate"), "the new certificate")


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_demo(pid: int) -> bool:
    try:
        return b"demo" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_demo_host_ends_with_its_node_however_that_ends(tmp_path: Path, number: signal.Signals) -> None:
    node = RunningNode(tmp_path, "--demo", "--set", "log.format=json")
    try:
        eventually(lambda: node.metric("streamer_streams", state="live") == 1, "the demo is live")
        (child,) = [pid for pid in children_of(node.pid) if is_demo(pid)]
        os.kill(node.pid, number)
        node.wait()
        eventually(lambda: not is_demo(child), "the demo host is gone")
    finally:
        node.kill()
    loggers = {json.loads(line)["logger"] for line in node.log.splitlines()}
    assert any(name.startswith("bench.") for name in loggers), "its lines have the node's form"


@contextmanager
def service_manager(folder: Path) -> Iterator[socket.socket]:
    """What systemd is to a service with Type=notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(folder / "notify"))
        sock.settimeout(20)
        yield sock


def test_a_service_manager_is_told_each_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with service_manager(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running_node(tmp_path) as node:
            assert manager.recv(100) == b"READY=1"
            hang_up(node)
            assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(100))
            assert manager.recv(100) == b"READY=1"
            node.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert node.wait() == 0

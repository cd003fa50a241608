"""The load generator against a real node in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import chat

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int, str]]:
    """The address, the process id and a host's token of a node whose flood rule lets everything pass."""
    settings = ("danmaku_per_second=0", "user_rate=10000", "user_burst=10000")
    command = [sys.executable, "-m", "tests.support.rooms_node", str(tmp_path), *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            address, token = process.stdout.readline().split()
            yield address, process.pid, token
        finally:
            process.terminate()


def test_a_load_is_delivered_measured_and_recovered(
    server: tuple[str, int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, pid, token = server
    load = [
        "--viewers",
        "20",
        "--senders",
        "5",
        "--rate",
        "40",
        "--seconds",
        "1",
        "--storm",
        "--json",
        "--commerce",
        "20",
        "--token",
        token,
    ]
    assert chat.main([url, *load, "--pid", str(pid)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["viewers"], report["sent"], report["acknowledged"]) == (25, 40, 60)
    assert report["deliveries"] == 40 * 25
    assert report["commerce_missed"] == 0
    assert report["drops"] == {}
    assert report["delay_ms"]["p99"] < 2_000
    assert report["server_cores"] > 0
    assert report["storm_s"] < 10


def test_a_server_that_is_not_there_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert chat.main(["http://127.0.0.1:9", "--viewers", "2", "--senders", "1", "--seconds", "0.1", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["viewers"] == 0
    assert sum(report["drops"].values()) == 3

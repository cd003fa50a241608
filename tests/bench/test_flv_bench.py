"""Whole runs of `streamer bench flv` with a few viewers against a small real server."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from bench.cli import main
from tests.support.flv_relay import Relay


def run(relay: Relay, *arguments: str) -> int:
    http, rtmp = (f"127.0.0.1:{port}/live/x" for port in (relay.http_port, relay.rtmp_port))
    publish = ["--publish", f"rtmp://{rtmp}", "--bitrate", "400000"]
    return main(["flv", f"http://{http}.flv", "-d", "1", "--settle", "0.3", *publish, *arguments])


@pytest.mark.e2e
@pytest.mark.parametrize("transport", [[], ["--ws"]])
def test_every_figure_is_measured(
    relay: Relay, transport: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "figures.json"
    arguments = ["-n", "8", "--stalled", "25", "--processes", "2", "--pid", str(os.getpid()), "--json", str(stored)]
    assert run(relay, *arguments, "-d", "3", *transport) == 0
    result = json.loads(stored.read_text())
    assert (result["viewers_watching"], result["viewers_lost"], result["stalled"]) == (6, {}, 2)
    assert result["first_keyframe_ms"]["count"] == result["first_byte_ms"]["count"] == 8
    assert result["largest_gap_ms"]["count"] == 6
    assert result["latency_ms"]["count"] > 10
    assert 0 < result["latency_ms"]["p50"] < 500
    assert result["bits_per_second_per_viewer"] == pytest.approx(530_000, rel=0.5)
    assert 20 < result["pieces_per_second_per_viewer"] < 40
    assert result["server_memory"]["rss"] > 1_000_000
    assert 20 < result["floor"]["writes_per_second_per_viewer"] < 40
    assert result["floor"]["short_writes"] == 0
    assert result["conditions"]["cores"] == os.cpu_count()
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("server CPU", "floor CPU", "added latency", "conditions", "first keyframe"))


@pytest.mark.e2e
def test_refused_viewers_are_counted_with_the_reason(
    relay: Relay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relay.refuse = True
    stored = tmp_path / "figures.json"
    assert (
        main(
            [
                "flv",
                f"http://127.0.0.1:{relay.http_port}/x.flv",
                "-n",
                "3",
                "-d",
                "0.1",
                "--settle",
                "0.1",
                "--json",
                str(stored),
            ]
        )
        == 0
    )
    lost = json.loads(stored.read_text())["viewers_lost"]
    assert lost == {"the server answered 'HTTP/1.1 404 Not Found', not 200": 3}
    printed = capsys.readouterr().out
    assert "3 viewers were lost" in printed
    assert "no floor" in printed


@pytest.mark.e2e
def test_a_publisher_that_cannot_connect_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    publish = ["--publish", f"rtmp://127.0.0.1:{port}/live/x"]
    assert main(["flv", f"http://127.0.0.1:{port}/x.flv", "-n", "1", "-d", "0.1", *publish]) == 1
    assert "publisher: [Errno 111] Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-n", "0"], ["-d", "-1"], ["--stalled", "101"], ["-n", "x"]])
def test_options_out_of_range_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["flv", "http://127.0.0.1/x.flv", *arguments])
    assert arguments[1] in capsys.readouterr().err


def test_an_unusable_url_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flv", "https://127.0.0.1/x.flv", "-n", "1"]) == 1
    assert "only http:// and ws://" in capsys.readouterr().err

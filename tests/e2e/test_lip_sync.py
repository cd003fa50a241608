"""The beep comes with the flash at a WHEP viewer, whatever the host publishes with, and still does after a host's blip.

Both clocks that a player has are read: the sender reports, by which browsers play, and `Streamer-Timeline`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from tests.support.encoders import DemoProcess, Publisher
from tests.support.eventually import eventually
from tests.support.node import RunningNode

pytestmark = pytest.mark.e2e
LIP_SYNC_MS = 40
Host = Callable[[RunningNode, str, Path], Publisher]
Watch = Callable[[str, float], "Future[dict[str, Any]]"]


def rtmp_host(node: RunningNode, room: str, log: Path) -> Publisher:
    """AAC, which a worker makes into Opus."""
    return DemoProcess(node.publish_url(room), log)


def whip_host(node: RunningNode, room: str, log: Path) -> Publisher:
    """Opus, which is passed on, with sender reports of its own."""
    size = ["--width", "320", "--height", "180", "--bitrate", "300000", "--keyint", "1"]
    command = [sys.executable, "-m", "streamer", "bench", "publish", node.url(f"/whip/{room}"), *size]
    return Publisher(command, log)


@pytest.fixture
def watch(node: RunningNode, tmp_path: Path) -> Iterator[Watch]:
    """Watch a room by WHEP for so many seconds; the sound's figures, when it is over."""
    with ThreadPoolExecutor(1) as pool:

        def watch(room: str, seconds: float) -> Future[dict[str, Any]]:
            return pool.submit(figures, node.url(f"/whep/{room}"), tmp_path / "figures.json", seconds)

        yield watch


def figures(url: str, stored: Path, seconds: float) -> dict[str, Any]:
    fixed = ["-n", "1", "-d", str(seconds), "--settle", "0.5", "--no-floor", "--json", str(stored)]
    assert main(["whep", url, *fixed]) == 0
    sound: dict[str, Any] = json.loads(stored.read_text())["sound"]
    return sound


def is_live(node: RunningNode, room: str, more: float = 30) -> None:
    """So many more pictures and sounds have come from its host."""
    before = node.metric("streamer_stream_units_total", room=room)
    eventually(lambda: node.metric("streamer_stream_units_total", room=room) > before + more, "a host", within=30)


def skews(flashes: list[dict[str, Any]]) -> list[float]:
    """By both clocks. A flash without a beep is None, which is no number."""
    return [flash[clock] for flash in flashes for clock in ("by_reports_ms", "by_timeline_ms")]


@pytest.mark.parametrize("host", [rtmp_host, whip_host])
def test_the_beep_comes_with_the_flash(node: RunningNode, watch: Watch, tmp_path: Path, host: Host) -> None:
    with host(node, host.__name__, tmp_path / "host.log"):
        is_live(node, host.__name__)
        sound = watch(host.__name__, 8.0).result()
    assert len(sound["flashes"]) >= 4
    assert max(map(abs, skews(sound["flashes"]))) <= LIP_SYNC_MS, sound["flashes"]
    assert (sound["gaps"], sound["steps_back"], sound["undecodable"]) == (0, 0, 0)


@pytest.mark.parametrize("host", [rtmp_host, whip_host])
def test_it_still_does_after_the_host_was_killed_and_came_back(
    node: RunningNode, watch: Watch, tmp_path: Path, host: Host
) -> None:
    room = f"{host.__name__}-blip"
    with host(node, room, tmp_path / "first.log") as first:
        is_live(node, room)
        sent = node.metric("streamer_whep_packets_total")
        watching = watch(room, 20.0)
        eventually(lambda: node.metric("streamer_whep_packets_total") > sent + 300, "a viewer", within=20)
        is_live(node, room, 5 * 80)
        first.kill()
        with host(node, room, tmp_path / "second.log"):
            sound = watching.result()
    assert len(sound["flashes"]) >= 8
    assert (sound["missing"], sound["steps_back"]) == (0, 0)
    assert sound["gaps"] <= 1, "at the seam sound may pause for less than one packet, and nowhere else"
    assert max(map(abs, skews(sound["flashes"]))) <= LIP_SYNC_MS, sound["flashes"]
    times = [flash["at"] for flash in sound["flashes"]]
    assert min(times) < 6, "no flash before the blip"
    assert max(times) > 13, "no flash after the blip"

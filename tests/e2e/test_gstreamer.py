"""GStreamer's webrtcbin against a real node: it watches by WHEP, and publishes by WHIP.

A peer with ways of its own: full ICE by libnice, DTLS by OpenSSL, sections that are bundle-only at port 0, no PATCH,
no header extensions, an offer that says sendrecv where it only sends.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from bench.lip_sync import read_flashes
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv import whole_tags
from tests.support.flv_viewer import RawViewer, steps_ms
from tests.support.gstreamer import FPS, GStreamerPeer, needs_webrtcbin, write_show
from tests.support.node import RunningNode

pytestmark = pytest.mark.e2e
LIP_SYNC_MS = 40
LOUD = 3000
"""Of 32,768; the beep is at 9,800."""
SHOW_S = 8


@pytest.fixture(autouse=True, scope="module")
def webrtcbin() -> None:
    needs_webrtcbin()


def test_it_watches_by_whep_with_sound(node: RunningNode, tmp_path: Path) -> None:
    url = node.url("/whep/gst-viewer")
    with DemoProcess(node.publish_url("gst-viewer"), tmp_path / "host.log", number=5):
        eventually(lambda: node.metric("streamer_stream_units_total", room="gst-viewer") > 60, "a host", within=20)
        with GStreamerPeer(tmp_path / "viewer.log", "view", url, tmp_path) as viewer:
            viewer.wait_for("picture", 12)  # one in ten: four seconds
            peaks = [words["peak"] for words in viewer.wait_for("sound", 100)]
            viewer.finish()
    codes = viewer.codes()
    assert {number for number, _ in codes} == {5}
    # every picture was decoded, so the kept ones are ten apart, but for those that a host on a busy machine left out
    steps = [after - before for (_, before), (_, after) in pairwise(codes)]
    assert min(steps) > 0
    assert round(median(steps) / 10) == 33
    assert max(peaks) > LOUD
    assert min(peaks) < LOUD / 10
    assert node.metric("streamer_whep_closed_total", reason="ended") >= 1


def test_it_publishes_by_whip_with_lips_in_step(node: RunningNode, tmp_path: Path) -> None:
    show = write_show(tmp_path, SHOW_S, number=6)
    with GStreamerPeer(tmp_path / "host.log", "host", node.url("/whip/gst-host"), *show) as host:
        eventually(lambda: node.metric("streamer_stream_units_total", room="gst-host") > 30, "a host", within=30)
        with RawViewer(node.flv("gst-host")) as viewer:
            viewer.wait_for(lambda file: len(file.pictures) > 5 * FPS, "five seconds", within=30)
        host.finish()
    ended_ms = viewer.file.sounds[-1].timestamp
    flashes = [flash for flash in read_flashes(whole_tags(viewer.data)) if flash.pts_ms < ended_ms - 500]
    assert len(flashes) >= 3
    assert {flash.number for flash in flashes} == {6}
    assert all(flash.beep_ms is not None and abs(flash.beep_ms) <= LIP_SYNC_MS for flash in flashes), flashes
    assert median(steps_ms(viewer.file.pictures)) in (33, 34)

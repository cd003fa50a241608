"""Sound that fits the viewer: AAC to Opus and back, in step with the picture, made only while somebody listens."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from tests.support.encoders import DemoProcess, start_ffmpeg
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer, steps_ms
from tests.support.node import RunningNode, streamer
from tests.support.playback import watch
from tests.support.whep_node import ask, post

pytestmark = pytest.mark.e2e
LIP_SYNC_MS = 40
OPUS_FRAME_MS = 20
LOUD = 2000
"""Of 32,768."""


def is_in_sync(data: bytes) -> None:
    skews = watch(data).lip_sync_ms(1)
    assert len(skews) >= 3
    assert max(map(abs, skews)) <= LIP_SYNC_MS, skews


def test_opus_is_made_of_aac_in_step_with_the_picture_and_only_while_wanted(node: RunningNode, tmp_path: Path) -> None:
    with DemoProcess(node.publish_url("aac"), tmp_path / "demo.log"):
        with RawViewer(f"{node.flv('aac')}?audio=opus") as viewer:
            viewer.wait_for(lambda file: len(file.pictures) > 180, "six seconds")
            assert node.metric("streamer_transcode_workers") == 1
        assert viewer.file.sounds[0].body[1:5] == b"Opus"
        assert set(steps_ms(viewer.file.sounds[5:])) == {OPUS_FRAME_MS}
        is_in_sync(viewer.data)
        eventually(lambda: node.metric("streamer_transcode_workers") == 0, "no worker without a listener", within=15)


def test_an_opus_source_is_heard_as_aac_by_flv_players(node: RunningNode, tmp_path: Path) -> None:
    source = "-re -f lavfi -i testsrc=size=320x180:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000"
    encode = "-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -c:a libopus -f flv"
    with start_ffmpeg([*source.split(), *encode.split(), node.publish_url("opus")], tmp_path / "host.log"):
        with RawViewer(node.flv("opus")) as viewer:
            viewer.wait_for(lambda file: len(file.sounds) > 60, "more than a second of sound")
        with RawViewer(f"{node.flv('opus')}?audio=source") as plain:
            plain.wait_for(lambda file: len(file.sounds) > 20, "sound as it came")
    assert viewer.file.sounds[0].body[0] >> 4 == 10
    assert plain.file.sounds[0].body[1:5] == b"Opus"


def test_a_killed_worker_costs_less_than_a_second_of_sound_and_no_picture(node: RunningNode, tmp_path: Path) -> None:
    with (
        DemoProcess(node.publish_url("killed"), tmp_path / "demo.log"),
        RawViewer(f"{node.flv('killed')}?audio=opus") as viewer,
    ):
        viewer.wait_for(lambda file: len(file.sounds) > 50, "a second of sound")
        workers = [
            pid for pid in children(node.pid) if b"transcode_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        pictures = len(viewer.file.pictures)
        viewer.wait_for(lambda file: len(file.pictures) > pictures + 90, "three more seconds")
    assert workers
    assert max(steps_ms(viewer.file.sounds)) <= OPUS_FRAME_MS + 1
    assert max(steps_ms(viewer.file.pictures)) <= 34


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def is_listed_and_can_be_closed(node: RunningNode) -> None:
    key = streamer("key", "--operator", "--data", node.folder).splitlines()[2].strip()
    headers = {"Authorization": f"Bearer {key}"}
    _, _, body = await ask("GET", node.url("/api/v1/streams/heard/viewers"), headers=headers)
    (viewer,) = json.loads(body)["viewers"]
    assert (viewer["transport"], viewer["room"]) == ("whep", "heard")
    assert viewer["bytes"] > 10_000
    status, _, _ = await ask("DELETE", node.url(f"/api/v1/viewers/{viewer['id']}"), headers=headers)
    assert status == 204
    _, _, body = await ask("GET", node.url("/api/v1/streams/heard/viewers"), headers=headers)
    assert json.loads(body)["total"] == 0


async def test_a_webrtc_viewer_hears_an_rtmp_host(
    node: RunningNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    viewer = RTCPeerConnection()
    with DemoProcess(node.publish_url("heard"), tmp_path / "demo.log"):
        eventually(lambda: node.metric("streamer_stream_units_total", room="heard") > 60, "a host", within=20)
        try:
            for kind in ("audio", "video"):
                viewer.addTransceiver(kind, direction="recvonly")
            await viewer.setLocalDescription(await viewer.createOffer())
            status, _, answer = await post(node.url("/whep/heard"), viewer.localDescription.sdp)
            assert status == 201, answer
            await viewer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            sound, picture = (receiver.track for receiver in viewer.getReceivers())
            onsets, samples, quiet = [], 0, False
            async with asyncio.timeout(20):
                await picture.recv()
                while samples < 5 * 48_000:
                    frame = await sound.recv()
                    loud = np.flatnonzero(abs(frame.to_ndarray().astype(int)).max(axis=0) > LOUD)
                    if len(loud) and quiet:
                        onsets.append(samples / 48_000)
                    quiet = not len(loud)
                    samples += frame.samples
            await is_listed_and_can_be_closed(node)
        finally:
            await viewer.close()
    assert len(onsets) >= 3
    assert all(0.9 < after - before < 1.1 for before, after in pairwise(onsets)), onsets

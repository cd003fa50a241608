"""A real aiortc client watches a real node by WHEP."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from media.ticks import TICKS_PER_SECOND
from tests.support.whep_node import ROOM, ask, config, post, publishing, whep_node

pytestmark = pytest.mark.e2e
PATIENCE = 20


@pytest.fixture(autouse=True)
def _on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def test_aiortc_decodes_every_picture_in_its_place(tmp_path: Path) -> None:
    async with whep_node(config(tmp_path)) as live, publishing(live.hub) as stream:
        viewer = RTCPeerConnection()
        try:
            viewer.addTransceiver("video", direction="recvonly")
            await viewer.setLocalDescription(await viewer.createOffer())
            status, headers, answer = await post(live.whep, viewer.localDescription.sdp)
            assert status == 201
            await viewer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            track = viewer.getReceivers()[0].track
            frames = []
            async with asyncio.timeout(PATIENCE):
                while len(frames) < 60:
                    frames.append(await track.recv())
            steps = {later.pts - earlier.pts for earlier, later in itertools.pairwise(frames)}
            assert steps == {TICKS_PER_SECOND // 30}, "no picture is missing"
            shades = [float(np.mean(frame.to_ndarray(format="gray"))) for frame in frames]
            rises = sum(later > earlier for earlier, later in itertools.pairwise(shades))
            assert rises >= 50, "each second begins with noise and then grows brighter"
            session = live.node.webrtc.whep.sessions()[0]
            assert session.connected_at is not None
            assert session.stream is stream
            await ask("DELETE", headers["location"])
            assert live.node.webrtc.whep.viewer_count == 0
        finally:
            await viewer.close()


async def test_an_aiortc_viewer_that_closes_is_gone_at_once(tmp_path: Path) -> None:
    async with whep_node(config(tmp_path)) as live, publishing(live.hub):
        viewer = RTCPeerConnection()
        viewer.addTransceiver("video", direction="recvonly")
        await viewer.setLocalDescription(await viewer.createOffer())
        _, _, answer = await post(f"{live.base}/whep/{ROOM}", viewer.localDescription.sdp)
        await viewer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(PATIENCE):
            await viewer.getReceivers()[0].track.recv()
            await viewer.close()
            while live.node.webrtc.whep.viewer_count:
                await asyncio.sleep(0.02)

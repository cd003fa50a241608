"""Chromium plays what one peer sends, and publishes its fake camera to one peer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.offers import publish, view
from tests.support.picture import HEIGHT, WIDTH, decode_h264, encode_h264, grey, noise
from tests.support.webrtc_endpoint import LoopbackEndpoint, loopback_endpoint
from tests.support.whip_server import whip_server
from wire.dtls import SrtpProfile
from wire.rtp import extensions, h264, rtcp
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import ReorderBuffer
from wire.rtp.twcc import ArrivalRecorder
from wire.sdp import SessionDescription
from wire.webrtc import CloseCause, Connected, PeerClosed, RtcpReceived, RtpReceived

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

FLAGS = (
    *CHROMIUM_FLAGS,
    "--allow-loopback-in-peer-connection",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
MTU = 1150
EXCHANGE = """
async function exchange(connection, url) {
    await connection.setLocalDescription(await connection.createOffer());
    const headers = {"Content-Type": "application/sdp"};
    const response = await fetch(url, {method: "POST", body: connection.localDescription.sdp, headers});
    await connection.setRemoteDescription({type: "answer", sdp: await response.text()});
}
"""
VIEW = """async (url) => {
    window.connection = new RTCPeerConnection();
    connection.addTransceiver("audio", {direction: "recvonly"});
    const receiver = connection.addTransceiver("video", {direction: "recvonly"}).receiver;
    const video = document.createElement("video");
    video.muted = true;
    video.srcObject = new MediaStream([receiver.track]);
    video.play();
    %s
    await exchange(connection, url);
}"""
PUBLISH = """async (url) => {
    window.connection = new RTCPeerConnection();
    const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 240}});
    for (const track of stream.getTracks()) connection.addTransceiver(track, {direction: "sendonly"});
    %s
    await exchange(connection, url);
}"""
INBOUND = """async () => {
    const reports = [...(await connection.getStats()).values()];
    return reports.find((report) => report.type == "inbound-rtp" && report.kind == "video") ?? {};
}"""


@asynccontextmanager
async def browsing(chromium: str, address: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = await browser.new_page()
        await page.goto(address)
        try:
            yield page
        finally:
            await browser.close()


async def _show(ours: LoopbackEndpoint, answer: SessionDescription) -> None:
    """Play one picture 25 times a second until cancelled, and answer nothing."""
    assert ours.peer is not None
    assert ours.peer.sender is not None
    video = answer.sections[1]
    ssrc, payload_type = video.sources[0][0], video.codecs[0].payload_type
    index = 1
    frames = [noise(1)] + [grey(level % 200) for level in range(1000)]
    for number, nals in enumerate(encode_h264(frames)):
        payloads = h264.packetise(nals, MTU)
        for position, payload in enumerate(payloads):
            packet = RtpPacket(
                payload_type, index & 0xFFFF, 3600 * number, ssrc, payload, marker=position == len(payloads) - 1
            )
            ours.send(ours.peer.sender.protect(packet.to_bytes(), index))
            index += 1
        await asyncio.sleep(0.04)


async def test_chromium_plays_what_we_send(chromium: str) -> None:
    async with (
        loopback_endpoint() as ours,
        whip_server(ours, view) as server,
        browsing(chromium, server.page) as page,
    ):
        await page.evaluate(VIEW % EXCHANGE, server.url)
        await ours.wait_for(Connected)
        assert server.answer is not None
        assert ours.peer is not None
        assert ours.peer.keys is not None
        assert ours.peer.keys.profile is SrtpProfile.AEAD_AES_128_GCM
        showing = asyncio.create_task(_show(ours, server.answer))
        try:
            stats = await _plays(page, 40)
        finally:
            showing.cancel()
        assert (stats["frameWidth"], stats["frameHeight"]) == (WIDTH, HEIGHT)
        assert stats["framesDropped"] < 5
        assert stats["packetsLost"] == 0
        assert (await ours.wait_for(RtcpReceived)).packets
        await page.evaluate("connection.close()")
        assert (await ours.wait_for(PeerClosed)).cause is CloseCause.GOODBYE


async def _plays(page: Page, frames: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            stats: dict[str, Any] = await page.evaluate(INBOUND)
            if stats.get("framesDecoded", 0) >= frames:
                return stats
            await asyncio.sleep(0.05)


async def test_chromium_publishes_what_we_depacketise(chromium: str) -> None:
    async with (
        loopback_endpoint() as ours,
        whip_server(ours, publish) as server,
        browsing(chromium, server.page) as page,
    ):
        await page.evaluate(PUBLISH % EXCHANGE, server.url)
        await ours.wait_for(Connected)
        assert server.answer is not None
        units = await _receive(ours, server.answer, pictures=60)
    frames = decode_h264(unit.nals for unit in units)
    assert len(frames) >= 59
    assert {frame.width for frame in frames} <= {320, 240, 160, 180, 120}
    assert not any(unit.after_loss for unit in units)


async def _receive(ours: LoopbackEndpoint, answer: SessionDescription, *, pictures: int) -> list[RtpUnit]:
    """Take pictures, and report arrivals as a server does, so that Chromium trusts the path."""
    assert ours.peer is not None
    video = answer.sections[1]
    numbers = {item.uri: item.number for item in video.extensions}
    loop = asyncio.get_running_loop()
    buffer, assembler, arrivals = ReorderBuffer(), AccessUnitAssembler(H264Depacketiser()), ArrivalRecorder(1)
    units: list[RtpUnit] = []
    reported_at = loop.time()
    while len(units) < pictures:
        packet = (await ours.wait_for(RtpReceived)).packet
        now = loop.time()
        values = extensions.parse(packet.extension_profile or 0, packet.extension)
        arrivals.record(extensions.read_transport_sequence(values[numbers[extensions.TRANSPORT_SEQUENCE]]), now)
        if packet.payload_type == video.codecs[0].payload_type:
            for item in buffer.receive(packet, now):
                units += assembler.receive(item)
        if now - reported_at > 0.1:
            reported_at = now
            ours.peer.send_rtcp([rtcp.ReceiverReport(1), *arrivals.feedback(packet.ssrc)])
            ours.flush()
    return units

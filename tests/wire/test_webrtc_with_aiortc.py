"""A real aiortc peer over loopback UDP, as viewer and as publisher, in both DTLS roles."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack

from tests.support.offers import publish, view
from tests.support.picture import decode_h264, encode_h264, grey, noise
from tests.support.webrtc_endpoint import PATIENCE, LoopbackEndpoint, loopback_endpoint
from wire.dtls import DtlsRole, SrtpProfile
from wire.rtp import h264, rtcp
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import ReorderBuffer
from wire.webrtc import CloseCause, Connected, PeerClosed, RtcpReceived, RtpReceived

ROLES = {DtlsRole.SERVER: "actpass", DtlsRole.CLIENT: "passive"}
LEVEL = 77
MTU = 1150


@pytest.fixture(autouse=True)
def _on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


class GreyTrack(VideoStreamTrack):
    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def recv(self):  # type: ignore[no-untyped-def]
        pts, time_base = await self.next_timestamp()
        frame = noise(1) if self._number == 0 else grey(LEVEL)
        frame.pts, frame.time_base = pts, time_base
        self._number += 1
        return frame


@asynccontextmanager
async def caller() -> AsyncIterator[RTCPeerConnection]:
    connection = RTCPeerConnection()
    try:
        yield connection
    finally:
        await connection.close()


async def negotiate(theirs: RTCPeerConnection, ours: LoopbackEndpoint, role: DtlsRole, choose):  # type: ignore[no-untyped-def]
    await theirs.setLocalDescription(await theirs.createOffer())
    offer = theirs.localDescription.sdp.replace("a=setup:actpass", f"a=setup:{ROLES[role]}")
    text, answer = ours.answer(offer, choose)
    await theirs.setRemoteDescription(RTCSessionDescription(text, "answer"))
    await ours.wait_for(Connected)
    return answer


def packets(ssrc: int, payload_type: int) -> Iterator[tuple[int, bytes]]:
    """A broadcast whose sequence numbers wrap soon, so that the roll-over counter counts."""
    index = 65_500
    frames = [noise(1)] + [grey(LEVEL)] * 200
    for number, nals in enumerate(encode_h264(frames)):
        payloads = h264.packetise(nals, MTU)
        for position, payload in enumerate(payloads):
            marker = position == len(payloads) - 1
            packet = RtpPacket(payload_type, index & 0xFFFF, 3000 * number, ssrc, payload, marker=marker)
            yield index, packet.to_bytes()
            index += 1


@pytest.mark.parametrize("role", list(DtlsRole))
async def test_aiortc_plays_what_we_send(role: DtlsRole) -> None:
    async with caller() as viewer, loopback_endpoint() as ours:
        viewer.addTransceiver("audio", direction="recvonly")
        viewer.addTransceiver("video", direction="recvonly")
        answer = await negotiate(viewer, ours, role, view)
        assert ours.peer is not None
        assert ours.peer.keys is not None
        assert ours.peer.keys.profile is SrtpProfile.AEAD_AES_128_GCM
        video = answer.sections[1]
        track = viewer.getReceivers()[1].track
        sending = asyncio.create_task(_send(ours, video.sources[0][0], video.codecs[0].payload_type))
        try:
            async with asyncio.timeout(PATIENCE):
                while abs(_level(await track.recv()) - LEVEL) > 2:
                    pass
            reports = await ours.wait_for(RtcpReceived)
        finally:
            sending.cancel()
        assert any(isinstance(packet, rtcp.ReceiverReport | rtcp.SenderReport) for packet in reports.packets)


async def _send(ours: LoopbackEndpoint, ssrc: int, payload_type: int) -> None:
    assert ours.peer is not None
    assert ours.peer.sender is not None
    for index, packet in packets(ssrc, payload_type):
        ours.send(ours.peer.sender.protect(packet, index))
        await asyncio.sleep(0.001)  # as a pacer would; 300 datagrams at once overrun the socket's buffer


def _level(frame) -> float:  # type: ignore[no-untyped-def]
    return float(np.mean(frame.to_ndarray(format="yuv420p")[: frame.height]))


@pytest.mark.parametrize("role", list(DtlsRole))
async def test_aiortc_publishes_what_we_depacketise(role: DtlsRole) -> None:
    async with caller() as publisher, loopback_endpoint() as ours:
        publisher.addTransceiver(GreyTrack(), direction="sendonly")
        await negotiate(publisher, ours, role, publish)
        assert ours.peer is not None
        units = await _receive_pictures(ours, 20)
        ours.peer.send_rtcp([rtcp.ReceiverReport(1), rtcp.Pli(1, publisher.getSenders()[0]._ssrc)])
        ours.flush()
        again = await _receive_pictures(ours, 40, until_keyframe=True)
        await publisher.close()
        frames = decode_h264(unit.nals for unit in units)
        assert len(frames) >= 15
        assert abs(_level(frames[-1]) - LEVEL) < 3
        assert any(nal[0] & 0x1F == 5 for unit in again for nal in unit.nals), "a PLI brings a keyframe"
        assert (await ours.wait_for(PeerClosed)).cause is CloseCause.GOODBYE


async def _receive_pictures(ours: LoopbackEndpoint, count: int, *, until_keyframe: bool = False) -> list[RtpUnit]:
    buffer, assembler = ReorderBuffer(), AccessUnitAssembler(H264Depacketiser())
    units: list[RtpUnit] = []
    while len(units) < count:
        event = await ours.wait_for(RtpReceived)
        for item in buffer.receive(event.packet, asyncio.get_running_loop().time()):
            units += assembler.receive(item)
        if until_keyframe and any(nal[0] & 0x1F == 5 for unit in units for nal in unit.nals):
            break
    assert buffer.lost == 0
    return units

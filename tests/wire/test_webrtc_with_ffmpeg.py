"""FFmpeg's WHIP muxer publishes to one peer over loopback: the DTLS server by default, the client on demand."""

import asyncio
import itertools

import imageio_ffmpeg
import pytest

from tests.support.offers import publish
from tests.support.picture import HEIGHT, WIDTH, decode_h264
from tests.support.webrtc_endpoint import LoopbackEndpoint, loopback_endpoint
from tests.support.whip_server import WhipServer, whip_server
from wire.codecs.opus import packet_samples
from wire.dtls import DtlsRole, SrtpProfile
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import ReorderBuffer
from wire.webrtc import Connected, RtpReceived

pytestmark = pytest.mark.e2e

PICTURES = 20
SOURCE = (
    f"-re -f lavfi -i testsrc=size={WIDTH}x{HEIGHT}:rate=25 -f lavfi -i sine "
    "-pix_fmt yuv420p -c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -g 25 "
    "-c:a libopus -ar 48000 -ac 2 -t 3 -f whip"
)


async def _publish(server: WhipServer, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        imageio_ffmpeg.get_ffmpeg_exe(),
        *["-hide_banner", "-loglevel", "error", *SOURCE.split(), *options, server.url],
        stdin=asyncio.subprocess.DEVNULL,
    )


async def _receive(ours: LoopbackEndpoint, video_type: int) -> tuple[list[RtpUnit], list[RtpPacket]]:
    buffer, assembler = ReorderBuffer(), AccessUnitAssembler(H264Depacketiser())
    units: list[RtpUnit] = []
    audio: list[RtpPacket] = []
    while len(units) < PICTURES:
        packet = (await ours.wait_for(RtpReceived)).packet
        if packet.payload_type == video_type:
            for item in buffer.receive(packet, asyncio.get_running_loop().time()):
                units += assembler.receive(item)
        else:
            audio.append(packet)
    return units, audio


@pytest.mark.parametrize(
    ("options", "role"), [((), DtlsRole.CLIENT), (("-whip_flags", "dtls_active"), DtlsRole.SERVER)]
)
async def test_ffmpeg_publishes_in_both_dtls_roles(options: tuple[str, ...], role: DtlsRole) -> None:
    async with loopback_endpoint() as ours, whip_server(ours, publish) as server:
        ffmpeg = await _publish(server, *options)
        try:
            await ours.wait_for(Connected)
            assert server.answer is not None
            assert ours.peer is not None
            assert ours.peer.keys is not None
            assert server.answer.sections[1].setup == role.value
            assert ours.peer.keys.profile is SrtpProfile.AES128_CM_SHA1_80
            units, audio = await _receive(ours, server.answer.sections[1].codecs[0].payload_type)
            async with asyncio.timeout(20):
                await server.deleted.wait()
        finally:
            if ffmpeg.returncode is None:
                ffmpeg.terminate()
            await ffmpeg.wait()
    frames = decode_h264(unit.nals for unit in units)
    assert len(frames) == PICTURES
    assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
    assert [later.rtp_time - earlier.rtp_time for earlier, later in itertools.pairwise(units)] == [3600] * (
        PICTURES - 1
    )
    assert {packet_samples(packet.payload) for packet in audio} == {960}

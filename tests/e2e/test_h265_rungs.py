"""H.265 rungs of an H.264 host: FFmpeg reads them from Enhanced FLV, and decodes what a WebRTC viewer was sent."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from bench import barcode
from tests.support.encoders import HEIGHT, WIDTH, DemoProcess, ffmpeg
from tests.support.node import RunningNode, running_node
from tests.support.quiet import is_quiet
from tests.support.whep_client import own_offer, viewer
from wire.rtp.assembly import AccessUnitAssembler
from wire.rtp.h265 import H265Depacketiser
from wire.rtp.reorder import ReorderBuffer

pytestmark = pytest.mark.e2e
RUNG = "hevc"
LADDER = (
    f'ladder=[{{rooms=["*"], rungs=[{{name="{RUNG}", codec="h265", height={HEIGHT}, bitrate=300000,'
    ' preset="ultrafast", profile="main", encoder="libx265", keyframe_interval=1},'
    ' {name="avc", height=96, bitrate=100000}]}]'
)
PAYLOAD_TYPE = 49
"""Chromium's for H.265, where it has a decoder."""
PICTURES = 45


@pytest.fixture
def laddered(tmp_path: Path) -> Iterator[RunningNode]:
    """A node for each test: beside a rung of the test before, which is made a while longer, a busy machine has no room
    for another.
    """
    with running_node(tmp_path, "--open", "--set", LADDER) as node:
        yield node


def offer_with_h265() -> str:
    """The first section with H.265 as a browser with a decoder for it offers it, and nothing else for the picture."""
    fmtp = f"a=fmtp:{PAYLOAD_TYPE} level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"
    lines = f"a=rtpmap:{PAYLOAD_TYPE} H265/90000\r\n{fmtp}\r\n"
    found = re.sub(r"(m=video \d+ \S+) [\d ]+", rf"\1 {PAYLOAD_TYPE}", own_offer(), count=1)
    head, video = found.split("m=video", 1)
    video, *rest = re.split(r"(?=m=audio)", video, maxsplit=1)
    kept = "".join(line for line in video.splitlines(True) if not re.match(r"a=(rtpmap|fmtp|rtcp-fb):", line))
    return head + "m=video" + kept + lines + "".join(rest)


def check(codes: list[tuple[int, int]]) -> None:
    """The pictures of one host, one after the other; none is left out where the machine has time for them."""
    assert len(codes) >= PICTURES
    steps = [after[1] - before[1] for before, after in itertools.pairwise(codes)]
    assert {number for number, _ in codes} == {1}
    assert min(steps) > 30
    if is_quiet():
        assert max(steps) < 36


def test_ffmpeg_reads_an_h265_rung_from_enhanced_flv(laddered: RunningNode, tmp_path: Path) -> None:
    with DemoProcess(laddered.publish_url("flv"), tmp_path / "demo.log", options=["--bframes", "2"]):
        source = f"{laddered.flv('flv')}?rendition={RUNG}"
        wanted = ["-map", "0:v", "-frames:v", str(PICTURES), "-fps_mode", "passthrough", "-f", "rawvideo"]
        command = [ffmpeg(), "-loglevel", "info", "-i", source, *wanted, "-pix_fmt", "gray", "-"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Video: hevc (Main)" in done.stderr
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH)
    codes = [code for picture in pictures if (code := barcode.read(picture)) is not None]
    assert len(codes) == len(pictures)
    check(codes)


async def test_a_webrtc_viewer_whose_offer_has_h265_is_sent_it(laddered: RunningNode, tmp_path: Path) -> None:
    with DemoProcess(laddered.publish_url("rtc"), tmp_path / "demo.log", options=["--bframes", "2"]):
        url = laddered.url(f"/whep/rtc?rendition={RUNG}")
        async with asyncio.timeout(60), viewer(url, offer=offer_with_h265()) as client:
            while sum(p.marker for p in client.packets if p.payload_type == PAYLOAD_TYPE) <= PICTURES:
                client.arrived.clear()
                await client.arrived.wait()
    codec = av.CodecContext.create("hevc", "r")
    buffer, assembler = ReorderBuffer(), AccessUnitAssembler(H265Depacketiser())
    codes: list[tuple[int, int]] = []
    for number, packet in enumerate(p for p in client.packets if p.payload_type == PAYLOAD_TYPE):
        for item in buffer.receive(packet, number / 1000):
            for unit in assembler.receive(item):
                for frame in codec.decode(av.Packet(b"".join(b"\0\0\0\1" + nal for nal in unit.nals))):
                    code = barcode.read(frame.to_ndarray()[: frame.height])
                    assert code is not None
                    codes.append(code)
    codes += [code for frame in codec.decode(None) if (code := barcode.read(frame.to_ndarray()[: frame.height]))]
    check(codes)

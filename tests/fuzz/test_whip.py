"""Whatever a publisher with good keys sends: nothing raises, and when it behaves again its picture is back."""

import random

import pytest

from tests.support.whip_link import FRAME, OPUS, Source, WhipLink
from wire.rtp import rtcp, rtx
from wire.rtp.packet import RtpPacket


def garbage(rng: random.Random, good: bytes) -> bytes:
    match rng.randrange(4):
        case 0:
            return rng.randbytes(rng.randrange(0, 1200))
        case 1:
            return good[: rng.randrange(len(good) + 1)]
        case 2:
            changed = bytearray(good)
            changed[rng.randrange(min(len(changed), 40))] ^= 1 << rng.randrange(8)
            return bytes(changed)
        case _:
            return b""


def bad_packet(rng: random.Random, link: WhipLink, source: Source) -> None:
    source.index += rng.choice((1, 1, 1, 2, 50))
    good = OPUS if source is link._audio else b"\x65\x88" + bytes(300)
    payload = garbage(rng, good)
    if source is link._rtx:
        payload = rtx.wrap_payload(rng.randrange(65_536), payload)
    timestamp = rng.choice((0, rng.randrange(1 << 32), 3000 * link._frames))
    extended = rng.random() < 0.3
    packet = RtpPacket(
        source.payload_type,
        source.index & 0xFFFF,
        timestamp,
        source.ssrc,
        payload,
        marker=rng.random() < 0.5,
        extension_profile=rng.choice((0xBEDE, 0x1000, 7)) if extended else None,
        extension=rng.randbytes(4 * rng.randrange(4)) if extended else b"",
    )
    link.send_packet(packet, source.index)


def bad_report(rng: random.Random, link: WhipLink) -> None:
    ssrc = rng.choice((link._video.ssrc, link._audio.ssrc, 5))
    numbers = (rng.randrange(1 << 64), rng.randrange(1 << 32), rng.randrange(1 << 32), 1)
    packets: list[rtcp.RtcpPacket] = [
        rtcp.SenderReport(ssrc, *numbers),
        rtcp.Dlrr(ssrc, ((77, rng.randrange(1 << 32), rng.randrange(1 << 32)),)),
        rtcp.Bye((ssrc,)),
    ]
    link.pair.caller.send_rtcp([rng.choice(packets)])


@pytest.mark.parametrize("seed", range(8))
def test_nothing_raises_and_the_picture_comes_back(seed: int) -> None:
    rng = random.Random(seed)
    link = WhipLink(seed=seed)
    link.run(1)
    for _ in range(150):
        link.step()
        for source in (link._video, link._audio, link._rtx, Source(rng.randrange(1 << 32), rng.randrange(128))):
            if rng.random() < 0.3:
                bad_packet(rng, link, source)
        if rng.random() < 0.3:
            bad_report(rng, link)
    link.run(6)
    assert not link.closed
    assert link.session.is_publishing
    before = len(link.reader.pictures)
    link.run(2)
    assert len(link.reader.pictures) - before >= 0.9 * 2 / FRAME
    assert all(
        later.dts > earlier.dts for earlier, later in zip(link.reader.pictures, link.reader.pictures[1:], strict=False)
    )

"""The load publisher by WHIP, against the real ingest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from itertools import islice, pairwise
from typing import Any

import pytest

from bench.clip import STAMP_EVERY, Clip, ClipOptions, make_clip
from bench.publisher import open_publisher
from bench.stamp import find_ns
from bench.whip_media import WhipMedia
from bench.whip_publisher import WhipPublisher
from media.reasons import STOPPED
from tests.support.whip_link import Collector
from tests.support.whip_show import KEY, whip_show
from wire.codecs.opus import packet_samples
from wire.flv import VIDEO
from wire.rtp import h264

SMALL = ClipOptions(width=320, height=180, bitrate=300_000)
PATIENCE = 20
"""Seconds for a handshake and the first picture and sound, on a busy machine."""


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(SMALL)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


def test_the_clip_goes_round_in_rtp_time(clip: Clip) -> None:
    media = WhipMedia(clip)
    lap = len([tag for tag in clip.tags if tag.kind == VIDEO]) + clip.length_ms // 20
    shots = list(islice(media.shots(), 2 * lap + 1))
    assert all(later.at_ms >= earlier.at_ms for earlier, later in pairwise(shots))
    sounds = [shot.rtp_time for shot in shots if not shot.is_video]
    assert {later - earlier for earlier, later in pairwise(sounds)} == {960}
    assert shots[lap].rtp_time == shots[0].rtp_time + 90 * clip.length_ms


def test_a_picture_carries_its_time_and_a_keyframe_its_parameter_sets(clip: Clip) -> None:
    media = WhipMedia(clip)
    first = next(shot for shot in media.shots() if shot.is_video)
    depacketiser = h264.H264Depacketiser()
    nals = [nal for payload in media.payloads(first, 1234) for nal in depacketiser.receive(payload)]
    assert {7, 8, 5, 6} <= {nal[0] & 0x1F for nal in nals}
    assert find_ns(b"".join(nals)) == 1234
    sound = next(shot for shot in media.shots() if not shot.is_video)
    assert packet_samples(media.payloads(sound, 0)[0]) == 960


def test_it_is_published_and_takes_its_leave(clip: Clip) -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            publisher = open_publisher(f"{show.url}?key={KEY}", clip)
            assert isinstance(publisher, WhipPublisher)
            await asyncio.to_thread(publisher.connect)
            stop = threading.Event()
            sending = asyncio.create_task(asyncio.to_thread(publisher.run, stop.wait))
            reader = Collector()
            stream = await show.hub.subscribe("demo", PATIENCE)
            stream.attach(reader)
            await reader.until(lambda: len(reader.pictures) >= 30 and len(reader.sounds) > 30)
            stop.set()
            await sending
            await asyncio.to_thread(publisher.close)
            assert not show.whip.sessions()
            stamped = [bool(find_ns(b"".join(unit.parts))) for unit in reader.pictures]
            assert stamped == [number % STAMP_EVERY == 0 for number in range(len(stamped))]
            assert publisher.bytes_sent > 30_000

    run(scenario())


def test_a_refusal_and_an_end_are_told_in_a_sentence(clip: Clip) -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            publisher = open_publisher(f"{show.url}?key=wrong", clip)
            with pytest.raises(ConnectionError, match="403"):
                await asyncio.to_thread(publisher.connect)
            publisher.close()
            publisher = open_publisher(f"{show.url}?key={KEY}", clip)
            await asyncio.to_thread(publisher.connect)
            stop = threading.Event()
            sending = asyncio.create_task(asyncio.to_thread(publisher.run, stop.wait))
            await show.hub.subscribe("demo", PATIENCE)
            show.hub.end("demo", STOPPED)
            with pytest.raises(ConnectionError, match="goodbye"):
                await sending
            await asyncio.to_thread(publisher.close)

    run(scenario())

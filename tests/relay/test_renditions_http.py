"""Renditions over HTTP: what may be asked for, what is pinned, what a viewer gets that asks for nothing."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import av
import pytest

from media.rung import Rendition
from media.track import SOURCE, Codec
from relay.flv_choice import FlvChoice, choose_rendition
from relay.whep_offer import can_carry, choose_picture
from tests.support.encoders import Shown, read_codes
from tests.support.flv import FlvFile, read_flv
from tests.support.ladder import LOW, LOWEST, SourceFilm, rung
from tests.support.ladder_node import LadderNode, ladder_node
from tests.support.offers import offer
from tests.support.units import hevc_track, video_track
from tests.support.whep_client import viewer
from tests.support.whep_node import ask, post
from wire import sdp

HEVC = Rendition("180p-hevc", Codec.H265, "hvc1.1.6.L63.B0", 320, 180, 25.0, 150_000, is_made=False)


@cache
def film(bframes: int = 0, profile: str = "baseline") -> SourceFilm:
    return SourceFilm(900, size=(320, 180), gop=25, bframes=bframes, bitrate=400_000, profile=profile)


@asynccontextmanager
async def live(
    tmp_path: Path, *, bframes: int = 0, rungs: tuple[Rendition, ...] = (LOW, LOWEST)
) -> AsyncIterator[LadderNode]:
    profile = "high" if bframes else "baseline"
    async with ladder_node(tmp_path, film(bframes, profile), rungs) as node:
        yield node


async def watch(url: str, *, pictures: int) -> tuple[FlvFile, bytes]:
    """So many pictures of an FLV stream."""
    data = bytearray()
    async with asyncio.timeout(20), aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200, await response.text()
        while True:
            data += await response.content.readany()
            file = read_flv(data)
            if len(file.pictures) >= pictures:
                return file, bytes(data)


def sizes_of(data: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of the first picture and of the last."""
    with av.open(io.BytesIO(data), format="flv") as container:
        frames = list(container.decode(video=0))
    return (frames[0].width, frames[0].height), (frames[-1].width, frames[-1].height)


async def test_the_list_is_for_everybody_and_may_be_kept_for_a_second(tmp_path: Path) -> None:
    async with live(tmp_path) as node:
        await node.steps(40)
        status, headers, body = await ask("GET", f"{node.base}/live/demo/renditions")
        assert status == 200
        assert headers["cache-control"] == "public, max-age=1"
        assert headers["access-control-allow-origin"] == "*"
        listed = json.loads(body)
        assert listed["default"] == "auto"
        assert [entry["name"] for entry in listed["renditions"]] == [SOURCE, "180p", "90p"]
        source, low, _ = listed["renditions"]
        assert source["codec"].startswith("avc1.42")
        assert (source["width"], source["height"], source["frame_rate"]) == (320, 180, 25.0)
        assert 200_000 < source["bitrate"] < 600_000
        assert (low["codec"], low["bitrate"]) == ("avc1.42c00d", 250_000)
        status, headers, _ = await ask("GET", f"{node.base}/live/nobody/renditions")
        assert (status, "retry-after" in headers) == (404, True)


async def test_without_a_ladder_there_is_the_source(tmp_path: Path) -> None:
    async with live(tmp_path, rungs=()) as node:
        _, _, body = await ask("GET", f"{node.base}/live/demo/renditions")
        assert json.loads(body)["default"] == SOURCE


async def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    async with live(tmp_path) as node:
        for status, _, body in (
            await ask("GET", f"{node.base}/live/demo.flv?rendition=4k"),
            await post(f"{node.live.whep}?rendition=4k"),
        ):
            assert status == 404
            assert "source, 180p, 90p" in json.loads(body)["detail"]


async def test_a_pinned_rung_is_made_on_demand_and_the_source_bridges_the_wait(tmp_path: Path) -> None:
    async with live(tmp_path) as node:
        assert not node.ladder.wanted
        published = node.ladder.sent
        file, data = await watch(f"{node.base}/live/demo.flv?rendition=90p", pictures=60)
        assert sizes_of(data) == ((320, 180), (160, 90))
        numbers = [code.code_ms for code in _codes(data)]
        assert numbers[0] < published, "it was there already"
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "nothing is lost on the way"
        assert len(file.scripts("onTimeline")) == 1
        async with asyncio.timeout(5):
            while node.ladder.wanted:
                await asyncio.sleep(0.02)


async def test_a_viewer_that_asks_for_nothing_or_for_auto_begins_with_the_source(tmp_path: Path) -> None:
    async with live(tmp_path) as node:
        for query in ("", "?rendition=auto"):
            published = node.ladder.sent
            _, data = await watch(f"{node.base}/live/demo.flv{query}", pictures=30)
            assert set(sizes_of(data)) == {(320, 180)}
            assert _codes(data)[0].code_ms < published, "it was there already"
        assert not node.ladder.wanted, "nothing is encoded for them"


async def test_a_webrtc_viewer_gets_the_best_rung_where_it_cannot_take_the_source(tmp_path: Path) -> None:
    async with live(tmp_path, bframes=2) as node, viewer(node.live.whep) as client:
        await client.until(30)
        (session,) = node.live.node.webrtc.whep.sessions()
        assert session.renditions == ("180p",)
        assert node.ladder.wanted == {"180p"}


async def test_a_pinned_rung_by_webrtc(tmp_path: Path) -> None:
    async with live(tmp_path) as node, viewer(f"{node.live.whep}?rendition=90p") as client:
        await client.until(60)
        async with asyncio.timeout(5):
            while node.live.node.webrtc.whep.sessions()[0].renditions != ("90p",):
                await asyncio.sleep(0.02)


async def test_where_no_rung_fits_the_reason_is_told(tmp_path: Path) -> None:
    async with live(tmp_path, bframes=2, rungs=(HEVC,)) as node:
        status, _, body = await post(node.live.whep)
        assert status == 422
        assert "B-frames" in json.loads(body)["detail"]
        status, _, body = await post(f"{node.live.whep}?rendition=180p-hevc")
        assert status == 422
        assert "hvc1" in json.loads(body)["detail"]


async def test_operators_and_metrics_see_what_each_viewer_is_shown(tmp_path: Path) -> None:
    async with live(tmp_path) as node, aiohttp.ClientSession() as session:
        async with (
            session.get(f"{node.base}/live/demo.flv?rendition=90p") as response,
            viewer(node.live.whep) as client,
        ):
            await client.until(30)
            async with asyncio.timeout(10):
                while node.live.node.flv.viewers()[0][1] != "90p":
                    await response.content.readany()
            _, _, metrics = await ask("GET", f"{node.base}/metrics")
        assert 'streamer_rendition_viewers{transport="flv",rendition="90p"} 1' in metrics
        assert 'streamer_rendition_viewers{transport="whep",rendition="source"} 1' in metrics
        assert 'streamer_switches_total{transport="flv",direction="down",reason="asked"} 1' in metrics


def test_h265_is_for_players_that_ask_for_it() -> None:
    def stream(source: Codec, *rungs: Rendition) -> Any:
        track = hevc_track() if source is Codec.H265 else video_track()
        return SimpleNamespace(
            key="room",
            source_video=track,
            renditions={SOURCE: track},
            could_encode=lambda: rungs,
            frame_rate=25.0,
            bitrate=lambda name: None,
            source_is_reordered=False,
        )

    both = (HEVC, LOW)
    assert choose_rendition(stream(Codec.H264, *both), None, "") == FlvChoice(SOURCE)
    assert choose_rendition(stream(Codec.H264, *both), None, "h265") == FlvChoice("180p-hevc")
    assert choose_rendition(stream(Codec.H264, *both), "180p-hevc", "") == FlvChoice("180p-hevc", "180p-hevc")
    assert choose_rendition(stream(Codec.H264, *both), "180p", "") == FlvChoice(SOURCE, "180p"), "bridged"
    assert choose_rendition(stream(Codec.H265, *both), None, "") == FlvChoice("180p")
    assert choose_rendition(stream(Codec.H265, *both), None, "h265") == FlvChoice(SOURCE)
    assert choose_rendition(stream(Codec.H265), None, "") == FlvChoice(SOURCE), "there is nothing else"


@pytest.mark.parametrize(
    ("offered", "agreed", "carried"),
    [
        ("chromium-viewer", "avc1.42e01f", ["avc1.42c00d", "avc1.42e01f"]),
        ("safari-viewer", "avc1.640028", ["avc1.42c00d", "avc1.4d001f", "avc1.64001f"]),
    ],
)
def test_only_what_was_agreed_on_is_sent(offered: str, agreed: str, carried: list[str]) -> None:
    def named(codec: str) -> Rendition:
        return Rendition("x", Codec.H264, codec, 320, 180, 25.0, 100_000, is_made=True)

    rendition, codec = choose_picture(offer(offered), [named(agreed)])
    assert rendition is not None
    assert codec is not None
    every = ["avc1.42c00d", "avc1.42e01f", "avc1.4d001f", "avc1.64001f"]
    assert set(carried) <= {name for name in every if can_carry(codec, named(name))}
    if sdp.h264_profile(codec)[0] == 0x42:
        assert not can_carry(codec, named("avc1.64001f"))
    reordered = Rendition("x", Codec.H264, agreed, 320, 180, 25.0, 100_000, is_made=True, reorders=True)
    assert not can_carry(codec, reordered)
    assert not can_carry(codec, HEVC), "another family"
    assert choose_picture(offer(offered), [reordered]) == (None, None)


def test_a_profile_that_is_not_offered_goes_to_the_next_rung() -> None:
    high = rung("source", 640, 360, 1_000_000)
    object.__setattr__(high, "codec_string", "avc1.7a001f")
    rendition, _ = choose_picture(offer("chromium-viewer"), [high, LOW])
    assert rendition is LOW


def _codes(data: bytes) -> list[Shown]:
    with av.open(io.BytesIO(data), format="flv") as container:
        return read_codes(container)

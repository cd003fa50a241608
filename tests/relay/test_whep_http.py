"""WHEP's HTTP half on a real node: what is answered to good and bad requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.rtp import rtp_origin
from relay.whep_session import WhepSession
from streamer.address import AddressList
from streamer.config import WebRtcSettings
from tests.support.offers import text
from tests.support.whep_node import ROOM, LiveNode, ask, config, post, publishing, whep_node
from wire import sdp

FRAGMENT = "application/trickle-ice-sdpfrag"
RESTART = "a=ice-ufrag:NEWu\r\na=ice-pwd:newPasswordNewPassword12\r\n"
CANDIDATE = "a=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveNode]:
    async with whep_node(config(tmp_path)) as node:
        yield node


async def test_an_offer_is_answered_with_a_session(live: LiveNode) -> None:
    async with publishing(live.hub) as stream:
        status, headers, body = await post(live.whep)
        assert status == 201
        assert headers["content-type"] == "application/sdp"
        assert re.fullmatch(rf"{live.base}/whep/{ROOM}/[\w-]{{24}}", headers["location"])
        assert headers["etag"] == '"1-1"'
        assert headers["accept-patch"] == FRAGMENT
        assert headers["access-control-allow-origin"] == "*"
        exposed = headers["access-control-expose-headers"].split(", ")
        assert {"Location", "Link", "ETag", "Streamer-Timeline"} <= set(exposed)
        timeline = dict(field.split("=") for field in headers["streamer-timeline"].split(";"))
        assert timeline["epoch"] == stream.epoch
        assert int(timeline["rtp"]) == (rtp_origin(stream.epoch) + int(timeline["t"])) & 0xFFFFFFFF
        answer = sdp.parse(body)
        video = next(section for section in answer.sections if section.kind == "video")
        audio = next(section for section in answer.sections if section.kind == "audio")
        assert video.direction == "sendonly"
        assert video.codecs[0].name == "H264"
        assert [extension.uri for extension in video.extensions] == [sdp_extension("abs-send-time")]
        assert audio.rejected
        assert video.mid in answer.bundle
        assert audio.mid not in answer.bundle
        assert answer.ice_lite
        assert f"127.0.0.1 {live.udp.port} typ host" in video.candidates[0]
        assert "tcptype passive" in video.candidates[-1]
        assert live.node.webrtc.whep.viewer_count == 1


def sdp_extension(name: str) -> str:
    return f"http://www.webrtc.org/experiments/rtp-hdrext/{name}"


@pytest.mark.parametrize("name", ["chromium-viewer", "safari-viewer", "aiortc-viewer"])
async def test_every_player_with_h264_gets_a_payload_type_of_its_own(live: LiveNode, name: str) -> None:
    async with publishing(live.hub):
        status, _, body = await post(live.whep, text(name))
        assert status == 201
        video = next(section for section in sdp.parse(body).sections if section.kind == "video")
        offered = next(section for section in sdp.parse(text(name)).sections if section.kind == "video")
        codec = offered.codec(video.codecs[0].payload_type)
        assert codec is not None
        assert codec.parameter("packetization-mode") == "1"


async def test_a_session_ends_with_delete(live: LiveNode) -> None:
    async with publishing(live.hub) as stream:
        _, headers, _ = await post(live.whep)
        assert stream.demand
        assert (await ask("DELETE", headers["location"]))[0] == 200
        assert live.node.webrtc.whep.viewer_count == 0
        assert live.node.webrtc.endpoint.peers == 0
        assert not stream.demand
        assert (await ask("DELETE", headers["location"]))[0] == 404


async def test_a_session_is_known_under_its_own_room_only(live: LiveNode) -> None:
    async with publishing(live.hub):
        _, headers, _ = await post(live.whep)
        elsewhere = headers["location"].replace(f"/{ROOM}/", "/other/")
        assert (await ask("DELETE", elsewhere))[0] == 404
        assert live.node.webrtc.whep.viewer_count == 1


async def test_candidates_may_be_trickled_and_are_not_needed(live: LiveNode) -> None:
    async with publishing(live.hub):
        _, headers, _ = await post(live.whep)
        location, etag = headers["location"], headers["etag"]
        assert (await ask("PATCH", location, CANDIDATE, {"Content-Type": FRAGMENT, "If-Match": etag}))[0] == 204
        assert (await ask("PATCH", location, CANDIDATE, {"Content-Type": FRAGMENT}))[0] == 428
        assert (await ask("PATCH", location, CANDIDATE, {"Content-Type": FRAGMENT, "If-Match": '"9-9"'}))[0] == 412
        assert (await ask("PATCH", location, CANDIDATE, {"Content-Type": "text/plain", "If-Match": etag}))[0] == 415
        assert (await ask("PATCH", location, "a=ice-ufrag:x", {"Content-Type": FRAGMENT, "If-Match": etag}))[0] == 400


async def test_an_ice_restart_gets_new_credentials_and_a_new_tag(live: LiveNode) -> None:
    async with publishing(live.hub):
        _, headers, first = await post(live.whep)
        status, new, body = await ask(
            "PATCH", headers["location"], RESTART, {"Content-Type": FRAGMENT, "If-Match": "*"}
        )
        assert status == 200
        assert new["content-type"] == FRAGMENT
        assert new["etag"] == '"1-2"'
        ufrag = re.search(r"a=ice-ufrag:(\S+)", body)
        assert ufrag is not None
        assert ufrag[1] not in first
        assert "a=candidate:" in body
        stale = {"Content-Type": FRAGMENT, "If-Match": headers["etag"]}
        assert (await ask("PATCH", headers["location"], CANDIDATE, stale))[0] == 412


async def test_options_say_what_may_be_posted(live: LiveNode) -> None:
    for url in (live.whep, f"{live.whep}/session"):
        status, headers, _ = await ask("OPTIONS", url)
        assert status == 204
        assert headers["accept-post"] == "application/sdp"
        assert "PATCH" in headers["access-control-allow-methods"]
        assert "If-Match" in headers["access-control-allow-headers"]
        assert headers["access-control-allow-origin"] == "*"


async def problem(live: LiveNode, url: str, body: str | bytes | None = None, **options: str) -> tuple[int, str]:
    status, headers, answer = await post(url, body, **options)
    assert headers["content-type"].startswith("application/problem+json")
    details = json.loads(answer)
    assert details["status"] == status
    assert live.node.webrtc.endpoint.peers == 0, "a refusal leaves nothing behind"
    if status in (409, 503):
        assert int(headers["retry-after"]) > 0
    return status, details["detail"]


async def test_what_is_no_offer_is_refused(live: LiveNode) -> None:
    async with publishing(live.hub):
        assert (await problem(live, live.whep, content_type="text/plain"))[0] == 415
        for body in ("", "hello", b"\xff\xfe\x00", "v=0\r\nm=video", text("chromium-viewer")[:200]):
            assert (await problem(live, live.whep, body))[0] in (400, 422)
        assert (await ask("GET", live.whep))[0] == 405


async def test_a_room_that_is_not_live_is_waited_for_and_then_refused(live: LiveNode) -> None:
    status, detail = await problem(live, live.whep)
    assert status == 409
    assert "not live" in detail


async def test_a_player_that_is_early_gets_its_answer_when_the_show_begins(tmp_path: Path) -> None:
    import asyncio

    async with whep_node(config(tmp_path, webrtc=WebRtcSettings(join_wait_s=10))) as live:
        waiting = asyncio.create_task(post(live.whep))
        async with asyncio.timeout(5):
            while not live.hub._waiting:
                await asyncio.sleep(0.01)
        async with publishing(live.hub):
            assert (await waiting)[0] == 201


async def test_a_room_that_does_not_exist_is_not_waited_for(tmp_path: Path) -> None:
    async with whep_node(config(tmp_path, is_open=False, webrtc=WebRtcSettings(join_wait_s=30))) as live:
        assert (await problem(live, live.whep))[0] == 404


async def test_an_unknown_rendition_is_refused_with_the_known_ones(live: LiveNode) -> None:
    async with publishing(live.hub):
        status, detail = await problem(live, f"{live.whep}?rendition=720p")
        assert status == 404
        assert "source" in detail


async def test_a_player_without_h264_is_told_why(live: LiveNode) -> None:
    async with publishing(live.hub):
        offer = text("chromium-viewer").replace("H264/90000", "H26X/90000")
        status, detail = await problem(live, live.whep, offer)
        assert status == 422
        assert "does not offer H.264" in detail


async def test_a_picture_with_b_frames_is_refused_with_what_to_do(live: LiveNode) -> None:
    async with publishing(live.hub, reordered=True) as stream:
        status, detail = await problem(live, live.whep)
        assert status == 422
        assert "B-frames" in detail
        assert "-bf 0" in detail
        assert not stream.demand


async def test_an_offer_that_only_sends_gets_nothing(live: LiveNode) -> None:
    async with publishing(live.hub):
        assert (await problem(live, live.whep, text("chromium-publisher")))[0] == 422


async def test_a_full_node_says_when_to_come_back(tmp_path: Path) -> None:
    async with (
        whep_node(config(tmp_path, webrtc=WebRtcSettings(join_wait_s=0.3, max_viewers=2))) as live,
        publishing(live.hub),
    ):
        for _ in range(2):
            assert (await post(live.whep))[0] == 201
        status, headers, _ = await post(live.whep)
        assert (status, headers["retry-after"]) == (503, "5")


async def test_half_open_peers_of_one_address_are_bounded(tmp_path: Path) -> None:
    settings = WebRtcSettings(join_wait_s=0.3, max_half_open_per_address=3)
    async with whep_node(config(tmp_path, webrtc=settings)) as live, publishing(live.hub):
        for _ in range(3):
            assert (await post(live.whep))[0] == 201
        status, _, body = await post(live.whep)
        assert status == 503
        assert "3 peers" in json.loads(body)["detail"]
        assert live.node.webrtc.whep.viewer_count == live.node.webrtc.endpoint.half_open == 3


async def test_public_addresses_are_told_and_names_never_are(tmp_path: Path) -> None:
    settings = WebRtcSettings(
        join_wait_s=0.3, public_addresses=AddressList(("192.0.2.7", "localhost", "[2001:db8::7]:30189"))
    )
    async with whep_node(config(tmp_path, webrtc=settings)) as live, publishing(live.hub):
        _, _, body = await post(live.whep)
        candidates = [line for line in body.splitlines() if line.startswith("a=candidate:") and " udp " in line]
        assert f" 192.0.2.7 {live.udp.port} " in candidates[0]
        assert any(f" 127.0.0.1 {live.udp.port} " in line for line in candidates)
        assert " 2001:db8::7 30189 " in candidates[-1]
        assert "localhost" not in body


async def test_metrics_count_viewers_and_refusals(live: LiveNode) -> None:
    async with publishing(live.hub):
        await post(live.whep)
        await post(live.whep, "nonsense")
        _, _, metrics = await ask("GET", f"{live.base}/metrics")
        assert "streamer_whep_viewers 1" in metrics
        assert "streamer_webrtc_half_open 1" in metrics
        assert 'streamer_whep_refused_total{status="400"} 1' in metrics


async def test_an_error_in_one_session_ends_that_one_alone(
    live: LiveNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticked: list[int] = []

    def tick(session: WhepSession, now: float) -> None:
        if session.number == 1:
            raise OverflowError("int too big to convert")
        ticked.append(session.number)

    monkeypatch.setattr(WhepSession, "tick", tick)
    async with publishing(live.hub):
        for _ in range(2):
            assert (await post(live.whep))[0] == 201
        whep = live.node.webrtc.whep
        async with asyncio.timeout(10):
            while whep.viewer_count > 1 or not ticked:
                await asyncio.sleep(0.01)
        assert whep.closed == {"reconnect": 1}
        assert [session.number for session in whep.sessions()] == [2]
    assert "OverflowError: int too big to convert" in caplog.text

"""WHIP over HTTP (RFC 9725), against the real site and the real endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import aiohttp
import pytest

from ingest.whip_handler import WhipLimits
from ingest.whip_session import WhipSession
from media.hub import HubLimits
from streamer.webrtc_endpoint import EndpointLimits
from tests.support import offers
from tests.support.whip_show import KEY, WhipShow, whip_show
from wire import sdp, whip
from wire.dtls import DtlsRole

BEARER = {"Authorization": f"Bearer {KEY}"}
SDP = {**BEARER, "Content-Type": "application/sdp"}


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


async def post(
    show: WhipShow, offer: str = "obs-publisher", *, room: str = "demo", **headers: str
) -> tuple[aiohttp.ClientResponse, str]:
    body = offers.text(offer) if offer in offers.PUBLISHERS + offers.VIEWERS else offer
    return await ask("POST", f"{show.base}/whip/{room}", body, {**SDP, **headers})


async def ask(
    method: str, url: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[aiohttp.ClientResponse, str]:
    async with aiohttp.ClientSession() as client, client.request(method, url, data=body, headers=headers) as response:
        return response, await response.text()


@pytest.mark.parametrize("name", offers.PUBLISHERS)
def test_every_publisher_gets_an_answer_that_it_can_use(name: str) -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, text = await post(show, name)
            assert response.status == 201
            assert response.content_type == "application/sdp"
            location = response.headers["Location"]
            assert location.startswith(f"{show.base}/whip/demo/")
            assert "?" not in location, "OBS drops the query"
            assert response.headers["ETag"]
            offer, answer = offers.offer(name), sdp.parse(text)
            assert len(answer.sections) == len(offer.sections)
            video = next(section for section in answer.sections if section.kind == "video")
            assert video.direction == "recvonly"
            assert video.candidates, "OBS never hears of another candidate"
            assert video.receive_rids == next(s for s in offer.sections if s.kind == "video").send_rids
            assert "video-orientation" not in text
            passive = any(section.setup == "passive" for section in offer.sections)
            assert video.setup == (DtlsRole.CLIENT if passive else DtlsRole.SERVER).value

    run(scenario())


def test_sound_is_asked_for_in_stereo() -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            _, text = await post(show, "chromium-publisher")
            audio = next(section for section in sdp.parse(text).sections if section.kind == "audio")
            assert audio.codecs[0].parameter("stereo") == "1"

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Authorization": f"bearer  {KEY}"}, 201),
    ],
)
def test_who_may_publish_and_what(headers: dict[str, str], status: int) -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, text = await post(show, **headers)
            assert response.status == status
            if status == 401:
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
            if status >= 400:
                assert response.content_type == "application/problem+json"
                assert KEY not in text
                assert show.whip.refused[str(status)] == 1
            if status == 415:
                assert response.headers["Accept-Post"] == "application/sdp"

    run(scenario())


def test_who_tried_wrong_keys_is_told_to_wait() -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, _ = await post(show, room="locked")
            assert (response.status, response.headers["Retry-After"]) == (403, "3")

    run(scenario())


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        ("", 400),
        ("v=0\r\no=x", 400),
        ("hello", 400),
        ("chromium-viewer", 422),
        (offers.text("obs-publisher").replace("H264", "VP8").replace("opus", "PCMU"), 422),
        (offers.text("obs-publisher").replace("a=rtcp-mux\r\n", ""), 422),
        (offers.text("obs-publisher").replace("a=fingerprint:", "a=x:"), 422),
    ],
)
def test_offers_that_cannot_be_taken(offer: str, status: int) -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, text = await post(show, offer)
            assert response.status == status, text
            assert not show.whip.sessions()

    run(scenario())


def test_delete_ends_a_session_once_and_is_friendly_twice() -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, _ = await post(show)
            location = response.headers["Location"]
            assert len(show.whip.sessions()) == 1
            for _ in range(2):
                ended, _ = await ask("DELETE", location)
                assert ended.status == 200
            assert not show.whip.sessions()
            wrong_room, _ = await ask("DELETE", location.replace("/demo/", "/other/"))
            assert wrong_room.status == 404
            unknown, _ = await ask("DELETE", f"{show.url}/nobody", headers=BEARER)
            assert unknown.status == 404

    run(scenario())


def test_patch_trickles_restarts_and_refuses() -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, _ = await post(show, "chromium-publisher")
            location, etag = response.headers["Location"], response.headers["ETag"]
            old = next(section.ice for section in offers.offer("chromium-publisher").sections if section.ice)
            kind = {"Content-Type": whip.FRAGMENT_TYPE}
            same = f"a=ice-ufrag:{old.ufrag}\r\na=ice-pwd:{old.password}\r\n"
            trickle, _ = await ask("PATCH", location, same, {**kind, "If-Match": etag})
            assert trickle.status == 204
            missing, _ = await ask("PATCH", location, same, kind)
            assert missing.status == 428
            stale, _ = await ask("PATCH", location, same, {**kind, "If-Match": '"old"'})
            assert stale.status == 412
            other, _ = await ask("PATCH", location, same, {"If-Match": etag, "Content-Type": "text/plain"})
            assert other.status == 415
            broken, _ = await ask("PATCH", location, "hello", {**kind, "If-Match": etag})
            assert broken.status == 400
            fresh = "a=ice-ufrag:newer\r\na=ice-pwd:0123456789012345678901\r\n"
            restart, text = await ask("PATCH", location, fresh, {**kind, "If-Match": "*"})
            assert restart.status == 200
            assert restart.headers["ETag"] != etag
            assert "a=ice-ufrag:" in text
            assert "a=candidate:" in text

    run(scenario())


def test_options_say_what_may_be_posted() -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            response, _ = await ask("OPTIONS", show.url)
            assert response.status == 204
            assert response.headers["Accept-Post"] == "application/sdp"
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
            assert (await ask("GET", show.url))[0].status == 405

    run(scenario())


def test_limits_answer_503_with_a_time() -> None:
    async def scenario() -> None:
        async with whip_show(limits=WhipLimits(max_publishers=1)) as show:
            assert (await post(show))[0].status == 201
            response, _ = await post(show)
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
        async with whip_show(endpoint_limits=EndpointLimits(max_half_open=0)) as show:
            assert (await post(show))[0].status == 503
            assert not show.whip.sessions()
        async with whip_show(hub_limits=HubLimits(max_streams=0)) as show:
            assert (await post(show))[0].status == 503

    run(scenario())


def test_two_encoders_that_fight_are_answered_409() -> None:
    async def scenario() -> None:
        async with whip_show() as show:
            for _ in range(4):
                show.hub.claim("demo", peer="somebody", on_displaced=lambda reason: None)
            response, text = await post(show)
            assert response.status == 409
            assert 0 < int(response.headers["Retry-After"]) <= 30
            assert '"code": 4100' in text

    run(scenario())


def test_an_error_in_one_session_ends_that_one_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticked: list[int] = []

    def tick(session: WhipSession, now: float) -> None:
        if session.number == 1:
            raise OverflowError("int too big to convert")
        ticked.append(session.number)

    async def scenario() -> None:
        monkeypatch.setattr(WhipSession, "tick", tick)
        async with whip_show() as show:
            location = (await post(show))[0].headers["Location"]
            await post(show, room="other")
            async with asyncio.timeout(10):
                while show.whip.closed.total() < 1 or not ticked:
                    await asyncio.sleep(0.01)
            assert show.whip.closed == {"protocol": 1}
            assert [session.number for session in show.whip.sessions()] == [2]
            response, text = await ask("DELETE", location)
            assert (response.status, "4102" in text) == (404, True)

    run(scenario())
    assert "OverflowError: int too big to convert" in caplog.text

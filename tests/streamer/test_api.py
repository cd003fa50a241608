"""The operator's API on a whole node with a real encoder: what it shows, what it stops, whom it lets in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from media.reasons import STOPPED
from streamer.api_description import describe_api
from streamer.api_operations import OPERATIONS, PREFIX, Who
from streamer.config import AccessSettings
from tests.support.json_schema import complaints
from tests.support.live import encoder
from tests.support.running import ROOM_KEY, Answer, RunningNode, on_uvloop, running_node, settings_in

STREAM = f"{PREFIX}/streams/demo"
LIVE = "body['health']['video'] and body['health']['video']['bitrate'] and body['counters']['audio_units'] > 40"


def check(answer: Answer, operation: str) -> Any:
    """The answer is as the description has it; its body."""
    document = describe_api()
    described = next(
        item for path in document["paths"].values() for item in path.values() if item["operationId"] == operation
    )
    responses = described["responses"]
    assert str(answer.status) in responses, f"{operation} answered {answer.status}: {answer.body}"
    content = responses[str(answer.status)].get("content", {})
    for media_type, form in content.items():
        assert answer.headers["Content-Type"].startswith(media_type)
        assert list(complaints(answer.body, form["schema"], document)) == []
    if not content:
        assert answer.body == ""
    for name in responses[str(answer.status)].get("headers", {}):
        assert name in answer.headers
    return answer.body


def test_routes_and_description_are_the_same_operations(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            assert running.node._site is not None
            app = running.node._site._runner.app
            routed = {
                (route.method, route.resource.canonical)
                for route in app.router.routes()
                if route.resource is not None
                and route.resource.canonical.startswith("/api/")
                and route.method != "HEAD"  # which every GET answers
            }
            described = (await running.ask(f"{PREFIX}/openapi.json", key=None)).body
        assert described == describe_api()
        assert described["openapi"] == "3.1.0"
        in_description = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
        assert routed == in_description
        assert len(in_description) == len(OPERATIONS)

    on_uvloop(scenario())


def test_a_stream_is_listed_and_shown_with_all_that_is_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, encoder(running.publish_url()):
            await running.until(f"{PREFIX}/streams", "body['streams']")
            viewer = await running.watch()
            await running.until(STREAM, f"{LIVE} and abs(body['wall']['t'] - body['live_edge']) < 90_000")
            shown = check(await running.ask(STREAM), "get_stream")
            listed = check(await running.ask(f"{PREFIX}/streams"), "list_streams")["streams"][0]
            check(await running.ask(STREAM, key=ROOM_KEY), "get_stream")
            viewer.close()
        assert (shown["room"], shown["state"], shown["viewers"]) == ("demo", "live", 1)
        assert (listed["video"], listed["audio"], listed["viewers"]) == ("h264", "aac", 1)
        assert listed["epoch"] == shown["epoch"]
        assert shown["publisher"]["peer"] == "127.0.0.1"
        video, audio = shown["tracks"]
        assert (video["codec"], video["width"], video["height"], video["frame_rate"]) == ("h264", 320, 240, 25)
        assert video["codec_string"].startswith("avc1.")
        assert video["bitrate"] > 10_000
        assert (audio["codec_string"], audio["sample_rate"], audio["channels"]) == ("mp4a.40.2", 48_000, 1)
        assert shown["counters"]["video_units"] > 20
        assert shown["counters"]["bytes_out"] > 1_000
        assert shown["buffered_bytes"] > 1_000
        assert shown["health"]["findings"][0]["text"]
        assert shown["recording"] is None

    on_uvloop(scenario())


def test_viewers_are_listed_by_room_and_node_and_closed_one_by_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, encoder(running.publish_url()):
            await running.until(STREAM, "body['tracks']")
            first = await running.watch()
            socket = await running.client.ws_connect(f"{running.base}/live/demo.flv")
            assert (await socket.receive_bytes())[:3] == b"FLV"
            listed = check(await running.ask(f"{STREAM}/viewers"), "list_stream_viewers")
            assert listed["total"] == 2
            one, two = listed["viewers"]
            assert (one["transport"], two["transport"]) == ("http-flv", "ws-flv")
            assert (one["room"], one["rendition"], one["peer"]) == ("demo", "source", "127.0.0.1")
            assert one["bytes"] > 0
            limited = check(await running.ask(f"{PREFIX}/viewers?limit=1"), "list_viewers")
            assert (limited["total"], [v["id"] for v in limited["viewers"]]) == (2, [one["id"]])
            assert check(await running.ask(f"{PREFIX}/viewers/{two['id']}"), "get_viewer")["id"] == two["id"]
            check(await running.ask(f"{PREFIX}/viewers/{two['id']}", "DELETE"), "close_viewer")
            assert await close_code(socket) == STOPPED.code
            await running.until(f"{PREFIX}/viewers", "body['total'] == 1")
            for method, operation in (("GET", "get_viewer"), ("DELETE", "close_viewer")):
                answer = await running.ask(f"{PREFIX}/viewers/{two['id']}", method)
                assert check(answer, operation)["status"] == 404
            assert await first.content.read(1), "the other one goes on"
            first.close()

    on_uvloop(scenario())


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
        pass
    return socket.close_code


def test_a_broadcast_is_ended_for_its_publisher_and_its_viewers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running, encoder(running.publish_url()) as _:
            await running.until(STREAM, "body['tracks']")
            socket = await running.client.ws_connect(f"{running.base}/live/demo.flv")
            check(await running.ask(f"{STREAM}?block=60", "DELETE"), "end_stream")
            assert await close_code(socket) == STOPPED.code
            assert check(await running.ask(STREAM), "get_stream")["code"] == 4104
            listed = check(await running.ask(f"{PREFIX}/streams"), "list_streams")
            assert listed["streams"] == []
            assert 50 < listed["blocked"]["demo"] <= 60
            await gone(running)
            async with encoder(running.publish_url()) as again:
                assert await again.wait() != 0, "its own reconnecting does not undo the end"
            check(await running.ask(f"{STREAM}?block=0", "DELETE"), "end_stream")
            async with encoder(running.publish_url()):
                await running.until(STREAM, "body['tracks']")

    on_uvloop(scenario())


async def gone(running: RunningNode) -> None:
    """Until no publisher is connected."""
    while running.node.rtmp.connections:
        await asyncio.sleep(0.02)


def test_a_broadcast_that_waits_for_its_publisher_is_ended_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            async with encoder(running.publish_url()):
                await running.until(STREAM, "body['tracks']")
            await running.until(STREAM, "body['state'] != 'live' and body['publisher'] is None")
            check(await running.ask(STREAM, "DELETE"), "end_stream")
            assert check(await running.ask(STREAM, "DELETE"), "end_stream")["status"] == 404

    on_uvloop(scenario())


@pytest.mark.parametrize("query", ["?block=-1", "?block=x", "?block=nan", "?block=1e9", "?block="])
def test_a_wrong_number_is_refused_in_words(tmp_path: Path, query: str) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            body = check(await running.ask(STREAM + query, "DELETE"), "end_stream")
            assert (body["status"], body["detail"]) == (400, "block needs a number from 0 to 86400")
            body = check(await running.ask(f"{PREFIX}/viewers?limit=1.5"), "list_viewers")
            assert body["detail"] == "limit needs a whole number from 1 to 10000"

    on_uvloop(scenario())


def test_every_operation_but_the_description_needs_a_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            for operation in OPERATIONS:
                if operation.who is Who.ANYONE:
                    continue
                path = PREFIX + operation.path.format(room="demo", id="flv-1")
                for key in (None, "guess"):
                    answer = await running.ask(path, operation.method, key=key)
                    assert check(answer, operation.id)["status"] == 401
                    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="streamer"')
                answer = await running.ask(path, operation.method, key=ROOM_KEY)
                assert check(answer, operation.id)["status"] == (404 if operation.who is Who.HOST else 403)
            other = check(await running.ask(f"{PREFIX}/streams/other", key=ROOM_KEY), "get_stream")
            assert other["status"] == 403, "a host sees only their own room"
            operators = running.node.operators
            of_the_room = sum(operation.who is Who.HOST for operation in OPERATIONS)
            assert operators.granted == of_the_room
            assert operators.refused == 3 * (len(OPERATIONS) - 1) - of_the_room + 1

    on_uvloop(scenario())


def test_wrong_keys_make_an_address_wait_for_the_api_and_for_publishing(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = settings_in(tmp_path, access=AccessSettings(wrong_keys_free=1, backoff_first_s=50.0))
        async with running_node(config) as running:
            for expected in (401, 401, 429):
                answer = await running.ask(STREAM, key="guess")
                assert check(answer, "get_stream")["status"] == expected
            assert 40 < int(answer.headers["Retry-After"]) <= 50
            assert (await running.ask(STREAM)).status == 429, "else the wait would slow nobody who guesses"
            assert (await running.ask(STREAM, key=None)).status == 401
            decision = running.node.access.authorize_publish("demo", ROOM_KEY, "127.0.0.1", running.node.clock.now())
            assert not decision.allowed

    on_uvloop(scenario())


def test_a_rotated_operator_key_counts_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_node(settings_in(tmp_path)) as running:
            assert (await running.ask(f"{PREFIX}/streams")).status == 200
            running.node.keys.put_operator("another", created="2025-01-02T00:00:00+00:00")
            assert (await running.ask(f"{PREFIX}/streams")).status == 401
            assert (await running.ask(f"{PREFIX}/streams", key="another")).status == 200
            assert running.node.keys.revoke_operator()
            assert not running.node.keys.revoke_operator()
            assert (await running.ask(f"{PREFIX}/streams", key="another")).status == 401

    on_uvloop(scenario())

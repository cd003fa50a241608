"""Rooms through their doors, on a real Valkey: what viewers, hosts and back ends can do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from interaction.kinds import Role
from interaction.session import Session
from media.reasons import NOT_FOUND, PROTOCOL, SHUTDOWN, TOKEN_REFUSED
from tests.support.rooms import QUIET, LocalTimelines, RunningTimeline, client, node
from tests.support.stores import until

pytestmark = pytest.mark.filterwarnings("error")


def run(test: object) -> None:
    asyncio.run(test)  # type: ignore[arg-type]


async def polled(
    http: aiohttp.ClientSession, url: str, cursor: str, wanted: Callable[[dict[str, Any]], object]
) -> list[dict[str, Any]]:
    """The answers up to the wanted one. Any event ends a poll, how many watch too: whoever waits polls on."""
    answers: list[dict[str, Any]] = []
    while not answers or not wanted(answers[-1]):
        async with http.get(url, params={"cursor": cursor}) as response:
            answers.append(await response.json())
        cursor = answers[-1]["cursor"]
    return answers


def commerce(answer: dict[str, Any]) -> list[int]:
    return [event["seq"] for event in answer["events"] if event["lane"] == "commerce"]


def test_danmaku_reach_everybody_and_their_sender_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here) as first, client(here, form="json") as second:
            ack = await first.say("danmaku", {"text": "你好"}, id="d1")
            assert (ack["shown"], ack["id"]) == ("room", "d1")
            for viewer in (first, second):
                event = await viewer.event(lambda event: event["id"] == "d1")
                assert event["body"]["text"] == "你好"
                assert event["sender"] == first.hello["you"]["sender"]
                assert event["seq"] is None

    run(test())


def test_a_back_end_shows_a_product_and_everybody_gets_it_with_its_t(tmp_path: Path) -> None:
    timeline = RunningTimeline()

    async def test() -> None:
        async with node(tmp_path, timelines=LocalTimelines(r=timeline)) as here, client(here) as viewer:
            async with aiohttp.ClientSession() as http:
                shown = {
                    "kind": "product.show",
                    "body": {"product": "sku1", "amount": 1999, "currency": "CNY"},
                    "at": "now",
                }
                async with http.post(f"{here.url}/rooms/r/events", json=shown, headers=here.bearer()) as response:
                    assert response.status == 200
                    ack = await response.json()
            event = await viewer.event(lambda event: event["kind"] == "product.show")
            assert (event["seq"], event["t"], event["epoch"]) == (ack["seq"], ack["t"], "e1")
            assert abs(event["t"] - timeline.live_edge()) < 90_000
            assert [announced.id for announced in timeline.announced] == [event["id"]]

    run(test())


def test_nobody_sees_the_next_product_early(tmp_path: Path) -> None:
    timeline = RunningTimeline(age_s=100)

    async def test() -> None:
        async with node(tmp_path, timelines=LocalTimelines(r=timeline)) as here:
            async with client(here, token=here.token()) as host:
                old = timeline.live_edge() - 20 * 90_000
                await host.say("product.show", {"product": "old"}, at={"t": old})
                await host.say("product.show", {"product": "next"}, at={"t": timeline.live_edge()})
            async with client(here) as late:
                assert [event["body"]["product"] for event in late.hello["state"]] == ["old"]
                assert [event["body"]["product"] for event in late.hello["events"]] == ["next"]

    run(test())


def test_who_comes_back_gets_what_was_missed_and_nothing_twice(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here, token=here.token()) as host:
            async with client(here) as viewer:
                await host.say("notice", {"text": "one"})
                await viewer.event(lambda event: event["seq"] == 1)
                since = viewer.since
            for text in ("two", "three"):
                await host.say("notice", {"text": text})
            async with client(here, since=since) as back:
                assert back.hello["recovered"]
                assert [event["seq"] for event in back.hello["events"]] == [2, 3]
            async with client(here, since={**since, "log": "another"}) as stranger:
                assert not stranger.hello["recovered"]
                assert [event["body"]["text"] for event in stranger.hello["state"]] == ["three"]

    run(test())


def test_what_was_missed_beyond_the_memory_comes_from_the_store(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here) as viewer:
            backend, body = here.bearer(Role.BACKEND), {"gift": "rose", "giver": "a"}
            async with aiohttp.ClientSession() as http:
                for number in range(12):
                    events = [{"kind": "gift", "body": body, "id": f"g{number}-{i}"} for i in range(100)]
                    post = {"events": events}
                    async with http.post(f"{here.url}/rooms/r/events", json=post, headers=backend) as response:
                        results = (await response.json())["results"]
                        if any(result["type"] == "error" for result in results):
                            assert {r.get("code") for r in results if r["type"] == "error"} == {1004}
                            break
            last = results[-1].get("seq") or max(result.get("seq") or 0 for result in results)
            await viewer.event(lambda event: event["seq"] == last)
            here.layer.rooms.open_rooms["r"].history.commerce = type(here.layer.rooms.open_rooms["r"].history.commerce)(
                list(here.layer.rooms.open_rooms["r"].history.commerce)[-10:], 10
            )
            async with client(here, since={"log": viewer.hello["log"], "seq": 3}) as back:
                assert [event["seq"] for event in back.hello["events"]] == list(range(4, last + 1))

    run(test())


def test_an_event_is_taken_once_whatever_is_repeated(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here, token=here.token()) as host:
            first = await host.say("notice", {"text": "once"}, id="n1")
            again = await host.say("notice", {"text": "once"}, id="n1")
            assert (again["seq"], again["duplicate"]) == (first["seq"], True)
            other = await host.say("notice", {"text": "twice"})
            assert other["seq"] == first["seq"] + 1

    run(test())


def test_everybody_hears_at_once_that_a_broadcast_begins_and_ends(tmp_path: Path) -> None:
    held = LocalTimelines()

    async def test() -> None:
        async with node(tmp_path, timelines=held) as here, client(here) as viewer, aiohttp.ClientSession() as http:
            assert viewer.hello["epoch"] is None
            url = f"{here.url}/rooms/r/poll"
            async with http.get(url) as response:
                cursor = (await response.json())["cursor"]
            polling = asyncio.ensure_future(polled(http, url, cursor, lambda answer: answer["epoch"] == "e9"))
            await until(lambda: here.layer.rooms.open_rooms["r"].polls == 1)
            held.held["r"] = RunningTimeline("e9")
            # far sooner than the ten seconds after which everybody is told again
            began = await viewer.message(lambda message: message["type"] == "time", timeout=4)
            assert (began["epoch"], began["t"] > 0) == ("e9", True)
            async with asyncio.timeout(4):
                await polling
            del held.held["r"]
            await viewer.message(lambda message: message["type"] == "time" and message["epoch"] is None, timeout=4)

    run(test())


def test_likes_travel_as_totals_at_most_twice_a_second(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here) as first, client(here) as second:
            for _ in range(8):
                assert (await first.say("like", {"count": 3}))["shown"] == "room"
            await second.event(lambda event: event["kind"] == "likes" and event["body"]["total"] == 24)
            told = [event for event in second.events if event["kind"] == "likes"]
            assert len(told) <= 3
            async with client(here) as late:
                assert late.hello["totals"]["likes"] == 24

    run(test())


def test_a_newcomer_gets_recent_danmaku_and_the_number_of_viewers(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here) as first:
            for number in range(3):
                await first.say("danmaku", {"text": f"say {number}"})
            await first.event(lambda event: event["kind"] == "presence" and event["body"]["total"] == 1)
            async with client(here) as late:
                texts = [event["body"]["text"] for event in late.hello["recent"]]
                assert texts == ["say 0", "say 1", "say 2"]
                await first.event(lambda event: event["kind"] == "presence" and event["body"]["total"] == 2)

    run(test())


REFUSED = [
    ({"type": "send", "kind": "danmaku", "body": {"text": ""}}, 1104),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x" * 201}}, 1104),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x" * 2000}}, 1101),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x", "colour": 1}}, 1104),
    ({"type": "send", "kind": "danmaku", "body": {"text": 7}}, 1104),
    ({"type": "send", "kind": "danmaku", "body": []}, 1104),
    ({"type": "send", "kind": "danmaku"}, 1104),
    ({"type": "send", "kind": "nothing", "body": {}}, 1103),
    ({"type": "send", "kind": ["danmaku"], "body": {}}, 1103),
    ({"type": "send", "kind": "product.show", "body": {"product": "a"}}, 1105),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x"}, "epoch": "old"}, 1106),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x"}, "at": {"t": 1 << 50}}, 1107),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x"}, "at": {"t": -1}}, 1104),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x"}, "at": "now"}, 1105),
    ({"type": "send", "kind": "danmaku", "body": {"text": "x"}, "id": "no blanks"}, 1100),
    ({"type": "calibrate", "host_delay_ms": 5}, 1105),
    ({"type": "dance"}, 1102),
    ({"type": 5}, 1102),
]


def test_every_unusable_message_gets_its_number(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path, timelines=LocalTimelines(r=RunningTimeline())) as here, client(here) as viewer:
            for message, code in REFUSED:
                answer = await viewer.ask(**message)
                assert (answer["type"], answer["code"]) == ("error", code), message
            await viewer.socket.send_bytes(b"\xc1")
            answer = await viewer.message(lambda message: message.get("code") == 1100 and message["ref"] is None)
            assert not answer["may_retry"]
            assert (await viewer.ask(type="ping"))["type"] == "pong"

    run(test())


def test_a_thousand_bad_messages_cost_the_connection(tmp_path: Path) -> None:
    async def test() -> None:
        settings = replace(QUIET, max_bad_messages=100)
        async with node(tmp_path, settings=settings) as here, client(here) as viewer:
            for _ in range(100):
                await viewer.socket.send_bytes(b"\xc1")
            assert await viewer.closed() == PROTOCOL.code

    run(test())


def test_a_host_places_events_in_front_of_the_camera(tmp_path: Path) -> None:
    timeline = RunningTimeline()

    async def test() -> None:
        async with (
            node(tmp_path, timelines=LocalTimelines(r=timeline)) as here,
            client(here, token=here.token()) as host,
        ):
            wall_ms = round(timeline.began * 1000) + 30_000
            samples = [{"wall_ms": wall_ms + k, "t": (30_000 + k + 400) * 90} for k in (0, 100, 205)]
            ack = await host.ask(type="calibrate", samples=samples)
            assert ack["host_delay_ms"] == 400
            assert ack["bound_ms"] <= 1
            placed = await host.say("notice", {"text": "x"}, at={"wall_ms": wall_ms})
            assert abs(placed["t"] - (30_000 + 400) * 90) <= 90
            assert placed["bound_ms"] == ack["bound_ms"]

    run(test())


def test_a_muted_viewer_is_not_heard(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here) as viewer:
            token = here.token(Role.MODERATOR)
            async with client(here, token=token) as moderator:
                sender = viewer.hello["you"]["sender"]
                await moderator.say("mute", {"sender": sender, "until_ms": 1 << 50})
                await viewer.event(lambda event: event["kind"] == "mute")
                assert (await viewer.say("danmaku", {"text": "x"}))["code"] == 1109
                await moderator.say("mute", {"sender": sender, "until_ms": 0})
                await viewer.event(lambda event: event["kind"] == "mute" and event["body"]["until_ms"] == 0)
                assert (await viewer.say("danmaku", {"text": "x"}))["type"] == "ack"

    run(test())


def test_tokens_and_names_that_do_not_hold_are_closed_with_a_reason(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path, settings=replace(QUIET, anonymous="refused")) as here:
            for token in (None, "v1.x.y", here.token(valid_s=-1), here.token(room="other")):
                async with client(here, token=token) as viewer:
                    assert await viewer.closed() == TOKEN_REFUSED.code
            async with client(here, ".such", join=False) as viewer:
                assert await viewer.closed() == NOT_FOUND.code
            async with client(here, join=False) as viewer:
                await viewer.send({"type": "send"})
                assert await viewer.closed() == PROTOCOL.code

    run(test())


def test_an_anonymous_viewer_comes_back_as_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here:
            async with client(here) as viewer:
                you = viewer.hello["you"]
            async with client(here, token=you["token"]) as back:
                assert back.hello["you"]["sender"] == you["sender"]

    run(test())


def test_long_polling_misses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here, token=here.token()) as host, aiohttp.ClientSession() as http:
            async with http.get(f"{here.url}/rooms/r/poll") as response:
                beginning = await response.json()
            assert beginning["type"] == "hello"
            url = f"{here.url}/rooms/r/poll"
            waiting = asyncio.ensure_future(polled(http, url, beginning["cursor"], commerce))
            room = here.layer.rooms.open_rooms["r"]
            await until(lambda: room.polls)
            await host.say("notice", {"text": "one"})
            async with asyncio.timeout(10):
                answers = await waiting
            assert commerce(answers[-1]) == [1]
            await host.say("notice", {"text": "two"})
            async with asyncio.timeout(10):
                answers = await polled(http, url, answers[-1]["cursor"], commerce)
            assert commerce(answers[-1]) == [2]
            async with http.get(url, params={"cursor": "gone.5.0-0"}) as response:
                assert (await response.json())["type"] == "reset"
            async with http.get(url, params={"cursor": "nonsense"}) as response:
                assert response.status == 400

    run(test())


async def _sse(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, object]]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_server_sent_events_carry_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here, token=here.token()) as host, aiohttp.ClientSession() as http:
            async with http.get(f"{here.url}/rooms/r/sse") as response:
                messages = _sse(response)
                assert (await anext(messages))["type"] == "hello"
                await host.say("notice", {"text": "x"})
                async for message in messages:
                    if message["type"] == "events" and message["events"][0]["kind"] == "notice":  # type: ignore[index]
                        cursor = message["cursor"]
                        break
            await host.say("notice", {"text": "y"})
            async with http.get(f"{here.url}/rooms/r/sse", headers={"Last-Event-ID": str(cursor)}) as response:
                hello = await anext(_sse(response))
                assert hello["recovered"]
                assert [event["seq"] for event in hello["events"]] == [2]  # type: ignore[union-attr,index]

    run(test())


def test_http_refusals_have_a_status_a_number_and_say_whether_to_retry(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, aiohttp.ClientSession() as http:
            url = f"{here.url}/rooms/r/events"
            notice = {"kind": "notice", "body": {"text": "x"}}
            for headers, message, status, code in (
                ({"Authorization": "Bearer nonsense"}, notice, 401, 1110),
                ({"Authorization": "Basic eDp5"}, notice, 401, 1110),
                ({}, notice, 403, 1105),
                (here.bearer(), {"kind": "notice", "body": {}}, 422, 1104),
                (here.bearer(), {"events": []}, 422, 1104),
                (here.bearer(), [], 400, 1100),
            ):
                async with http.post(url, json=message, headers=headers) as response:
                    answer = await response.json()
                    assert (response.status, answer["code"]) == (status, code)
                    assert answer["may_retry"] is False
            async with http.post(f"{here.url}/rooms/.such/events", json=notice) as response:
                assert response.status == 404

    run(test())


def test_everything_can_be_exported_by_t(tmp_path: Path) -> None:
    timeline = RunningTimeline(age_s=100)

    async def test() -> None:
        async with (
            node(tmp_path, timelines=LocalTimelines(r=timeline)) as here,
            client(here, token=here.token()) as host,
        ):
            for seconds, text in ((30, "b<&>"), (10, "a")):
                await host.say("danmaku", {"text": text, "mode": "top"}, at={"t": seconds * 90_000})
            await host.say("notice", {"text": "n"}, at={"t": 20 * 90_000})
            async with aiohttp.ClientSession() as http:
                url = f"{here.url}/rooms/r/events"
                async with http.get(url, headers=here.bearer()) as response:
                    rows = [json.loads(line) for line in (await response.text()).splitlines()]
                async with http.get(url, params={"format": "xml"}, headers=here.bearer()) as response:
                    xml = await response.text()
                async with http.get(url) as response:
                    assert response.status == 403
            assert [row["t"] // 90_000 for row in rows if row["t"] is not None] == [10, 20, 30]
            assert '<d p="10.00000,5,25,16777215,' in xml
            assert ">b&lt;&amp;&gt;</d>" in xml

    run(test())


def test_a_command_that_others_add_is_a_row_of_the_table(tmp_path: Path) -> None:
    async def double(session: Session, message: dict[str, int]) -> dict[str, object]:
        return {"type": "doubled", "value": message["value"] * 2}

    async def test() -> None:
        async with node(tmp_path, commands={"double": double}) as here, client(here) as viewer:
            assert (await viewer.ask(type="double", value=21))["value"] == 42

    run(test())


def test_a_node_that_stops_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here) as viewer:
            here.layer.rooms.open_rooms["r"].close()
            assert await viewer.closed() == SHUTDOWN.code

    run(test())


def test_state_and_history_survive_the_node(tmp_path: Path) -> None:
    async def test() -> None:
        async with node(tmp_path) as here, client(here, token=here.token()) as host:
            await host.say("product.show", {"product": "kept"})
            since = {"log": host.hello["log"], "seq": 0}
        async with node(tmp_path) as here, client(here, since=since) as back:
            assert back.hello["recovered"]
            assert [event["body"]["product"] for event in back.hello["events"]] == ["kept"]

    run(test())

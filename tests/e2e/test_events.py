"""Events in a real node: placed on the stream's timeline, in the FLV as well as in the room, kept and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import ClientSession

from bench.watcher import Watcher
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.flv import read_flv
from tests.support.node import running_node, streamer

pytestmark = pytest.mark.e2e


def told(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without how many watch, which the room says by itself whenever it is time to."""
    return [event for event in events if event["kind"] != "presence"]


def exported(lines: str) -> list[dict[str, Any]]:
    return told([json.loads(line) for line in lines.splitlines()])


async def test_an_event_has_its_place_in_the_room_and_in_the_picture(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_node(data, "--open") as node, DemoProcess(node.publish_url("shop"), tmp_path / "demo.log"):
        eventually(lambda: node.metric("streamer_stream_units_total", room="shop") > 60, "a host on the air", within=20)
        token = streamer("token", "shop", "--data", data).strip()
        with Watcher(node.flv("shop")) as watcher:
            assert watcher.first_picture_after(0.0, 10**9) is not None
            async with (
                ClientSession() as session,
                session.ws_connect(node.url("/rooms/shop/ws"), protocols=["json"]) as ws,
            ):
                await ws.send_json({"type": "join"})
                hello = await ws.receive_json(timeout=10)
                assert hello["type"] == "hello"
                edge = hello["anchor"]["t"]
                show = {"kind": "product.show", "body": {"product": "p1", "title": "Tea"}}
                headers = {"Authorization": f"Bearer {token}"}
                async with session.post(node.url("/rooms/shop/events"), json=show, headers=headers) as answer:
                    posted = await answer.json()
                    assert answer.status < 300, posted
                heard: list[dict[str, Any]] = []
                while not heard:
                    heard = told((await ws.receive_json(timeout=10)).get("events", []))
            (event,) = heard
            eventually(lambda: read_flv(watcher.flv).scripts("onEvent"), "the event in the picture's stream")
        (written,) = read_flv(watcher.flv).scripts("onEvent")
        assert event["kind"] == written["kind"] == "product.show"
        assert event["t"] == written["t"] == posted["t"]
        assert event["epoch"] == hello["epoch"] == read_flv(watcher.flv).scripts("onTimeline")[0]["epoch"]
        assert 0 <= event["t"] - edge < 3 * 90_000
        running = streamer("events", "export", "shop", "--data", data)
    stopped = streamer("events", "export", "shop", "--data", data)
    assert [one["id"] for one in exported(stopped)] == [event["id"]]
    assert exported(running) == exported(stopped)
    ElementTree.fromstring(streamer("events", "export", "shop", "--format", "xml", "--data", data))


async def test_only_rooms_that_exist_have_events(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        eventually(lambda: node.metric("streamer_store_ready") == 1, "the store")
        async with ClientSession() as session, session.get(node.url("/rooms/nobody/poll")) as answer:
            assert answer.status == 404
        streamer("key", "somebody", "--data", tmp_path)
        async with ClientSession() as session, session.get(node.url("/rooms/somebody/poll")) as answer:
            assert answer.status == 200
            assert (await answer.json())["epoch"] is None

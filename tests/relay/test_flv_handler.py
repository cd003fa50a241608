from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from aiohttp import web

from media.hub import Hub
from media.publisher import Publisher
from media.stream import Kinds
from media.track import Track
from media.unit import AccessUnit
from relay.flv_handler import FlvLimits, FlvRelay
from tests.support.flv import read_flv
from tests.support.units import FakeClock, audio_track, hevc_track, picture, sound, video_track
from wire.flv_tag import FlvTag
from wire.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    WsFrame,
    WsParser,
    accept_key,
    encode_masked_frame,
    parse_close,
)

FRAME = 3000
HANDSHAKE_KEY = base64.b64encode(bytes(16)).decode()
UPGRADE = (
    f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n"
)


@dataclass
class Node:
    """A relay on a port of its own, and a room that a test publishes to."""

    limits: FlvLimits = field(default_factory=FlvLimits)
    port: int = 0
    sent: int = 0
    track: Track = field(default_factory=video_track)

    def __post_init__(self) -> None:
        self.hub = Hub(FakeClock(), new_epoch=lambda: "epoch")
        self.relay = FlvRelay(self.hub, time.monotonic, self.limits)
        self.aac = audio_track()
        self.publisher: Publisher | None = None

    def publish(self, count: int) -> None:
        """The next pictures, each with its sound; a keyframe each 30."""
        if self.publisher is None:
            self.publisher = self.hub.claim("room", peer="tester", on_displaced=lambda reason: None)
            self.publisher.expect(Kinds(True, True))
        for index in range(self.sent, self.sent + count):
            for unit in self._units(index):
                self.publisher.publish(unit)
        self.sent += count

    def _units(self, index: int) -> tuple[AccessUnit, AccessUnit]:
        dts = index * FRAME
        return picture(dts, key=index % 30 == 0, track=self.track), sound(dts, track=self.aac)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Node]:
        app = web.Application()
        app.add_routes([web.get("/live/{room}.flv", self.relay.handle)])
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            self.relay.close()
            self.hub.close()
            await runner.cleanup()

    async def get(self, query: str = "", *, version: str = "1.1", more: str = "", method: str = "GET") -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = f"{method} /live/room.flv{query} HTTP/{version}\r\nHost: localhost\r\n{more}\r\n"
        writer.write(request.encode())
        return Client(reader, writer)

    async def watch(self, query: str = "") -> Client:
        """A WebSocket viewer whose upgrade was answered."""
        client = await self.get(query, more=UPGRADE)
        head = await client.head()
        assert head.startswith("HTTP/1.1 101")
        assert accept_key(HANDSHAKE_KEY) in head
        assert "Sec-WebSocket-Extensions" not in head
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    parser: WsParser = field(default_factory=WsParser)

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def body(self) -> bytes:
        """Every chunk up to the last."""
        data = b""
        while chunk := await self.chunk():
            data += chunk
        return data

    async def problem(self) -> tuple[str, dict[str, Any]]:
        head = await self.head()
        size = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        assert "application/problem+json" in head
        return head, json.loads(await self.reader.readexactly(size))

    async def frame(self) -> WsFrame:
        while (frame := self.parser.next_event()) is None:
            data = await self.reader.read(65536)
            assert data, "closed"
            self.parser.receive_data(data)
        return frame

    async def frame_of(self, opcode: int) -> WsFrame:
        while (frame := await self.frame()).opcode != opcode:
            assert frame.opcode in (BINARY, PING)
        return frame

    def say(self, opcode: int, payload: bytes) -> None:
        self.writer.write(encode_masked_frame(payload, opcode, b"mask"))

    async def close(self) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)


def pictures(data: bytes) -> list[FlvTag]:
    return read_flv(data).pictures


async def test_http_1_1_is_chunked_and_ends_with_the_stream() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.get(more="Origin: http://elsewhere\r\n")
        head = await client.head()
        assert head.startswith("HTTP/1.1 200")
        assert "Content-Type: video/x-flv" in head
        assert "Transfer-Encoding: chunked" in head
        await node.until(lambda: len(node.relay.viewers()) == 1)
        node.publish(3)
        node.hub.end("room")
        flv = await client.body()
        assert [t.timestamp for t in pictures(flv)] == [i * 100 // 3 for i in range(30, 38)]
        await node.until(lambda: node.relay.viewer_count == 0)
        assert node.relay.closed == {"stopped": 1}
        assert node.relay.bytes_sent > len(flv)
        await client.close()


async def test_http_1_0_is_delimited_by_the_end_of_the_connection() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.get(version="1.0")
        head = await client.head()
        assert "chunked" not in head
        await node.until(lambda: len(node.relay.viewers()) == 1)
        node.hub.end("room")
        assert len(pictures(await client.reader.read())) == 5
        await client.close()


async def test_websocket_messages_are_whole_tags_and_the_first_is_the_prelude() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.watch()
        first = await client.frame()
        assert first.opcode == BINARY
        prelude = read_flv(first.payload)
        assert prelude.header is not None
        assert prelude.media == []
        assert len(prelude.configs) == 2
        await node.until(lambda: len(node.relay.viewers()) == 1)
        node.publish(3)
        head = first.payload[:13]
        for index in range(30, 38):
            payload = (await client.frame()).payload
            assert read_flv(head + payload).pictures[-1].timestamp == index * 100 // 3
            assert int.from_bytes(payload[-4:], "big") > 0
        await client.close()


async def test_the_end_of_the_stream_closes_a_websocket_with_its_code() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.watch()
        await client.frame()
        assert node.publisher is not None
        node.publisher.release(clean=True)
        node.hub.expire()
        assert node.relay.viewer_count == 1, "a publisher may come back"
        clock = node.hub._clock
        assert isinstance(clock, FakeClock)
        clock.advance(30)
        node.hub.expire()
        assert parse_close((await client.frame_of(CLOSE)).payload) == (4000, "ended")
        client.say(CLOSE, b"")
        await node.until(lambda: node.relay.viewer_count == 0)
        await client.close()


async def test_a_shutdown_closes_a_websocket_with_its_code_and_takes_nobody_more() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.watch()
        await client.frame()
        node.relay.close()
        assert parse_close((await client.frame_of(CLOSE)).payload) == (4001, "shutdown")
        late = await node.get()
        head, problem = await late.problem()
        assert head.startswith("HTTP/1.1 503")
        assert problem["code"] == 4001
        await late.close()
        await client.close()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [5, 5000])
async def test_a_client_that_sends_data_is_closed(opcode: int, size: int) -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.watch()
        client.say(opcode, b"x" * size)
        code, _ = parse_close((await client.frame_of(CLOSE)).payload)
        assert code == (1008 if size < 4096 else 1009)
        client.say(CLOSE, b"")
        await node.until(lambda: node.relay.viewer_count == 0)
        await client.close()


async def test_pings_are_answered_and_sent() -> None:
    async with Node(FlvLimits(ping_interval=0.02)).serving() as node:
        node.publish(35)
        client = await node.watch()
        client.say(PING, b"are you there")
        assert (await client.frame_of(PONG)).payload == b"are you there"
        await client.frame_of(PING)
        client.say(PONG, b"")
        await client.frame_of(PING)
        await client.close()


async def test_a_client_that_says_goodbye_gets_its_answer() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.watch()
        await client.frame()
        client.say(CLOSE, (1000).to_bytes(2, "big"))
        await client.frame_of(CLOSE)
        assert await client.reader.read() == b""
        await node.until(lambda: node.relay.viewer_count == 0)
        await client.close()


async def test_after_the_answer_to_a_goodbye_no_media_follows() -> None:
    """RFC 6455, 5.5.1: no more data frames. Browsers complain about them in their console."""
    async with Node().serving() as node:
        node.publish(35)
        client = await node.watch()
        await client.frame()
        client.say(CLOSE, (1000).to_bytes(2, "big"))
        while node.relay.viewer_count:
            node.publish(1)
            await asyncio.sleep(0)
        await client.frame_of(CLOSE)
        assert await client.reader.read() == b""
        await client.close()


async def test_an_early_viewer_waits_with_the_head_held_back() -> None:
    async with Node().serving() as node:
        client = await node.get()
        await node.until(lambda: node.relay.viewer_count == 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.02)
        node.publish(2)
        assert (await client.head()).startswith("HTTP/1.1 200")
        assert read_flv(await client.chunk()).header is not None
        await client.close()


async def test_nobody_comes_so_the_viewer_is_told_to_try_again() -> None:
    async with Node(FlvLimits(join_wait=0)).serving() as node:
        for more in ("", UPGRADE):
            client = await node.get(more=more)
            head, problem = await client.problem()
            assert head.startswith("HTTP/1.1 404")
            assert "Retry-After: 5" in head
            assert (problem["status"], problem["code"]) == (404, 4104)
            assert "room is not live" in problem["detail"]
            await client.close()


async def test_a_full_relay_refuses() -> None:
    async with Node(FlvLimits(max_viewers=1)).serving() as node:
        node.publish(35)
        first = await node.watch()
        second = await node.get()
        head, problem = await second.problem()
        assert head.startswith("HTTP/1.1 503")
        assert "Retry-After" in head
        assert problem["code"] == 4009
        await first.close()
        await second.close()


async def test_head_says_that_there_is_a_stream_without_watching_it() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.get(method="HEAD")
        head = await client.head()
        assert head.startswith("HTTP/1.1 200")
        assert "video/x-flv" in head
        assert node.relay.joins == 0
        await client.close()


async def test_a_rendition_that_does_not_exist_is_named() -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.get("?rendition=720p")
        _, problem = await client.problem()
        assert problem["detail"] == "room has no rendition 720p, but source"
        await client.close()


async def test_hevc_is_written_in_the_form_that_the_player_asked_for() -> None:
    async with Node(track=hevc_track()).serving() as node:
        node.publish(35)
        for query, first in (("?hevc=legacy", 0x1C), ("", 0x90)):
            client = await node.get(query)
            await client.head()
            assert read_flv(await client.chunk()).configs[0].body[0] == first
            await client.close()


async def test_legacy_is_the_same_packager_where_there_is_no_hevc() -> None:
    async with Node().serving() as node:
        node.publish(35)
        clients = [await node.get(query) for query in ("", "?hevc=legacy")]
        await node.until(lambda: len(node.relay.viewers()) == 2)
        assert len(node.relay._packagers) == 1
        for client in clients:
            await client.close()


@pytest.mark.parametrize("more", ["", UPGRADE])
async def test_a_client_that_vanishes_is_forgotten_even_while_nothing_is_sent(more: str) -> None:
    async with Node().serving() as node:
        node.publish(35)
        client = await node.get(more=more)
        await node.until(lambda: len(node.relay.viewers()) == 1)
        await client.close()
        await node.until(lambda: node.relay.viewer_count == 0)
        assert node.relay.viewers() == []
        assert node.relay.closed == {"vanished": 1}
        assert node.hub.get("room").demand == {}  # type: ignore[union-attr]


async def test_a_stream_that_ends_while_the_head_is_written_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Node().serving() as node:
        node.publish(35)

        async def end_first(transport: asyncio.Transport) -> bool:
            node.hub.end("room")
            return True

        monkeypatch.setattr("relay.flv_handler._flush_head", end_first)
        client = await node.get()
        await client.head()
        assert await client.body() == b""
        assert node.relay._packagers == {}
        await client.close()


async def test_a_stalled_viewer_costs_nobody_else_anything() -> None:
    async with Node().serving() as node:
        node.publish(31)
        stalled, other = await node.get(), await node.watch()
        await node.until(lambda: len(node.relay.viewers()) == 2)
        stalled.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await other.frame()
        assert node.publisher is not None
        for index in range(31, 131):
            unit = picture(index * FRAME, key=index % 30 == 0, track=node.track, size=200_000)
            node.publisher.publish(unit)
            await other.frame()
        assert node.relay.counters.skips >= 1
        await stalled.close()
        await other.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_two_hundred_visits_leave_nothing_behind(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def visit(node: Node, number: int) -> None:
        client = await (node.watch() if number % 2 else node.get())
        if number % 2:
            await client.frame()
        else:
            await client.head()
            await client.chunk()
        await client.close()

    async def scenario() -> None:
        async with Node().serving() as node:
            node.publish(35)
            await visit(node, 0)
            await visit(node, 1)
            await node.until(lambda: node.relay.viewer_count == 0)
            gc.collect()
            before = descriptors(), len(asyncio.all_tasks())
            for start in range(0, 200, 20):
                await asyncio.gather(*(visit(node, start + i) for i in range(20)))
                node.publish(1)
            await node.until(lambda: node.relay.viewer_count == 0)
            await node.until(lambda: descriptors() <= before[0] and len(asyncio.all_tasks()) <= before[1])
            assert node.relay._packagers == {}
            assert node.relay.joins == 202
            assert node.hub.get("room").demand == {}  # type: ignore[union-attr]

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingest.authorize import Refusal
from ingest.rtmp_server import RtmpIngest
from ingest.rtmp_session import PublishName, SessionLimits, parse_publish_name
from media.clock import SystemClock
from media.hub import Hub
from media.stream import Stream, StreamState
from tests.support.units import PPS, SPS, video_track
from wire import flv_video
from wire.codecs.nal import join_length_prefixed
from wire.flv_script import encode_script
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag
from wire.rtmp import ClientEvent, Closed, Published, Rejected, RtmpClient, RtmpUrl
from wire.rtmp.client import ClientState

SECRET = "s3cret-stream-key"
METADATA = FlvTag(SCRIPT, 0, encode_script("onMetaData", {"videocodecid": 7.0, "framerate": 25.0}))
CONFIG = FlvTag(VIDEO, 0, flv_video.encode_video_config("h264", video_track().config.to_avcc()))  # type: ignore[union-attr]


def picture(ms: int, *, key: bool = True) -> FlvTag:
    nal = b"\x65\x88\x80" if key else b"\x41\x9a\x02"
    return FlvTag(VIDEO, ms, flv_video.video_frame_header("h264", key) + join_length_prefixed([nal]))


def authorize(room: str, secret: str, address: str) -> Refusal | None:
    assert address == "127.0.0.1"
    return None if secret == SECRET else Refusal("the key is not valid for this room")


@dataclass
class Ground:
    """A server on a port of its own, and its hub."""

    limits: SessionLimits = field(default_factory=SessionLimits)
    options: dict[str, Any] = field(default_factory=dict)
    port: int = 0

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        self.hub = Hub(SystemClock(), new_epoch=lambda: f"epoch{next(numbers)}")
        self.ingest = RtmpIngest(self.hub, authorize, limits=self.limits, **self.options)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Ground]:
        ((_, self.port),) = await self.ingest.listen("127.0.0.1", 0)
        try:
            yield self
        finally:
            self.ingest.close()
            await self.until(lambda: not self.ingest.connections)

    async def host(self, name: str = f"room?key={SECRET}", app: str = "live") -> Host:
        url = RtmpUrl.parse(f"rtmp://127.0.0.1:{self.port}/{app}/{name}")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Host(RtmpClient(url, random_bytes=os.urandom(1528)), reader, writer)

    async def publisher(self, name: str = f"room?key={SECRET}") -> Host:
        host = await self.host(name)
        assert await host.event() == Published()
        return host

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)

    def check(self, seconds: float) -> None:
        """Look at all connections as if that much time had passed."""
        for session in tuple(self.ingest._sessions):
            session.check(time.monotonic() + seconds)

    @property
    def stream(self) -> Stream:
        stream = self.hub.get("room")
        assert stream is not None
        return stream


@dataclass
class Host:
    """A publisher: wire's own client over a real socket."""

    client: RtmpClient
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def event(self) -> ClientEvent:
        """The next thing that the server said; Closed when the connection ended."""
        while (event := self.client.next_event()) is None:
            self.flush()
            data = await self.reader.read(65536)
            self.client.receive_data(data)
        self.flush()
        return event

    def send(self, *tags: FlvTag) -> None:
        for tag in tags:
            self.client.send_tag(tag)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.client.data_to_send())

    async def closed(self) -> None:
        """The server lets go."""
        while await self.reader.read(65536):
            pass

    async def leave(self) -> None:
        self.client.close()
        self.flush()
        await self.writer.drain()
        self.abort()

    def abort(self) -> None:
        self.writer.close()


async def test_what_is_published_is_in_the_hub() -> None:
    async with Ground().serving() as ground:
        host = await ground.publisher()
        host.send(METADATA, CONFIG, picture(0), picture(40, key=False))
        stream = await ground.hub.subscribe("room", 5)
        await ground.until(lambda: stream.counters.video_units == 2)
        assert stream.declared_frame_rate == 25.0
        assert stream.source_video is not None
        assert stream.source_video.config == video_track().config
        assert ground.ingest.counters.bytes > 0
        host.abort()


async def test_a_clean_stop_is_told_from_a_publisher_that_vanished(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Ground().serving() as ground:
        host = await ground.publisher()
        host.send(METADATA, CONFIG, picture(0))
        host.abort()
        await ground.until(lambda: ground.stream.state is StreamState.WAITING)
        host = await ground.publisher()
        host.send(METADATA, CONFIG, picture(0))
        await host.leave()
        await ground.until(lambda: ground.stream.state is StreamState.STOPPED)
        assert ground.stream.counters.resumes == 1
        await ground.until(lambda: not ground.ingest.connections)
    closed = [r for r in caplog.records if "closed" in r.getMessage()]
    assert {"room": "room", "conn": "rtmp-1"}.items() <= vars(closed[0]).items()
    assert "vanished: the peer closed the connection" in closed[0].getMessage()
    assert "took its leave" in closed[1].getMessage()


@pytest.mark.parametrize("name", ["room?key=wrong", "room", "room?token=x"])
async def test_a_wrong_key_is_refused_in_words(name: str) -> None:
    async with Ground().serving() as ground:
        host = await ground.host(name)
        assert await host.event() == Rejected("NetStream.Publish.BadName", "the key is not valid for this room")
        await host.closed()
        assert ground.hub.get("room") is None
        host.abort()


async def test_a_refused_publisher_that_keeps_sending_still_reads_why() -> None:
    async with Ground().serving() as ground:
        host = await ground.host("room?key=wrong")
        while host.client.state.value != "requesting":
            host.flush()
            host.client.receive_data(await host.reader.read(65536))
        host.flush()
        host.client.state = ClientState.PUBLISHING  # an encoder that does not wait for the answer
        for ms in range(60):
            host.send(picture(ms))
            await asyncio.sleep(0)
        host.client.state = ClientState.REQUESTING
        assert isinstance(await host.event(), Rejected)
        host.abort()


async def test_another_application_is_refused() -> None:
    async with Ground().serving() as ground:
        host = await ground.host(app="vod")
        event = await host.event()
        assert isinstance(event, Rejected)
        assert event.description == "the application is vod, publish to live"
        host.abort()


async def test_a_takeover_closes_the_old_connection() -> None:
    async with Ground().serving() as ground:
        first = await ground.publisher()
        first.send(METADATA, CONFIG, picture(0))
        await ground.until(lambda: ground.stream.counters.video_units == 1)
        second = await ground.publisher()
        event = await first.event()
        assert isinstance(event, Closed | Rejected)
        assert event.description == "another publisher took over"
        await first.closed()
        first.abort()
        second.send(METADATA, CONFIG, picture(0))
        await ground.until(lambda: ground.stream.counters.video_units == 2)
        assert ground.stream.state is StreamState.LIVE
        assert ground.stream.counters.takeovers == 1
        second.abort()


async def test_two_encoders_that_fight_are_told_to_wait() -> None:
    async with Ground().serving() as ground:
        hosts = [await ground.publisher() for _ in range(4)]
        late = await ground.host()
        event = await late.event()
        assert isinstance(event, Rejected)
        assert "the present publisher stays, try again in 30 s" in event.description
        for host in (*hosts, late):
            host.abort()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", r"\d"),
        (b"\x03" + bytes(1536 * 2) + b"\xff" * 5000, r"\d"),
    ],
)
async def test_malformed_bytes_end_that_connection_only(
    data: bytes, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Ground().serving() as ground:
        host = await ground.publisher()
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.port)
        writer.write(data)
        while await reader.read(65536):
            pass
        writer.close()
        await ground.until(lambda: ground.ingest.connections == 1)
        host.send(METADATA, CONFIG, picture(0))
        await ground.until(lambda: ground.stream.counters.video_units == 1)
        host.abort()
    (message,) = [r.getMessage() for r in caplog.records if "4102 protocol" in r.getMessage()]
    assert any(character.isdigit() for character in message.partition("4102 protocol: ")[2])


async def test_malformed_media_ends_the_publication_with_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Ground().serving() as ground:
        host = await ground.publisher()
        host.send(METADATA, CONFIG, picture(0), FlvTag(VIDEO, 40, b"\x27\x01\0\0\0\0\0\0\x09x"))
        event = await host.event()
        assert isinstance(event, Closed | Rejected)
        assert event.description == "Truncated: NAL unit of 9 bytes with 1 left"
        assert ground.stream.state is StreamState.WAITING
        assert ground.stream.counters.video_units == 1
        host.abort()
    assert any("NAL unit of 9 bytes with 1 left" in r.getMessage() for r in caplog.records)


async def test_what_is_not_supported_is_left_out_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with Ground().serving() as ground:
        host = await ground.publisher()
        nelly = [FlvTag(AUDIO, 0, b"\x62nelly") for _ in range(150)]
        host.send(METADATA, CONFIG, *nelly[:50], picture(0), *nelly, picture(40))
        await ground.until(lambda: ground.stream.counters.video_units == 2)
        host.abort()
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.endswith("part of the stream is left out: FLV sound format 6")


async def test_a_publisher_of_nothing_that_is_supported_is_closed() -> None:
    async with Ground().serving() as ground:
        host = await ground.publisher()
        host.send(*(FlvTag(VIDEO, 0, b"\x12sorenson") for _ in range(150)))
        event = await host.event()
        assert isinstance(event, Closed | Rejected)
        assert event.description == "Unsupported: FLV video codec id 2"
        host.abort()


async def test_a_connection_that_never_publishes_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Ground().serving() as ground:
        host = await ground.publisher()
        _, writer = await asyncio.open_connection("127.0.0.1", ground.port)
        await ground.until(lambda: ground.ingest.connections == 2)
        ground.check(9)
        assert not any(s._closed_for for s in ground.ingest._sessions)
        ground.check(11)
        writer.close()
        await ground.until(lambda: ground.ingest.connections == 1)
        host.abort()
    assert any("nothing published within 10 s" in r.getMessage() for r in caplog.records)


async def test_a_publisher_that_says_nothing_is_closed() -> None:
    async with Ground().serving() as ground:
        host = await ground.publisher()
        ground.check(14)
        ground.check(16)
        event = await host.event()
        assert isinstance(event, Closed | Rejected)
        assert event.description == "no byte for 15 s"
        host.abort()


async def test_who_stopped_publishing_has_to_begin_again_in_time() -> None:
    async with Ground().serving() as ground:
        host = await ground.publisher()
        host.client.close()
        host.flush()
        await ground.until(lambda: ground.stream.state is StreamState.STOPPED)
        ground.check(9)
        assert ground.ingest.connections == 1
        ground.check(11)
        await host.closed()
        host.abort()


async def test_no_key_is_ever_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Ground().serving() as ground:
        for name, app in (
            (f"room?key={SECRET}", "live"),
            (f"room?token={SECRET}", "live"),
            (SECRET, "live"),
            ("room", f"live?key={SECRET}"),
            (f"room?key={SECRET}", f"other?key={SECRET}"),
        ):
            host = await ground.host(name)
            host.client = RtmpClient(
                RtmpUrl("rtmp", "127.0.0.1", ground.port, app, name), random_bytes=os.urandom(1528)
            )
            await host.event()
            host.abort()
            await ground.until(lambda: not ground.ingest.connections)
    assert len(caplog.records) > 10
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("app", "name", "expected"),
    [
        ("live", "room?key=secret", PublishName("room", "secret")),
        ("live?key=secret", "room", PublishName("room", "secret")),
        ("live?key=other", "room?key=secret", PublishName("room", "secret")),
        ("live", "room", PublishName("room", "")),
        ("live", "room?key=a%2Bb&x=1", PublishName("room", "a+b")),
        ("live", "?key=secret", PublishName("", "secret")),
    ],
)
def test_publish_names(app: str, name: str, expected: PublishName) -> None:
    assert parse_publish_name(app, name) == expected


async def test_three_hundred_publications_leave_nothing_behind() -> None:
    async with Ground().serving() as ground:

        async def visit(number: int) -> None:
            host = await ground.publisher(f"room{number % 10}?key={SECRET}")
            host.send(METADATA, CONFIG, picture(0))
            await (host.leave() if number % 2 else asyncio.sleep(0))
            host.abort()
            await host.writer.wait_closed()

        await visit(0)
        await ground.until(lambda: not ground.ingest.connections)
        gc.collect()
        descriptors, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        for start in range(0, 300, 10):
            await asyncio.gather(*(visit(start + i) for i in range(10)))
            await ground.until(lambda: not ground.ingest.connections)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= descriptors
        assert len(asyncio.all_tasks()) <= tasks
        assert ground.ingest.counters.connections == 301
        assert not ground.ingest._addresses
        assert len(list(ground.hub.streams)) == 10


def test_the_sets_of_these_tests_are_real() -> None:
    assert SPS in CONFIG.body
    assert PPS in CONFIG.body

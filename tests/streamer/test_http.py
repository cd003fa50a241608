"""The HTTP side against real sockets: pages, problem details, limits, headers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from streamer.address import Address
from streamer.config import HttpSettings
from streamer.http import HttpSite, ListenError, Sources, build_app
from streamer.http_errors import Problem
from streamer.http_static import BuiltPages
from streamer.observe import Metrics, Sample
from streamer.origins import OriginList
from streamer.pages import StreamSummary

LOOPBACK = Address("127.0.0.1", 0)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """On the loop that the node uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario, 20))


@asynccontextmanager
async def serving(
    *routes: web.RouteDef,
    settings: HttpSettings | None = None,
    sources: Sources | None = None,
    pages: BuiltPages | None = None,
) -> AsyncIterator[tuple[HttpSite, str]]:
    settings = settings or HttpSettings(shutdown_timeout_s=0.1)
    app = build_app(settings, sources or Sources(), routes=routes, pages=pages)
    async with HttpSite(app, settings) as site:
        yield site, f"http://{await site.listen(LOOPBACK)}"


@asynccontextmanager
async def asking(url: str, method: str = "GET", **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as client, client.request(method, url, **options) as response:
        yield response


async def exchange(base: str, *parts: bytes) -> bytes:
    """Send raw bytes, and read until the server closes."""
    port = int(base.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


@pytest.fixture
def built(tmp_path: Path) -> BuiltPages:
    (tmp_path / "assets").mkdir()
    (tmp_path / "watch.html").write_text("<!doctype html><title>watch</title>")
    (tmp_path / "sdk.js").write_text("export {};")
    (tmp_path / "assets" / "watch-abc.js").write_text("export {};")
    return BuiltPages(tmp_path)


def test_health_and_readiness_differ_while_the_node_stops() -> None:
    async def scenario() -> None:
        async with serving(sources=Sources(ready=lambda: False)) as (_, base):
            async with asking(f"{base}/healthz") as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})
            async with asking(f"{base}/readyz") as response:
                assert (response.status, await response.json()) == (503, {"status": "stopping"})

    run(scenario())


def test_the_index_lists_live_streams_and_escapes_them() -> None:
    streams = [
        StreamSummary("b", "live", "h264", "aac", 1),
        StreamSummary("a<script>", "waiting", None, None, 0),
    ]

    async def scenario() -> None:
        async with serving(sources=Sources(streams=lambda: streams)) as (_, base), asking(base) as response:
            page = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert "<script>" not in page
        assert '<a href="/watch/b">b</a>' in page
        assert "live · h264 + aac · 1 viewer<" in page
        assert page.index("a&lt;script&gt;") < page.index(">b<"), "sorted by room"
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy

    run(scenario())


def test_metrics_are_served_in_prometheus_format() -> None:
    metrics = Metrics()
    metrics.add_source(lambda: [Sample("a_total", "counter", "A", 3)])

    async def scenario() -> None:
        async with serving(sources=Sources(metrics=metrics)) as (_, base), asking(f"{base}/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert await response.text() == "# HELP a_total A\n# TYPE a_total counter\na_total 3\n"

    run(scenario())


def test_pages_ask_each_time_and_hashed_assets_never_again(built: BuiltPages) -> None:
    async def scenario() -> None:
        async with serving(pages=built) as (_, base):
            async with asking(f"{base}/watch/demo") as response:
                assert response.status == 200
                assert response.headers["Cache-Control"] == "no-cache"
                assert "Content-Security-Policy" in response.headers
                tag = response.headers["ETag"]
            async with asking(f"{base}/watch/demo", headers={"If-None-Match": tag}) as response:
                assert response.status == 304
            async with asking(f"{base}/web/sdk.js") as response:
                assert response.headers["Cache-Control"] == "no-cache"
                assert response.headers["Access-Control-Allow-Origin"] == "*"
            async with asking(f"{base}/web/assets/watch-abc.js") as response:
                assert response.headers["Content-Type"].startswith("text/javascript")
                assert "immutable" in response.headers["Cache-Control"]

    run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/web/assets/..%2f..%2f..%2fpages.py",
        "/web/assets/%2e%2e/watch.html",
        "/web/assets//etc/passwd",
        "/web/watch.html",
    ],
)
def test_no_path_leads_outside_the_assets(built: BuiltPages, path: str) -> None:
    async def scenario() -> None:
        async with serving(pages=built) as (_, base):
            answer = await exchange(base, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 404")

    run(scenario())


def test_a_node_without_built_pages_says_how_to_build_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(pages=BuiltPages(tmp_path)) as (_, base), asking(f"{base}/watch/demo") as response:
            assert response.status == 503
            assert "make web" in await response.text()

    run(scenario())


def test_people_see_a_page_and_programs_problem_details() -> None:
    async def scenario() -> None:
        async with serving() as (_, base):
            async with asking(f"{base}/nowhere") as response:
                assert (response.status, response.content_type) == (404, "text/html")
                assert "nothing at this address" in await response.text()
            async with asking(f"{base}/watch/a%20b") as response:
                assert response.status == 404
                assert "letters, digits" in await response.text()
            async with asking(f"{base}/live/demo.flv") as response:
                assert (response.status, response.content_type) == (404, "application/problem+json")
                assert json.loads(await response.text()) == {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is nothing at this address.",
                }
            async with asking(f"{base}/healthz", "POST") as response:
                assert response.status == 405
                assert response.headers["Allow"] == "GET,HEAD"

    run(scenario())


def test_handlers_of_the_floors_below_refuse_in_their_own_words() -> None:
    async def problem(request: web.Request) -> web.Response:
        raise Problem(503, "all 3 viewers are there", headers={"Retry-After": "5"}, code=4009)

    async def plain(request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text="nobody publishes here", headers={"Retry-After": "1"})

    async def bug(request: web.Request) -> web.Response:
        raise KeyError("secret detail")

    async def scenario() -> None:
        routes = [web.get(f"/live/{handler.__name__}", handler) for handler in (problem, plain, bug)]
        async with serving(*routes) as (_, base):
            async with asking(f"{base}/live/problem") as response:
                body = json.loads(await response.text())
                assert (response.status, body["code"], body["detail"]) == (503, 4009, "all 3 viewers are there")
                assert response.headers["Retry-After"] == "5"
            async with asking(f"{base}/live/plain") as response:
                assert json.loads(await response.text())["detail"] == "nobody publishes here"
                assert response.headers["Retry-After"] == "1"
            async with asking(f"{base}/live/bug") as response:
                text = await response.text()
                assert response.status == 500
                assert "secret detail" not in text
                assert "mistake" in text

    run(scenario())


def test_a_bug_after_the_response_has_begun_closes_the_connection() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise ValueError("bug")

    async def scenario() -> None:
        async with serving(web.get("/live/half", half)) as (_, base), asking(f"{base}/live/half") as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

    run(scenario())


@pytest.mark.parametrize("kind", [web.WebSocketResponse, web.StreamResponse])
def test_a_client_that_left_before_the_response_began_is_no_bug(
    kind: type[web.StreamResponse], caplog: pytest.LogCaptureFixture
) -> None:
    """Between the end of a connection and the loop's word of it, its request is still being answered."""

    async def late(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        response = kind()
        await response.prepare(request)
        return response

    async def scenario() -> None:
        async with serving(web.get("/live/late", late)) as (_, base), aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.ws_connect(f"{base}/live/late")
            async with client.get(f"{base}/healthz") as response:
                assert response.status == 200

    run(scenario())
    assert [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING] == []


def test_a_refused_connection_to_something_else_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    async def dependent(request: web.Request) -> web.StreamResponse:
        raise ConnectionRefusedError("the backend")

    async def scenario() -> None:
        async with serving(web.get("/live/late", dependent)) as (_, base), asking(f"{base}/live/late") as response:
            assert response.status == 500

    run(scenario())
    assert [entry.exc_info is not None for entry in caplog.records] == [True]


def test_named_sites_alone_read_answers_and_open_websockets() -> None:
    settings = HttpSettings(origins=OriginList(("https://shop.example",)), shutdown_timeout_s=0.1)

    async def room(request: web.Request) -> web.Response:
        return web.Response(text="joined")

    async def scenario() -> None:
        async with serving(web.get("/rooms/{room}/ws", room), settings=settings) as (_, base):
            for origin, allowed, status in (("https://shop.example", "https://shop.example", 200), ("null", None, 403)):
                headers = {"Origin": origin, "Upgrade": "websocket"}
                async with asking(f"{base}/rooms/a/ws", headers=headers) as response:
                    assert (response.status, response.headers.get("Access-Control-Allow-Origin")) == (status, allowed)
                    assert response.headers["Vary"] == "Origin"
            async with asking(f"{base}/rooms/a/poll", "OPTIONS", headers={"Origin": "null"}) as response:
                assert response.status == 204
                assert "Access-Control-Allow-Origin" not in response.headers

    run(scenario())


def test_media_is_for_every_site_and_pages_are_not() -> None:
    async def media(request: web.Request) -> web.Response:
        return web.Response(body=b"FLV")

    async def scenario() -> None:
        async with serving(web.get("/live/{room}.flv", media)) as (_, base):
            async with asking(f"{base}/live/a.flv") as response:
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert response.headers["Server"] == "Streamer"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
            async with asking(f"{base}/live/a.flv", "OPTIONS") as response:
                assert response.status == 204
                assert "GET" in response.headers["Access-Control-Allow-Methods"]
                assert response.headers["Access-Control-Allow-Origin"] == "*"
            async with asking(base) as response:
                assert "Access-Control-Allow-Origin" not in response.headers

    run(scenario())


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


def test_a_body_is_whole_before_its_handler_runs_or_refused() -> None:
    settings = HttpSettings(body_timeout_s=0.1, max_body_bytes=1024, shutdown_timeout_s=0.1)
    head = b"POST /api/echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"

    async def scenario() -> None:
        async with serving(web.post("/api/echo", echo), settings=settings) as (_, base):
            async with asking(f"{base}/api/echo", "POST", data=b"whole") as response:
                assert await response.read() == b"whole"
            async with asking(f"{base}/api/echo", "POST", data=b"x" * 1025) as response:
                assert response.status == 413
            assert (await exchange(base, head % 100, b"only this")).startswith(b"HTTP/1.1 408")

    run(scenario())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_head_that_never_ends_is_closed_in_time(sent: bytes) -> None:
    async def scenario() -> None:
        async with serving(settings=HttpSettings(header_timeout_s=0.1)) as (site, base):
            assert await exchange(base, sent) == b""
            assert site.guard.too_slow == 1

    run(scenario())


def test_a_long_answer_outlives_the_head_timer() -> None:
    released = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(text="late")

    async def scenario() -> None:
        async with serving(web.get("/live/wait", wait), settings=HttpSettings(header_timeout_s=1.0)) as (site, base):
            asyncio.get_running_loop().call_later(1.5, released.set)
            async with asking(f"{base}/live/wait") as response:
                assert await response.text() == "late"
            assert site.guard.too_slow == 0

    run(scenario())


def test_connections_have_a_limit_for_all_and_for_each_address() -> None:
    async def scenario() -> None:
        for settings in (HttpSettings(max_connections=2), HttpSettings(max_connections_per_address=2)):
            async with serving(settings=settings) as (site, base):
                port = int(base.rpartition(":")[2])
                held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
                assert (await exchange(base)).startswith(b"HTTP/1.1 503 ")
                assert (site.guard.open, site.guard.refused) == (2, 1)
                for reader, writer in held:
                    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    assert b'{"status": "ok"}' in await reader.read()
                    writer.close()
                async with asking(f"{base}/healthz") as response:
                    assert response.status == 200

    run(scenario())


@pytest.mark.parametrize(
    "head",
    [
        b"GARBAGE\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_a_bad_or_oversized_head_is_answered_400_without_a_traceback(
    head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving() as (_, base):
            answer = await exchange(base, head)
            assert answer.split(b" ")[1] == b"400"
            assert b"aiohttp" not in answer
            async with asking(f"{base}/healthz") as response:
                assert response.status == 200

    run(scenario())
    assert not [entry for entry in caplog.records if entry.exc_info]


def test_an_address_that_is_taken_is_named() -> None:
    async def scenario() -> None:
        async with serving() as (site, base):
            taken = Address.parse(base.removeprefix("http://"))
            with pytest.raises(ListenError, match=f"cannot listen on {taken}: .*in use"):
                await site.listen(taken)

    run(scenario())


def test_closing_cancels_what_does_not_end_by_itself() -> None:
    ended: list[str] = []

    async def forever(request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")
        raise AssertionError

    async def scenario() -> None:
        async with serving(web.get("/live/forever", forever)) as (_, base):
            port = int(base.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /live/forever HTTP/1.1\r\nHost: a\r\n\r\n")
            async with asking(f"{base}/healthz"):
                pass  # by now the first request has begun too
        assert await reader.read() == b""
        writer.close()
        assert ended == ["forever"]

    run(scenario())

"""A whole node inside the test's own process, and an API client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from streamer.address import Address
from streamer.config import (
    AccessSettings,
    Config,
    DataSettings,
    DrainSettings,
    HttpSettings,
    RtmpSettings,
    WebRtcSettings,
)
from streamer.node import Bound, Node

__all__ = ["Answer", "RunningNode", "on_uvloop", "running_node", "settings_in"]

ANY_PORT = Address("127.0.0.1", 0)
ROOM_KEY, OPERATOR_KEY = "the-stream-key-of-demo", "the-key-of-the-operator"
CREATED = "2025-01-01T00:00:00+00:00"


def on_uvloop(scenario: Coroutine[Any, Any, None], timeout_s: float = 60) -> None:
    """On the loop that the node uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario, timeout_s))


def settings_in(folder: Path, **sections: Any) -> Config:
    """Free ports on loopback, everything else as it is by default."""
    config = Config(
        http=HttpSettings(listen=ANY_PORT, shutdown_timeout_s=1.0),
        rtmp=RtmpSettings(listen=ANY_PORT),
        webrtc=WebRtcSettings(listen=ANY_PORT),
        access=AccessSettings(wrong_keys_free=100),
        drain=DrainSettings(),
        data=DataSettings(dir=folder),
    )
    return replace(config, **sections)


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is parsed where it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class RunningNode:
    """The node, its addresses, and requests to it."""

    def __init__(self, node: Node, bound: Bound, stop: asyncio.Event, client: aiohttp.ClientSession) -> None:
        self.node = node
        self.bound = bound
        self.stop = stop
        self.client = client
        self.base = f"http://{bound.http}"

    def publish_url(self, room: str = "demo", key: str = ROOM_KEY) -> str:
        return f"rtmp://{self.bound.rtmp}/live/{room}?key={key}"

    async def ask(self, path: str, method: str = "GET", *, key: str | None = OPERATOR_KEY) -> Answer:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.client.request(method, self.base + path, headers=headers) as response:
            text = await response.text()
            is_json = "json" in response.content_type
            return Answer(response.status, dict(response.headers), json.loads(text) if is_json else text)

    async def until(self, path: str, condition: str) -> Any:
        """Ask until the Python expression over `body` is true; the body then."""
        while True:
            answer = await self.ask(path)
            if answer.status == 200 and eval(condition, {"body": answer.body}):
                return answer.body
            await asyncio.sleep(0.02)

    async def watch(self, room: str = "demo") -> aiohttp.ClientResponse:
        """An HTTP viewer, past its first bytes."""
        response = await self.client.get(f"{self.base}/live/{room}.flv")
        assert response.status == 200, await response.text()
        assert (await response.content.readexactly(3)) == b"FLV"
        return response


@asynccontextmanager
async def running_node(config: Config) -> AsyncIterator[RunningNode]:
    """A node with one stream key, for `demo`, and the operator's. It is stopped with the block, if not before."""
    node, stop = Node(config), asyncio.Event()
    node.keys.put("demo", ROOM_KEY, created=CREATED)
    node.keys.put_operator(OPERATOR_KEY, created=CREATED)
    bound: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(node.run(stop, on_bound=bound.set_result))
    timeout = aiohttp.ClientTimeout(total=None, sock_read=20)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        await asyncio.wait({task, bound}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        running = RunningNode(node, bound.result(), stop, client)
        try:
            yield running
        finally:
            stop.set()
            await task

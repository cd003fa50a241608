"""Many viewers of a room in one process: a WebSocket client that looks at each distinct buffer once."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import msgpack  # type: ignore[import-untyped]

from wire.errors import WireError
from wire.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, WsParser, encode_masked_frame, parse_close

__all__ = ["STAMP", "ChatClient", "Tally", "connect"]

MAX_CACHED = 64
"""Distinct buffers remembered: everybody gets the same bytes within a tick or two."""
MAX_DELAY_MS = 60_000
JOIN_TIMEOUT_S = 30.0
STAMP = "sent"


@dataclass(slots=True)
class Tally:
    """What all clients of a process have seen. Delays are milliseconds from the moment a message was due to be sent."""

    deliveries: int = 0
    buffers: int = 0
    acks: int = 0
    delays: Counter[int] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    missed: int = 0
    cache: dict[bytes, _Decoded] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.deliveries += other.deliveries
        self.buffers += other.buffers
        self.acks += other.acks
        self.delays += other.delays
        self.drops += other.drops
        self.closes += other.closes
        self.missed += other.missed


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A buffer of whole frames. `shared` says that it holds ticks alone, which everybody gets alike."""

    messages: tuple[dict[str, Any], ...]
    stamps: tuple[float, ...]
    seqs: tuple[int, ...]
    shared: bool
    control: tuple[tuple[int, bytes], ...] = ()


class ChatClient(asyncio.Protocol):
    """One viewer. After `joined` is done it counts what arrives."""

    def __init__(self, tally: Tally, path: str, host: str, *, token: str | None, since: dict[str, Any] | None) -> None:
        self.joined: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seq = 0
        self.log = ""
        self.on_answer: Callable[[dict[str, Any]], None] | None = None
        self._tally = tally
        self._path = path
        self._host = host
        self._join = {"type": "join", "token": token, "since": since}
        self._transport: asyncio.Transport | None = None
        self._upgraded = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: msgpack\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            rest = self._upgrade(data)
            if not rest:
                return
            data = rest
        data = bytes(data)
        if self._rest:
            data = self._rest + data
        tally = self._tally
        decoded = tally.cache.get(data)
        if decoded is None:
            decoded, self._rest = _decode(data)
            if decoded.shared and not self._rest:
                if len(tally.cache) >= MAX_CACHED:
                    del tally.cache[next(iter(tally.cache))]
                tally.cache[data] = decoded
        else:
            self._rest = b""
        self._count(decoded)
        for message in decoded.messages:
            self._hear(message)
        for opcode, payload in decoded.control:
            self._control(opcode, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.joined.done():
            self.joined.set_exception(ConnectionError(f"closed before the hello: {exc}"))
            self.joined.exception()
        if not self.lost.done():
            self.lost.set_result(None)

    def send(self, message: dict[str, Any]) -> None:
        assert self._transport is not None
        self._transport.write(encode_masked_frame(msgpack.packb(message), BINARY, os.urandom(4)))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _upgrade(self, data: bytes) -> bytes:
        self._rest += data
        head, found, rest = self._rest.partition(b"\r\n\r\n")
        if not found:
            return b""
        if b" 101 " not in head.split(b"\r\n")[0]:
            self._tally.drops[f"refused: {head[:60].decode(errors='replace')}"] += 1
            self.abort()
            return b""
        self._upgraded, self._rest = True, b""
        self.send(self._join)
        return rest

    def _count(self, decoded: _Decoded) -> None:
        tally, now = self._tally, time.time()
        tally.buffers += 1
        tally.deliveries += len(decoded.stamps)
        delays = tally.delays
        for stamp in decoded.stamps:
            delays[min(int((now - stamp) * 1000), MAX_DELAY_MS)] += 1
        for seq in decoded.seqs:
            if seq > self.seq:
                tally.missed += seq - self.seq - 1
                self.seq = seq

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "hello":
            self._greeted(message)
        elif kind == "ack":
            self._tally.acks += 1
            if message.get("shown") == "self":
                self._tally.drops["shown to the sender alone"] += 1
        elif kind == "error":
            self._tally.drops[f"{message['code']} {message['name']}"] += 1
        elif kind == "reset":
            self._tally.drops["reset"] += 1
            self.seq, self.log = message["seq"], message["log"]
        if self.on_answer is not None:
            self.on_answer(message)

    def _greeted(self, message: dict[str, Any]) -> None:
        since = self._join["since"]
        if isinstance(since, dict):
            if not message["recovered"]:
                self._tally.drops["not recovered"] += 1
            seqs = [event["seq"] for event in message["events"]]
            self._tally.missed += sum(seq != since["seq"] + 1 + place for place, seq in enumerate(seqs))
        self.seq, self.log = message["seq"], message["log"]
        if not self.joined.done():
            self.joined.set_result(message)

    def _control(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        if opcode == PING:
            self._transport.write(encode_masked_frame(payload, PONG, os.urandom(4)))
        elif opcode == CLOSE:
            self._tally.closes[parse_close(payload)[0]] += 1
            self._transport.write(encode_masked_frame(payload[:2], CLOSE, os.urandom(4)))
            self._transport.close()


def _decode(data: bytes) -> tuple[_Decoded, bytes]:
    """The whole frames in `data`, and the bytes after them. Raises WireError."""
    parser = WsParser()
    parser.receive_data(data)
    messages: list[dict[str, Any]] = []
    control: list[tuple[int, bytes]] = []
    used = 0
    while (frame := parser.next_event()) is not None:
        size = len(frame.payload)
        used += size + (2 if size < 126 else 4 if size < 65_536 else 10)
        if frame.opcode >= CLOSE:
            control.append((frame.opcode, frame.payload))
        elif frame.opcode == CONTINUATION or not frame.fin:
            raise WireError("a fragmented message, which this server never sends")
        else:
            messages.append(msgpack.unpackb(frame.payload))
    events = [event for message in messages if message["type"] == "events" for event in message["events"]]
    stamps = tuple(float(event["body"]["text"].split()[1]) for event in events if _is_stamped(event))
    seqs = tuple(event["seq"] for event in events if event["seq"] is not None)
    others = tuple(message for message in messages if message["type"] != "events")
    return _Decoded(others, stamps, seqs, not others and not control, tuple(control)), data[used:]


def _is_stamped(event: dict[str, Any]) -> bool:
    return event["kind"] == "danmaku" and str(event["body"]["text"]).startswith(f"{STAMP} ")


async def connect(
    tally: Tally, url: str, room: str, *, token: str | None = None, since: dict[str, Any] | None = None
) -> ChatClient:
    """A viewer who has joined `room` at the server `url` (http://HOST:PORT). Raises OSError (TimeoutError too)."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    path = f"{parts.path.rstrip('/')}/rooms/{room}/ws"
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: ChatClient(tally, path, f"{host}:{port}", token=token, since=since), host, port
    )
    async with asyncio.timeout(JOIN_TIMEOUT_S):
        await client.joined
    return client

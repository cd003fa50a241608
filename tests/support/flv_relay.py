"""A small server to load: one RTMP publisher in, HTTP-FLV and WS-FLV out. Keeps no policy and drops nobody.

Run as a program it prints its process id and its two ports.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wire.flv import SCRIPT, VIDEO, FlvTag, encode_header, encode_tag
from wire.flv_audio import AudioConfigRecord, parse_audio
from wire.flv_video import VideoConfigRecord, VideoFrame, parse_video
from wire.rtmp import PublishRequested, RtmpServer, TagReceived
from wire.websocket import accept_key, encode_frame


@dataclass
class Relay:
    """`head` and `gop` are what a joiner gets; `refuse` makes it answer viewers with 404."""

    refuse: bool = False
    rtmp_port: int = 0
    http_port: int = 0
    head: list[bytes] = field(default_factory=list)
    gop: list[bytes] = field(default_factory=list)
    pending: list[bytes] = field(default_factory=list)
    viewers: dict[asyncio.StreamWriter, bool] = field(default_factory=dict)
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    servers: list[asyncio.Server] = field(default_factory=list)

    async def serve(self) -> None:
        self.servers.append(await asyncio.start_server(self.take, "127.0.0.1", 0))
        self.servers.append(await asyncio.start_server(self.answer, "127.0.0.1", 0, backlog=4096))
        self.rtmp_port, self.http_port = (server.sockets[0].getsockname()[1] for server in self.servers)

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for writer in self.connections:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self.connections), return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        server = RtmpServer(random_bytes=os.urandom(1528))
        while data := await reader.read(65536):
            server.receive_data(data)
            while (event := server.next_event()) is not None:
                if isinstance(event, PublishRequested):
                    server.accept()
                elif isinstance(event, TagReceived):
                    self.on_tag(event.tag)
            writer.write(server.data_to_send())
        writer.close()

    def on_tag(self, tag: FlvTag) -> None:
        parsed = parse_video(tag.body) if tag.kind == VIDEO else None
        if tag.kind == SCRIPT or isinstance(parsed, VideoConfigRecord) or is_audio_config(tag):
            self.head.append(encode_tag(tag))
            return
        self.pending.append(encode_tag(tag))
        if isinstance(parsed, VideoFrame):
            if parsed.keyframe:
                self.gop.clear()
            self.flush()

    def flush(self) -> None:
        picture = b"".join(self.pending)
        self.pending.clear()
        self.gop.append(picture)
        chunk, message = as_chunk(picture), encode_frame(picture)
        for writer, websocket in list(self.viewers.items()):
            if writer.is_closing():
                del self.viewers[writer]
            else:
                writer.write(message if websocket else chunk)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        prelude = encode_header(True, True) + b"".join(self.head + self.gop)
        if self.refuse:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            writer.close()
        elif "Upgrade: websocket" in request:
            key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
            head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            writer.write(f"{head}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode() + encode_frame(prelude))
            self.viewers[writer] = True
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + as_chunk(prelude))
            self.viewers[writer] = False


def is_audio_config(tag: FlvTag) -> bool:
    return tag.kind not in (SCRIPT, VIDEO) and isinstance(parse_audio(tag.body), AudioConfigRecord)


def as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def running_relay(relay: Relay) -> Iterator[Relay]:
    """The relay in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(relay.serve())
    thread = threading.Thread(target=loop.run_forever, name="relay")
    thread.start()
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(relay.close())
        loop.close()


async def main() -> None:
    relay = Relay()
    await relay.serve()
    sys.stdout.write(f"{os.getpid()} {relay.rtmp_port} {relay.http_port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

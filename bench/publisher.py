"""`streamer bench publish`: sends a clip for ever, in real time, with the time of sending in one picture of seven."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from bench.clip import Clip, ClipOptions, ClipTag, make_clip
from bench.stamp import STAMP_SIZE, stamp
from bench.viewers import READY
from bench.whip_media import WhipMedia
from bench.whip_publisher import WhipPublisher, is_whip_url
from wire.flv import FlvTag
from wire.rtmp import Closed, Published, Rejected, RtmpClient, RtmpUrl

__all__ = ["LoadPublisher", "PublishError", "open_publisher", "run_publisher"]

CONNECT_S = 10.0  # for the connection and the server's yes
READ_SIZE = 65_536
HANDSHAKE_BYTES = 1528  # RTMP 1.0, 5.2.3: the random part


class PublishError(ConnectionError):
    """The server did not accept the stream, or ended it. The sentence says which."""


class LoadPublisher:
    """One RTMP publisher, driven by the thread that calls `connect` and then `run`.

    Timestamps go on across the loop: round `k` is `k * clip.length_ms` later.
    """

    def __init__(self, url: str, clip: Clip) -> None:
        self._url = RtmpUrl.parse(url)
        self._clip = clip
        self._client = RtmpClient(self._url, random_bytes=os.urandom(HANDSHAKE_BYTES))
        self._sock: socket.socket | None = None
        self._published = False
        self.bytes_sent = 0

    def connect(self) -> None:
        """Until the server says that publishing has begun. OSError, WireError or PublishError."""
        self._sock = socket.create_connection((self._url.host, self._url.port), timeout=CONNECT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        deadline = time.monotonic() + CONNECT_S
        self._flush()
        while not self._published:
            self._receive(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                raise PublishError(f"no answer to publish within {CONNECT_S:.0f} s")
        for tag in self._clip.head:
            self._client.send_tag(tag)
        self._flush()

    def run(self, stopped: Callable[[float], bool]) -> None:
        """Send until `stopped(seconds)`, which waits at most so long, is true. OSError or PublishError at the end."""
        begun, sent = time.monotonic(), 0
        while True:
            lap, index = divmod(sent, len(self._clip.tags))
            tag = self._clip.tags[index]
            at_ms = lap * self._clip.length_ms + tag.offset_ms
            if stopped(max(0.0, begun + at_ms / 1000 - time.monotonic())):
                break
            self._receive(0)
            self._send(tag, at_ms)
            sent += 1
        self._client.close()
        self._flush()

    def close(self) -> None:
        if self._sock:
            self._sock.close()

    def _send(self, tag: ClipTag, at_ms: int) -> None:
        body = tag.body
        if tag.stamp_at is not None:
            end = tag.stamp_at + STAMP_SIZE
            body = b"".join((body[: tag.stamp_at], stamp(time.monotonic_ns()), body[end:]))
        self._client.send_tag(FlvTag(tag.kind, at_ms % (1 << 32), body))
        self._flush()

    def _flush(self) -> None:
        data = self._client.data_to_send()
        if data and self._sock:
            self._sock.sendall(data)
            self.bytes_sent += len(data)

    def _receive(self, timeout: float) -> None:
        """What the server says, at most one read; acknowledgements and answers to pings go out by themselves."""
        assert self._sock is not None
        if not select.select([self._sock], [], [], timeout)[0]:
            return
        self._client.receive_data(self._sock.recv(READ_SIZE))
        self._flush()
        while (event := self._client.next_event()) is not None:
            match event:
                case Published():
                    self._published = True
                case Rejected():
                    raise PublishError(f"the server refused the stream: {event.code} {event.description}")
                case Closed():
                    raise PublishError(f"the server ended the stream: {event.code} {event.description}")


def open_publisher(url: str, clip: Clip) -> LoadPublisher | WhipPublisher:
    """By RTMP, or by WHIP where the URL is an HTTP one. WireError or ValueError for any other."""
    return WhipPublisher(url, WhipMedia(clip)) if is_whip_url(url) else LoadPublisher(url, clip)


def run_publisher(url: str, options: ClipOptions, control: Connection) -> None:
    """A process's main: says READY when it publishes, and ends when anything comes back or the other end is gone."""
    publisher = open_publisher(url, make_clip(options))
    try:
        publisher.connect()
        control.send(READY)
        publisher.run(control.poll)
    finally:
        publisher.close()

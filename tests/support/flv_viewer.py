"""A remote player that keeps every byte: HTTP-FLV and WS-FLV, plain and over TLS."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from urllib.parse import urlsplit

from tests.support.eventually import eventually
from tests.support.flv import FlvFile, read_flv
from wire.flv_tag import FlvTag
from wire.websocket import BINARY, CLOSE, CONTINUATION, TEXT, WsParser, accept_key, encode_masked_frame, parse_close

__all__ = ["RawViewer", "connect", "steps_ms"]

READ_SIZE = 65_536
PATIENCE_S = 30.0


def connect(url: str, tls: ssl.SSLContext | None = None) -> socket.socket:
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
    return tls.wrap_socket(sock, server_hostname=parts.hostname) if tls else sock


class RawViewer:
    """Watches from a thread until the server ends it or `close` is called.

    `status` and `headers` are the response's; `ended` is None while it runs, then "clean" (the last chunk came),
    "cut", or "closed" (by ourselves). `close_code` is the WebSocket's; a peer that does not answer it is a rude one.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, answers_close: bool = True) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.ended: str | None = None
        self.close_code: int | None = None
        self.asked_at = time.monotonic()
        self.arrivals: list[tuple[float, int]] = []
        self._data = bytearray()
        self._answers_close = answers_close
        self._is_closing = False
        self._url = url
        self._sock = connect(url, tls)
        self._thread = threading.Thread(target=self._run, name=f"viewer of {url}", daemon=True)
        self._thread.start()

    def __enter__(self) -> RawViewer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def file(self) -> FlvFile:
        """What came so far, whole tags only."""
        return read_flv(self._data)

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    @property
    def peer_certificate(self) -> bytes:
        assert isinstance(self._sock, ssl.SSLSocket)
        certificate = self._sock.getpeercert(binary_form=True)
        assert certificate
        return certificate

    def wait_for_bytes(self, count: int = 1, *, within: float = PATIENCE_S) -> None:
        eventually(lambda: len(self._data) >= count or self.ended, f"{count} bytes from {self._url}", within=within)
        assert len(self._data) >= count, f"{self._url} ended: {self.ended}, status {self.status}"

    def wait_for(self, condition: Callable[[FlvFile], object], what: str, *, within: float = PATIENCE_S) -> FlvFile:
        """Until what came satisfies the condition."""
        eventually(lambda: condition(self.file) or self.ended, what, within=within)
        assert condition(self.file), f"{what}: {self._url} ended first: {self.ended}"
        return self.file

    def wait_for_more(self, pictures: int = 10) -> None:
        """That many more pictures."""
        have = len(self.file.pictures)
        self.wait_for(lambda file: len(file.pictures) >= have + pictures, f"{pictures} more pictures")

    def wait_for_end(self, *, within: float = PATIENCE_S) -> str:
        ended = eventually(lambda: self.ended, f"the end of {self._url}", within=within)
        self._thread.join()
        return ended

    def largest_silence_s(self, since: float) -> float:
        """The longest time without a byte after monotonic time `since`."""
        times = [at for at, _ in self.arrivals if at >= since]
        return max((b - a for a, b in pairwise(times)), default=float("inf"))

    def say(self, text: bytes) -> None:
        """A WebSocket text message, which viewers should not send."""
        self._sock.sendall(encode_masked_frame(text, TEXT, os.urandom(4)))

    def close(self) -> None:
        self._is_closing = True
        with suppress(OSError):  # gone already
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        try:
            ended = self._watch_websocket() if self._url.startswith("ws") else self._watch_http()
        except (OSError, http.client.HTTPException):
            ended = "cut"
        self.ended = "closed" if self._is_closing else ended

    def _watch_http(self) -> str:
        parts = urlsplit(self._url)
        self._sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        with http.client.HTTPResponse(self._sock, method="GET") as response:
            response.begin()
            self.headers = {name.lower(): value for name, value in response.headers.items()}
            self.status = response.status
            while data := response.read1(READ_SIZE):
                self._take(data)
        return "clean"

    def _watch_websocket(self) -> str:
        parser = WsParser()
        parser.receive_data(self._shake_hands())
        while True:
            while (frame := parser.next_event()) is not None:
                if frame.opcode == CLOSE:
                    self.close_code = parse_close(frame.payload)[0]
                    if self._answers_close:
                        self._sock.sendall(encode_masked_frame(frame.payload, CLOSE, os.urandom(4)))
                    return "clean"
                if frame.opcode in (BINARY, CONTINUATION):
                    self._take(frame.payload)
            data = self._sock.recv(READ_SIZE)
            if not data:
                return "cut"
            parser.receive_data(data)

    def _shake_hands(self) -> bytes:
        """RFC 6455, 4.1. What came behind the response's head."""
        parts, key = urlsplit(self._url), b64encode(os.urandom(16)).decode()
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
        self._sock.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self._sock.recv(READ_SIZE)
            if not data:
                raise ConnectionResetError("closed before the head")
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1])
        assert self.status != 101 or accept_key(key).encode() in head
        return rest

    def _take(self, data: bytes) -> None:
        self.arrivals.append((time.monotonic(), len(data)))
        self._data += data


def steps_ms(tags: list[FlvTag]) -> list[int]:
    """From each tag's time to the next."""
    return [b.timestamp - a.timestamp for a, b in pairwise(tags)]

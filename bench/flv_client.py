"""The viewer's end of HTTP-FLV and WS-FLV, without I/O: a request to send, and FLV bytes out of what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from wire.errors import LimitExceeded, Malformed, Unsupported
from wire.websocket import BINARY, CLOSE, CONTINUATION, PONG, WsParser, encode_masked_frame, parse_close

__all__ = ["HEARTBEAT", "FlvClient", "Target"]

MAX_HEAD = 16 * 1024  # bytes of response head; common servers send under 1 KB
MAX_CHUNK_LINE = 1024  # a chunk size and its extensions

# RFC 6455, 5.5.3: an unsolicited pong is a heartbeat. Masked as a client must, with the key 0: nothing is hidden here.
HEARTBEAT = encode_masked_frame(b"", PONG, bytes(4))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL of an FLV stream. `path` includes the query."""

    websocket: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, websocket: bool = False) -> Target:
        """`http://` or `ws://`; `websocket` asks for a WebSocket whatever the scheme. ValueError for anything else."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "ws") or not parts.hostname:
            raise ValueError(f"{url}: only http:// and ws:// URLs can be loaded")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(websocket or parts.scheme == "ws", parts.hostname, parts.port or 80, path)

    def request(self) -> bytes:
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", "User-Agent: streamer-bench"]
        if self.websocket:
            # The key proves nothing to a load generator, so it is the RFC's own example (RFC 6455, 1.3).
            lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
            lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


class Framing(Protocol):
    """How the body is wrapped. `pieces` counts chunks or messages: what the server handed over at once."""

    pieces: int

    def feed(self, data: bytes) -> bytes: ...


class FlvClient:
    """Takes what the server sends and gives FLV bytes; `head_done` after the response head.

    `receive_data` raises WireError when the response cannot be used: another status, a broken frame.
    """

    def __init__(self, *, websocket: bool) -> None:
        self._websocket = websocket
        self._head = bytearray()
        self._framing: Framing | None = None

    @property
    def head_done(self) -> bool:
        return self._framing is not None

    @property
    def pieces(self) -> int:
        return self._framing.pieces if self._framing else 0

    def receive_data(self, data: bytes) -> bytes:
        if self._framing:
            return self._framing.feed(data)
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > MAX_HEAD:
                raise LimitExceeded(f"response head is over {MAX_HEAD} bytes")
            return b""
        self._framing = self._read_head(bytes(head))
        self._head.clear()
        return self._framing.feed(bytes(rest))

    def _read_head(self, head: bytes) -> Framing:
        first, *lines = head.decode("latin-1").split("\r\n")
        wanted = "101" if self._websocket else "200"
        if not first.startswith("HTTP/1.") or first.split(" ")[1:2] != [wanted]:
            raise Unsupported(f"the server answered {first[:80]!r}, not {wanted}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self._websocket:
            return _Messages()
        return _Chunks() if fields.get("transfer-encoding", "").lower() == "chunked" else _Plain()


class _Plain:
    """Close-delimited: a read is the only piece there is."""

    def __init__(self) -> None:
        self.pieces = 0

    def feed(self, data: bytes) -> bytes:
        self.pieces += bool(data)
        return data


class _Chunks:
    """RFC 9112, 7.1: chunked transfer coding."""

    def __init__(self) -> None:
        self.pieces = 0
        self._buffer = bytearray()
        self._left = 0  # of the chunk being read, with its CRLF

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        body = bytearray()
        at = 0
        while at < len(self._buffer):
            if self._left:
                taken = min(self._left, len(self._buffer) - at)
                body += self._buffer[at : at + min(taken, max(0, self._left - 2))]
                self._left -= taken
                at += taken
            elif (end := self._buffer.find(b"\r\n", at, at + MAX_CHUNK_LINE)) >= 0:
                self._left = _chunk_size(self._buffer[at:end]) + 2
                self.pieces += 1
                at = end + 2
            else:
                if len(self._buffer) - at >= MAX_CHUNK_LINE:
                    raise LimitExceeded(f"chunk line is over {MAX_CHUNK_LINE} bytes")
                break
        del self._buffer[:at]
        return bytes(body)


def _chunk_size(line: bytearray) -> int:
    digits = bytes(line.partition(b";")[0]).strip()
    if not digits or len(digits) > 8 or any(d not in b"0123456789abcdefABCDEF" for d in digits):
        raise Malformed(f"chunk size {digits[:16]!r} is not hexadecimal")
    return int(digits, 16)


class _Messages:
    """WebSocket messages. Control frames are passed over; a close ends the viewer with its code."""

    def __init__(self) -> None:
        self.pieces = 0
        self._parser = WsParser()

    def feed(self, data: bytes) -> bytes:
        self._parser.receive_data(data)
        body = bytearray()
        while (frame := self._parser.next_event()) is not None:
            if frame.opcode in (BINARY, CONTINUATION):
                body += frame.payload
                self.pieces += frame.fin
            elif frame.opcode == CLOSE:
                raise Unsupported("the server closed the WebSocket with {} {}".format(*parse_close(frame.payload)))
        return bytes(body)

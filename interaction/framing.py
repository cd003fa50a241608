"""Messages as the bytes of each transport. One message is framed once, and the same bytes go to everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interaction.packing import Format, pack
from media.reasons import Reason
from wire.websocket import BINARY, TEXT, encode_close, encode_frame, encode_ping

__all__ = ["JSON_SSE", "JSON_WS", "MSGPACK_WS", "Framing"]


@dataclass(frozen=True)
class Framing:
    """How a transport carries a message, a sign of life, and the end."""

    name: str
    form: Format
    frame: Callable[[Mapping[str, Any]], bytes]
    ping: bytes
    close: Callable[[Reason], bytes]
    answers_pings: bool

    def __repr__(self) -> str:
        return f"Framing({self.name})"


def _ws_close(reason: Reason) -> bytes:
    return encode_close(reason.code, reason.text)


def _chunk(data: bytes) -> bytes:
    """RFC 9112, 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _sse(message: Mapping[str, Any]) -> bytes:
    """One server-sent event. JSON has no bare line breaks, so one data line holds it."""
    position = b"id: %b\n" % str(message["cursor"]).encode() if "cursor" in message else b""
    kind = str(message["type"]).encode()
    return _chunk(b"event: %b\n%bdata: %b\n\n" % (kind, position, pack(message, Format.JSON)))


def _sse_close(reason: Reason) -> bytes:
    bye = {"type": "close", "code": reason.code, "name": reason.name, "may_retry": reason.may_retry}
    return _sse(bye)


MSGPACK_WS = Framing(
    "msgpack", Format.MSGPACK, lambda message: encode_frame(pack(message), BINARY), encode_ping(), _ws_close, True
)
JSON_WS = Framing(
    "json", Format.JSON, lambda message: encode_frame(pack(message, Format.JSON), TEXT), encode_ping(), _ws_close, True
)
JSON_SSE = Framing("sse", Format.JSON, _sse, _chunk(b": \n\n"), _sse_close, False)

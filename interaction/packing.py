"""Messages as bytes: msgpack, or JSON for those who ask for it.

What a client sends either unpacks to a map of plain values or raises `Refused`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgpack  # type: ignore[import-untyped]

from interaction.refusal import MALFORMED, TOO_LARGE, Refused

__all__ = ["Format", "pack", "unpack", "unpack_map"]

MAX_DEPTH = 8
"""An event's body nests twice. Python's own parsers give up at about a thousand."""
MAX_INTEGER = (1 << 63) - 1
"""Media time is signed 64 bits, and Lua's msgpack reads no more."""


class Format(StrEnum):
    """The names are the WebSocket subprotocols too."""

    MSGPACK = "msgpack"
    JSON = "json"


def pack(message: Any, form: Format = Format.MSGPACK) -> bytes:
    """One message as bytes. The value is ours, so this does not fail."""
    if form is Format.MSGPACK:
        return bytes(msgpack.packb(message, use_bin_type=True))
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def unpack(data: bytes | str, form: Format, *, limit: int) -> Any:
    """One value from a peer. Raises Refused: TOO_LARGE over `limit` bytes, MALFORMED for anything unreadable."""
    size = len(data) if isinstance(data, bytes) else len(data.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise Refused(TOO_LARGE, f"message of {size} bytes exceeds {limit}")
    try:
        value = msgpack.unpackb(data, raw=False) if form is Format.MSGPACK else json.loads(data)
    # msgpack documents ValueError for its own errors and lets others through from deep or odd input.
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as exc:
        raise Refused(MALFORMED, f"{form} cannot be read: {type(exc).__name__}") from exc
    _check(value, MAX_DEPTH)
    return value


def unpack_map(data: bytes | str, form: Format, *, limit: int) -> Mapping[str, Any]:
    """One map with text keys from a peer. Raises Refused."""
    value = unpack(data, form, limit=limit)
    if not isinstance(value, dict):
        raise Refused(MALFORMED, f"expected a map, got {type(value).__name__}")
    return value


def _check(value: Any, depth: int) -> None:
    """Only plain values that every format and Lua can carry."""
    if depth < 0:
        raise Refused(MALFORMED, f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Refused(MALFORMED, f"a key is {type(key).__name__}, not text")
            _check_text(key)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise Refused(MALFORMED, "an integer needs more than 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(MALFORMED, "a number is not finite")
    elif value is not None:
        raise Refused(MALFORMED, f"values of type {type(value).__name__} are not carried")


def _check_text(text: str) -> None:
    """JSON can smuggle half a surrogate pair, which no encoder will take."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise Refused(MALFORMED, "text with half a surrogate pair") from exc

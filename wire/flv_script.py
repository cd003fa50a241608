"""Bodies of FLV script tags and RTMP data messages: a name and values in AMF0 (FLV 10.1, E.4.4)."""

from __future__ import annotations

from dataclasses import dataclass

from wire.amf0 import AmfValue, decode_all, encode
from wire.errors import Malformed

__all__ = ["ScriptData", "encode_script", "parse_script"]

_SET_DATA_FRAME = "@setDataFrame"


@dataclass(frozen=True, slots=True)
class ScriptData:
    """One call: onMetaData with its properties, or whatever a publisher says."""

    name: str
    values: tuple[AmfValue, ...]


def parse_script(body: bytes) -> ScriptData:
    """One body, with @setDataFrame (what a publisher wraps around metadata) taken off. WireError."""
    values = decode_all(body)
    if values and values[0] == _SET_DATA_FRAME:
        values = values[1:]
    if not values or not isinstance(values[0], str):
        raise Malformed(f"script data of {len(values)} values does not begin with a name")
    return ScriptData(values[0], tuple(values[1:]))


def encode_script(name: str, *values: AmfValue) -> bytes:
    """The body of a call. TypeError or ValueError for what AMF0 cannot hold."""
    return encode(name, *values)

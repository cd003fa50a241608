"""AMF0, the value format of RTMP commands and FLV script tags.

Source: Action Message Format -- AMF 0 (Adobe, 2007). Python types stand for AMF0 types:

    float number    bool boolean    str string or long string    None null    UNDEFINED undefined
    dict object     EcmaArray ECMA array    TypedObject typed object    list strict array
    AmfDate date    XmlDocument XML document

Strings are UTF-8; bytes that are not are read as U+FFFD, because encoders put file names of any charset in metadata.
References and AMF3 values (marker 0x11) raise `Unsupported`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported

__all__ = [
    "MAX_DEPTH",
    "MAX_VALUES",
    "UNDEFINED",
    "AmfDate",
    "AmfValue",
    "EcmaArray",
    "TypedObject",
    "Undefined",
    "XmlDocument",
    "decode",
    "decode_all",
    "encode",
]

# Real commands and metadata nest three deep (a keyframe index); Python's own stack is the next limit.
MAX_DEPTH = 16

# All values of one decoding, nested ones included. Metadata has about 30; a keyframe index of a recording is the
# largest thing that is written this way, at two values a keyframe.
MAX_VALUES = 20_000

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _MOVIECLIP, _NULL, _UNDEFINED, _REFERENCE, _ECMA_ARRAY = range(9)
_OBJECT_END, _STRICT_ARRAY, _DATE, _LONG_STRING, _UNSUPPORTED, _RECORDSET, _XML, _TYPED_OBJECT, _AMF3 = range(9, 18)

_MARKER_NAMES = {_MOVIECLIP: "movie clip", _REFERENCE: "reference", _RECORDSET: "record set", _AMF3: "AMF3 value"}

_F64 = struct.Struct(">d")
_DATE_FIELDS = struct.Struct(">dh")


class Undefined(Enum):
    """The type of the one value UNDEFINED."""

    UNDEFINED = "undefined"

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final[Literal[Undefined.UNDEFINED]] = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class AmfDate:
    """Milliseconds since 1970 UTC, and a time zone in minutes that the specification keeps at 0 (2.13)."""

    milliseconds: float
    zone: int = 0


class XmlDocument(str):
    """The source text of an XML document (2.17)."""

    __slots__ = ()


class EcmaArray(dict[str, "AmfValue"]):
    """An associative array (2.10): an object that announces its length, which readers ignore."""

    __slots__ = ()


class TypedObject(dict[str, "AmfValue"]):
    """An object with a class name (2.18)."""

    __slots__ = ("class_name",)

    def __init__(self, class_name: str, properties: dict[str, AmfValue]) -> None:
        super().__init__(properties)
        self.class_name = class_name


AmfValue = (
    float | bool | str | None | Undefined | AmfDate | dict[str, "AmfValue"] | list["AmfValue"]
)  # EcmaArray, TypedObject and XmlDocument are subclasses of what stands here


def decode(data: bytes, offset: int = 0) -> tuple[AmfValue, int]:
    """The value that starts at `offset`, and the offset behind it. Raises `WireError`."""
    reader = _Reader(data, offset)
    return reader.value(MAX_DEPTH), reader.offset


def decode_all(data: bytes, offset: int = 0) -> list[AmfValue]:
    """All values from `offset` to the end. Raises `WireError`."""
    reader = _Reader(data, offset)
    values = []
    while reader.offset < len(data):
        values.append(reader.value(MAX_DEPTH))
    return values


def encode(*values: AmfValue) -> bytes:
    """The values one after the other. Raises TypeError or ValueError for what AMF0 cannot hold."""
    out = bytearray()
    for value in values:
        _write(out, value, MAX_DEPTH)
    return bytes(out)


class _Reader:
    """A position in `data` and a count of the values that may still be read."""

    __slots__ = ("_budget", "_data", "offset")

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self.offset = offset
        self._budget = MAX_VALUES

    def value(self, depth: int) -> AmfValue:
        self._budget -= 1
        if self._budget < 0:
            raise LimitExceeded(f"more than {MAX_VALUES} AMF0 values")
        if depth == 0:
            raise LimitExceeded(f"AMF0 nested deeper than {MAX_DEPTH}")
        at = self.offset
        marker = self._bytes(1)[0]
        if marker in _CONTAINERS:
            return self._container(marker, depth - 1)
        return self._scalar(marker, at)

    def _scalar(self, marker: int, at: int) -> AmfValue:
        match marker:
            case 0:
                number: float = _F64.unpack(self._bytes(8))[0]
                return number
            case 1:
                return self._bytes(1) != b"\x00"
            case 2:
                return self._text(2)
            case 5:
                return None
            case 6 | 13:  # 2.15: "unsupported" stands for a value that the sender could not write
                return UNDEFINED
            case 11:
                return AmfDate(*_DATE_FIELDS.unpack(self._bytes(10)))
            case 12:
                return self._text(4)
            case 15:
                return XmlDocument(self._text(4))
        if marker in _MARKER_NAMES:
            raise Unsupported(f"AMF0 {_MARKER_NAMES[marker]} at byte {at}")
        raise Malformed(f"AMF0 marker {marker} at byte {at}")

    def _container(self, marker: int, depth: int) -> AmfValue:
        if marker == _OBJECT:
            return self._properties(depth)
        if marker == _TYPED_OBJECT:
            return TypedObject(self._text(2), self._properties(depth))
        count = int.from_bytes(self._bytes(4), "big")
        if marker == _ECMA_ARRAY:
            return EcmaArray(self._properties(depth, count))
        left = len(self._data) - self.offset
        if count > left:  # each value takes at least its marker
            raise Truncated(f"AMF0 array of {count} values in {left} bytes")
        return [self.value(depth) for _ in range(count)]

    def _properties(self, depth: int, count: int | None = None) -> dict[str, AmfValue]:
        """Names and values up to the end marker.

        An ECMA array's count is not trusted, except that some encoders leave the end marker out: the data may end
        after `count` properties.
        """
        properties: dict[str, AmfValue] = {}
        while not (len(properties) == count and self.offset == len(self._data)):
            name = self._text(2)
            if not name and self._data[self.offset : self.offset + 1] == b"\x09":
                self.offset += 1
                break
            properties[name] = self.value(depth)
        return properties

    def _text(self, length_size: int) -> str:
        length = int.from_bytes(self._bytes(length_size), "big")
        return self._bytes(length).decode("utf-8", "replace")

    def _bytes(self, size: int) -> bytes:
        end = self.offset + size
        if end > len(self._data):
            raise Truncated(f"AMF0 wants {size} bytes at byte {self.offset}, {len(self._data) - self.offset} are there")
        taken = self._data[self.offset : end]
        self.offset = end
        return taken


_CONTAINERS = frozenset({_OBJECT, _ECMA_ARRAY, _STRICT_ARRAY, _TYPED_OBJECT})


def _write(out: bytearray, value: AmfValue, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"AMF0 nested deeper than {MAX_DEPTH}")
    match value:
        case bool():
            out += bytes((_BOOLEAN, value))
        case int() | float():
            out.append(_NUMBER)
            out += _F64.pack(value)
        case str():
            _write_string(out, value)
        case None:
            out.append(_NULL)
        case Undefined():
            out.append(_UNDEFINED)
        case AmfDate():
            out.append(_DATE)
            out += _DATE_FIELDS.pack(value.milliseconds, value.zone)
        case dict():
            _write_object(out, value, depth - 1)
        case list():
            out.append(_STRICT_ARRAY)
            out += len(value).to_bytes(4, "big")
            for element in value:
                _write(out, element, depth - 1)
        case _:
            raise TypeError(f"AMF0 cannot hold {type(value).__name__}")


def _write_string(out: bytearray, value: str) -> None:
    text = value.encode()
    if isinstance(value, XmlDocument) or len(text) > 0xFFFF:
        out.append(_XML if isinstance(value, XmlDocument) else _LONG_STRING)
        out += len(text).to_bytes(4, "big")
    else:
        out.append(_STRING)
        out += len(text).to_bytes(2, "big")
    out += text


def _write_object(out: bytearray, value: dict[str, AmfValue], depth: int) -> None:
    if isinstance(value, EcmaArray):
        out.append(_ECMA_ARRAY)
        out += len(value).to_bytes(4, "big")
    elif isinstance(value, TypedObject):
        out.append(_TYPED_OBJECT)
        out += _name(value.class_name)
    else:
        out.append(_OBJECT)
    for name, element in value.items():
        out += _name(name)
        _write(out, element, depth)
    out += b"\x00\x00\x09"


def _name(name: str) -> bytes:
    text = name.encode()
    if len(text) > 0xFFFF:
        raise ValueError(f"AMF0 name of {len(text)} bytes exceeds 65535")
    return len(text).to_bytes(2, "big") + text

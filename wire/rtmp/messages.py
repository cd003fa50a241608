"""RTMP messages: type ids, protocol control, commands, aggregates, and what of a message is an FLV tag.

Source: RTMP 1.0, sections 5.4, 6.2 and 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wire.amf0 import AmfValue, decode_all, encode
from wire.errors import Malformed, Truncated
from wire.flv_tag import SCRIPT, FlvTag
from wire.rtmp.chunk import RtmpMessage

__all__ = [
    "ABORT",
    "ACKNOWLEDGEMENT",
    "AGGREGATE",
    "COMMAND",
    "COMMAND_AMF3",
    "DATA_AMF3",
    "PING_REQUEST",
    "PING_RESPONSE",
    "SET_CHUNK_SIZE",
    "SET_PEER_BANDWIDTH",
    "STREAM_BEGIN",
    "USER_CONTROL",
    "WINDOW_ACK_SIZE",
    "Command",
    "control",
    "data_body",
    "set_data_frame",
    "set_peer_bandwidth",
    "split_aggregate",
    "u32_of",
    "user_control",
    "user_control_of",
]

SET_CHUNK_SIZE, ABORT, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_ACK_SIZE, SET_PEER_BANDWIDTH = range(1, 7)
# 8, 9 and 18 are AUDIO, VIDEO and SCRIPT of wire.flv_tag.
DATA_AMF3, COMMAND_AMF3, COMMAND, AGGREGATE = 15, 17, 20, 22

# 7.1.7: event types of user control messages.
STREAM_BEGIN, PING_REQUEST, PING_RESPONSE = 0, 6, 7

_DYNAMIC = 2  # 5.4.5: limit type of Set Peer Bandwidth

# What a type 15 or 17 body starts with when its values are AMF0 after all: the format selector, or the switch marker
# that some encoders put there instead.
_FORMAT_BYTES = (b"\x00", b"\x11")

_SET_DATA_FRAME = encode("@setDataFrame")
_CLEAR_DATA_FRAME = encode("@clearDataFrame")
_ON_METADATA = encode("onMetaData")


def control(kind: int, value: int) -> RtmpMessage:
    """A protocol control message with one 32-bit number (5.4)."""
    return RtmpMessage(kind, 0, 0, value.to_bytes(4, "big"))


def set_peer_bandwidth(size: int) -> RtmpMessage:
    return RtmpMessage(SET_PEER_BANDWIDTH, 0, 0, size.to_bytes(4, "big") + bytes((_DYNAMIC,)))


def user_control(event: int, value: int) -> RtmpMessage:
    return RtmpMessage(USER_CONTROL, 0, 0, event.to_bytes(2, "big") + value.to_bytes(4, "big"))


def u32_of(message: RtmpMessage) -> int:
    """The number of a protocol control message."""
    if len(message.body) < 4:
        raise Truncated(f"control message {message.kind} of {len(message.body)} bytes, 4 are needed")
    return int.from_bytes(message.body[:4], "big")


def user_control_of(message: RtmpMessage) -> tuple[int, int]:
    """Event type, and its first number (0 where there is none)."""
    if len(message.body) < 2:
        raise Truncated(f"user control message of {len(message.body)} bytes, 2 are needed")
    return int.from_bytes(message.body[:2], "big"), int.from_bytes(message.body[2:6], "big")


@dataclass(frozen=True, slots=True)
class Command:
    """`arguments` begins with the command object (7.1.1). `stream_id` is the message stream it came on."""

    name: str
    transaction: float
    arguments: tuple[AmfValue, ...] = ()
    stream_id: int = 0

    def __repr__(self) -> str:  # arguments may hold a stream key
        name = self.name if self.name.isidentifier() else "?"
        return f"Command({name[:32]} #{self.transaction:g}, {len(self.arguments)} arguments)"

    @classmethod
    def parse(cls, message: RtmpMessage) -> Command:
        values = decode_all(_amf0_part(message.body, message.kind == COMMAND_AMF3))
        name = values[0] if values else None
        if not isinstance(name, str):
            raise Malformed(f"command of {len(values)} values does not begin with its name")
        transaction = values[1] if len(values) > 1 else 0.0  # left out by some encoders where none is awaited
        if not isinstance(transaction, float):
            raise Malformed("command whose transaction id is not a number")
        return cls(name, transaction, tuple(values[2:]), message.stream_id)

    def message(self) -> RtmpMessage:
        return RtmpMessage(COMMAND, 0, self.stream_id, encode(self.name, self.transaction, *self.arguments))

    def argument(self, index: int) -> AmfValue:
        """None where it was left out; 0 is the command object."""
        return self.arguments[index] if index < len(self.arguments) else None

    def text(self, index: int) -> str:
        """A string argument, or an empty string where it is missing or something else."""
        value = self.argument(index)
        return value if isinstance(value, str) else ""


def data_body(message: RtmpMessage) -> bytes:
    """The FLV script tag body of a data message; empty when there is nothing to hand on.

    Encoders wrap metadata as `@setDataFrame`, `onMetaData`, values: the first of them is an instruction to the server.
    """
    body = _amf0_part(message.body, message.kind == DATA_AMF3)
    if body.startswith(_CLEAR_DATA_FRAME):
        return b""
    return body.removeprefix(_SET_DATA_FRAME)


def set_data_frame(tag: FlvTag) -> bytes:
    """The data message body that publishes a script tag."""
    if tag.kind == SCRIPT and tag.body.startswith(_ON_METADATA):
        return _SET_DATA_FRAME + tag.body
    return tag.body


def split_aggregate(message: RtmpMessage) -> Iterator[RtmpMessage]:
    """The messages in an aggregate message, which look like the tags of an FLV file (7.1.6).

    Their timestamps are moved so that the first has the aggregate's.
    """
    body = message.body
    at = 0
    shift: int | None = None
    while at < len(body):
        if at + 11 > len(body):
            raise Truncated(f"aggregate message: {len(body) - at} bytes at byte {at}, a header has 11")
        kind = body[at]
        size = int.from_bytes(body[at + 1 : at + 4], "big")
        timestamp = int.from_bytes(body[at + 4 : at + 7], "big") | body[at + 7] << 24
        if kind == AGGREGATE:
            raise Malformed(f"aggregate message inside an aggregate message at byte {at}")
        if at + 11 + size > len(body):
            raise Truncated(f"aggregate message: part of {size} bytes at byte {at} of {len(body)}")
        if shift is None:
            shift = message.timestamp - timestamp
        yield RtmpMessage(kind, (timestamp + shift) & 0xFFFFFFFF, message.stream_id, body[at + 11 : at + 11 + size])
        at += 11 + size + 4  # the back pointer; the last one may be missing


def _amf0_part(body: bytes, may_have_format: bool) -> bytes:
    return body[1:] if may_have_format and body[:1] in _FORMAT_BYTES else body

"""What a node and its transcode worker say to each other: framed msgpack, read without I/O.

A message is four bytes of length, big-endian, and a msgpack array: the number of its kind, then its fields in order.
Both ends are ours, but a worker runs codecs on a stranger's bytes, so what it says is checked like a stranger's.

Messages are named tuples, which are made and checked sooner than frozen dataclasses: a worker wakes up for two units of
sound at a time, with cold caches, where that is a twentieth of its cost. Two kinds with the same values are equal, so
look at the type first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args, get_type_hints

import msgpack  # type: ignore[import-untyped]

from wire.errors import LimitExceeded, Malformed

__all__ = [
    "MAX_MESSAGE",
    "Done",
    "ForceKeyframe",
    "KeyframeWanted",
    "LiveFrom",
    "MadeTrack",
    "MadeUnit",
    "Message",
    "MessageReader",
    "Note",
    "Ready",
    "RungFailed",
    "RungLags",
    "RungReport",
    "SourceRefused",
    "SourceReport",
    "SourceTrack",
    "SourceUnit",
    "StartOutput",
    "StartRung",
    "StopOutput",
    "StopRung",
    "encode_message",
]

MAX_MESSAGE = 16 * 1024 * 1024
"""Twice the largest message that RTMP ingest takes by default, so every unit that came in fits."""
MAX_PARTS = 4096
"""Parts of one unit: a picture of hundreds of slices with their metadata stays far below."""

_LENGTH = struct.Struct(">I")


class SourceTrack(NamedTuple):
    """To the worker: units that name `track` are of this codec. `record` is its AudioSpecificConfig, avcC, ...

    A picture has no sample rate and no channels: both are 0.
    """

    track: int
    codec: str
    record: bytes
    sample_rate: int
    channels: int


class SourceUnit(NamedTuple):
    """To the worker: one access unit of a track. Times are 90 kHz ticks on the stream's timeline."""

    seq: int
    track: int
    dts: int
    pts: int
    keyframe: bool
    parts: tuple[bytes, ...]


class StartOutput(NamedTuple):
    """To the worker: make `output`, whose units then name this `run`: their configuration is the one of its start.

    `follows` is the dts at which its next unit is due, None for anywhere.
    """

    output: str
    run: int
    channels: int
    follows: int | None


class StopOutput(NamedTuple):
    """To the worker: nobody wants this any more."""

    output: str


class StartRung(NamedTuple):
    """To the worker: encode `output` from the next picture on, which is a keyframe in all rungs. As in `media.rung`.

    Its units then name this `run`. A rung that is being encoded already begins anew, with these values.
    """

    output: str
    run: int
    codec: str
    height: int
    bitrate: int
    frame_rate: float | None
    preset: str
    profile: str
    keyframe_interval: float
    encoder: str


class StopRung(NamedTuple):
    """To the worker: nobody wants this rung any more."""

    output: str


class ForceKeyframe(NamedTuple):
    """To the worker: the next picture is a keyframe, in all rungs."""


class LiveFrom(NamedTuple):
    """To the worker, before the units it is about: pictures before `pts` are decoded, but not encoded."""

    pts: int


class Ready(NamedTuple):
    """From the worker: it has started. Everything sent before it is read then."""


class Done(NamedTuple):
    """From the worker: it is through with the source unit `seq`. `problem` says why nothing came of it, else ''."""

    seq: int
    problem: str


class MadeUnit(NamedTuple):
    """From the worker: one encoded unit of an output.

    `spent_us` microseconds passed since the unit came that released its picture; 0 for sound.
    """

    output: str
    run: int
    dts: int
    pts: int
    keyframe: bool
    parts: tuple[bytes, ...]
    spent_us: int = 0


class MadeTrack(NamedTuple):
    """From the worker: the following units of this output have this configuration. `record` is its avcC or hvcC."""

    output: str
    run: int
    codec: str
    record: bytes


class KeyframeWanted(NamedTuple):
    """From the worker: pictures were lost or damaged; only a keyframe of the source makes it whole again."""

    problem: str


class SourceRefused(NamedTuple):
    """From the worker: this source is not decoded, and its units are answered for without being looked at."""

    problem: str


class RungFailed(NamedTuple):
    """From the worker: this rung is not encoded any more, as if it had been stopped."""

    output: str
    run: int
    problem: str


class RungLags(NamedTuple):
    """From the worker, at most once a second and rung: `dropped` pictures since the last time, `depth_ms` wait."""

    output: str
    run: int
    depth_ms: int
    dropped: int


class RungReport(NamedTuple):
    """From the worker: what a rung has done since its start, and how much of the source waits for its encoder."""

    output: str
    run: int
    depth_ms: int
    frames: int
    dropped: int
    cpu_ms: int


class SourceReport(NamedTuple):
    """From the worker: pictures decoded since its start, units that gave an error, units whose picture never came."""

    depth_ms: int
    frames: int
    undecodable: int
    hidden: int
    cpu_ms: int


class Note(NamedTuple):
    """From the worker: a line for the log. `level` as in `logging`."""

    level: int
    text: str


ToSound = SourceTrack | SourceUnit | StartOutput | StopOutput
ToPicture = StartRung | StopRung | ForceKeyframe | LiveFrom
FromSound = Ready | Done | MadeUnit | Note
FromPicture = MadeTrack | KeyframeWanted | SourceRefused | RungFailed | RungLags | RungReport | SourceReport
Message = ToSound | FromSound | ToPicture | FromPicture

_KINDS: tuple[type[Message], ...] = get_args(Message)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_PARTS = tuple[bytes, ...]
_FIELD_TYPES: dict[object, tuple[type, ...]] = {
    int: (int,),
    int | None: (int, type(None)),
    float: (float, int),
    float | None: (float, int, type(None)),
    str: (str,),
    bytes: (bytes,),
    bool: (bool,),
    _PARTS: (tuple,),
}
_FIELDS = {kind: tuple(get_type_hints(kind).items()) for kind in _KINDS}
_EXPECTED = [(kind, tuple(_FIELD_TYPES[hint] for _, hint in _FIELDS[kind])) for kind in _KINDS]


def encode_message(message: Message) -> bytes:
    """The framed bytes. LimitExceeded when they would be longer than the other side takes."""
    body: bytes = msgpack.packb((_NUMBERS[type(message)], *message))
    if len(body) > MAX_MESSAGE:
        raise LimitExceeded(f"{type(message).__name__} of {len(body)} bytes exceeds {MAX_MESSAGE}")
    return _LENGTH.pack(len(body)) + body


class MessageReader:
    """Bytes in, messages out. Malformed and LimitExceeded end the conversation: there is no way to find the next."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def messages(self) -> Iterator[Message]:
        """Every message that is complete."""
        position = 0
        try:
            while len(self._buffer) - position >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, position)
                if length > MAX_MESSAGE:
                    raise LimitExceeded(f"message of {length} bytes exceeds {MAX_MESSAGE}")
                end = position + _LENGTH.size + length
                if end > len(self._buffer):
                    return
                body, position = bytes(self._buffer[position + _LENGTH.size : end]), end
                yield _parse(body)
        finally:
            del self._buffer[:position]


def _parse(body: bytes) -> Message:
    try:
        values = msgpack.unpackb(body, use_list=False, max_array_len=MAX_PARTS, max_map_len=0, max_ext_len=0)
    # msgpack's own exceptions share no base; depth, trailing bytes and bad UTF-8 have their own ones
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise Malformed(f"message of {len(body)} bytes is no msgpack: {exc}") from exc
    if type(values) is not tuple or not values or type(values[0]) is not int:
        raise Malformed(f"message of {len(body)} bytes does not begin with its kind")
    number, *rest = values
    if not 0 <= number < len(_KINDS):
        raise Malformed(f"message of unknown kind {number}")
    kind, expected = _EXPECTED[number]
    if len(expected) != len(rest):
        raise Malformed(f"{kind.__name__} with {len(rest)} fields instead of {len(expected)}")
    for place, types in enumerate(expected):
        value = rest[place]
        if type(value) not in types or (type(value) is tuple and not all(type(part) is bytes for part in value)):
            name, hint = _FIELDS[kind][place]
            raise Malformed(f"{kind.__name__}.{name} is {type(value).__name__} instead of {hint}")
    make: Callable[..., Message] = kind
    return make(*rest)

"""RTMP chunks to messages and back.

Source: Adobe's Real Time Messaging Protocol 1.0 (2012), section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.buffer import ByteQueue
from wire.errors import LimitExceeded, Malformed
from wire.rtmp.limits import RtmpLimits

__all__ = ["DEFAULT_CHUNK_SIZE", "MAX_CHUNK_SIZE", "ChunkReader", "ChunkWriter", "RtmpMessage"]

DEFAULT_CHUNK_SIZE = 128
# 5.4.1: larger sizes mean the same, because no message is larger.
MAX_CHUNK_SIZE = 0xFFFFFF

_EXTENDED = 0xFFFFFF
_MAX_HEADER = 3 + 11 + 4
_MESSAGE_HEADER_SIZE = (11, 7, 3, 0)


@dataclass(frozen=True, slots=True)
class RtmpMessage:
    """One message: type id, timestamp in ms (0 <= timestamp < 2**32), message stream id, body."""

    kind: int
    timestamp: int
    stream_id: int
    body: bytes

    def __repr__(self) -> str:  # the body may hold a stream key
        return f"RtmpMessage(type {self.kind}, {self.timestamp} ms, stream {self.stream_id}, {len(self.body)} bytes)"


class _ChunkStream:
    """The last header of one chunk stream, and the message that is arriving on it."""

    __slots__ = ("body", "delta", "extended", "kind", "length", "stream_id", "timestamp")

    def __init__(self) -> None:
        self.timestamp = 0
        self.delta = 0
        self.extended = b""  # the extended timestamp's 4 bytes, when the last header had one
        self.length = 0
        self.kind = 0
        self.stream_id = 0
        self.body: bytearray | None = None  # None between messages


class ChunkReader:
    """Chunks in, messages out. Set `chunk_size` when the peer's Set Chunk Size has been read."""

    def __init__(self, limits: RtmpLimits) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._limits = limits
        self._queue = ByteQueue()
        self._streams: dict[int, _ChunkStream] = {}
        self._current: _ChunkStream | None = None  # its header was read, its payload was not
        self._partial = 0
        self._empty = 0

    def __repr__(self) -> str:
        return f"ChunkReader({len(self._streams)} chunk streams, {self._partial} partial bytes, {self._queue!r})"

    def feed(self, data: bytes) -> None:
        self._queue.append(data)

    def next_message(self) -> RtmpMessage | None:
        """The next whole message, or None when more bytes are needed. Raises `WireError`."""
        while True:
            if self._current is None:
                self._current = self._read_header()
                if self._current is None:
                    return None
            stream = self._current
            have = 0 if stream.body is None else len(stream.body)
            size = min(self.chunk_size, stream.length - have)
            if len(self._queue) < size:
                return None
            self._current = None
            if (message := self._read_payload(stream, size)) is not None:
                return message

    def abort(self, csid: int) -> None:
        """Drop what has arrived of a message (5.4.2)."""
        stream = self._streams.get(csid)
        if stream is not None and stream.body is not None:
            self._partial -= len(stream.body)
            stream.body = None

    def _read_payload(self, stream: _ChunkStream, size: int) -> RtmpMessage | None:
        if stream.body is None and size == stream.length:  # the whole message in one chunk
            return self._message(stream, self._queue.take(size))
        if stream.body is None:
            stream.body = bytearray()
        self._partial += size
        if self._partial > self._limits.partial_size:
            raise LimitExceeded(f"{self._partial} bytes of unfinished messages exceed {self._limits.partial_size}")
        stream.body += self._queue.take(size)
        if len(stream.body) < stream.length:
            return None
        body = bytes(stream.body)
        stream.body = None
        self._partial -= len(body)
        return self._message(stream, body)

    def _message(self, stream: _ChunkStream, body: bytes) -> RtmpMessage:
        if not body:
            self._empty += 1
            if self._empty > self._limits.empty_messages:
                raise LimitExceeded(f"more than {self._limits.empty_messages} messages without a body")
        return RtmpMessage(stream.kind, stream.timestamp, stream.stream_id, body)

    def _read_header(self) -> _ChunkStream | None:
        head = self._queue.peek(_MAX_HEADER)
        if not head:
            return None
        kind = head[0] >> 6
        csid, size = _basic_header(head)
        if csid is None or len(head) < size + _MESSAGE_HEADER_SIZE[kind]:
            return None
        if kind == 3:
            return self._read_repeated(head, csid, size)
        field = int.from_bytes(head[size : size + 3], "big")
        end = size + _MESSAGE_HEADER_SIZE[kind]
        extended = b""
        if field == _EXTENDED:
            extended = head[end : end + 4]
            if len(extended) < 4:
                return None
            field = int.from_bytes(extended, "big")
        stream = self._open(csid, kind)
        stream.extended = extended
        self._begin(stream, kind, field, head[size:end])
        self._queue.skip(end + len(extended))
        return stream

    def _read_repeated(self, head: bytes, csid: int, size: int) -> _ChunkStream | None:
        """A type 3 chunk: the rest of a message, or a new one that is like the last (5.3.1.2.4)."""
        stream = self._open(csid, 3)
        if stream.extended:
            # 5.3.1.3: repeated in type 3 chunks. Some encoders do not, so it counts only when it is the same value.
            repeated = head[size : size + 4]
            if len(repeated) < 4 and stream.extended.startswith(repeated):
                return None
            if repeated == stream.extended:
                size += 4
        if stream.body is None:
            stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
        self._queue.skip(size)
        return stream

    def _open(self, csid: int, kind: int) -> _ChunkStream:
        stream = self._streams.get(csid)
        if stream is None:
            # Type 1 on a new chunk stream is what librtmp's ping sends; it leaves the stream id at 0.
            if kind > 1:
                raise Malformed(f"chunk stream {csid} begins with a type {kind} header")
            if len(self._streams) >= self._limits.chunk_streams:
                raise LimitExceeded(f"more than {self._limits.chunk_streams} chunk streams")
            stream = self._streams[csid] = _ChunkStream()
        elif stream.body is not None and kind != 3:
            raise Malformed(
                f"chunk stream {csid}: type {kind} header when {len(stream.body)} of {stream.length} bytes have come"
            )
        return stream

    def _begin(self, stream: _ChunkStream, kind: int, field: int, header: bytes) -> None:
        stream.delta = field  # 5.3.1.2.4: after type 0, the delta of a type 3 chunk is that timestamp
        stream.timestamp = field if kind == 0 else (stream.timestamp + field) & 0xFFFFFFFF
        if kind < 2:
            stream.length = int.from_bytes(header[3:6], "big")
            stream.kind = header[6]
            limit = self._limits.message_size(stream.kind)
            if stream.length > limit:
                raise LimitExceeded(f"message of type {stream.kind}: {stream.length} bytes exceed {limit}")
        if kind == 0:
            stream.stream_id = int.from_bytes(header[7:11], "little")


def _basic_header(head: bytes) -> tuple[int | None, int]:
    """The chunk stream id, None when more bytes are needed, and the size of the basic header (5.3.1.1)."""
    low = head[0] & 0x3F
    if low > 1:
        return low, 1
    if len(head) < low + 2:
        return None, 0
    return (64 + head[1], 2) if low == 0 else (64 + head[1] + 256 * head[2], 3)


@dataclass(slots=True)
class _Sent:
    """The last message written on a chunk stream; `delta` is None after a type 0 header."""

    timestamp: int
    delta: int | None
    length: int
    kind: int
    stream_id: int


class ChunkWriter:
    """Messages in, chunks out, with the smallest header that says it.

    Set `chunk_size` behind the message that announces it. A type 3 header never follows a type 0 one as the start of
    a message, because readers disagree about its delta.
    """

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._sent: dict[int, _Sent] = {}

    def write(self, csid: int, message: RtmpMessage) -> bytes:
        """The message as chunks on chunk stream `csid`, 2 to 65599."""
        kind, field, fixed = self._header(csid, message)
        extended = field.to_bytes(4, "big") if field >= _EXTENDED else b""
        head = _basic(kind, csid) + fixed + extended
        body = message.body
        if len(body) <= self.chunk_size:
            return head + body
        again = _basic(3, csid) + extended
        step = self.chunk_size
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        return head + again.join(pieces)

    def _header(self, csid: int, message: RtmpMessage) -> tuple[int, int, bytes]:
        """Header type, timestamp or delta, and the message header's bytes."""
        length = len(message.body)
        last = self._sent.get(csid)
        fresh = _Sent(message.timestamp, None, length, message.kind, message.stream_id)
        self._sent[csid] = fresh
        if last is None or last.stream_id != message.stream_id or message.timestamp < last.timestamp:
            return 0, message.timestamp, _full(message, message.timestamp)
        delta = fresh.delta = message.timestamp - last.timestamp
        if (length, message.kind) != (last.length, last.kind):
            return 1, delta, _full(message, delta)[:7]
        if delta != last.delta:
            return 2, delta, min(delta, _EXTENDED).to_bytes(3, "big")
        return 3, delta, b""


def _full(message: RtmpMessage, field: int) -> bytes:
    return (
        min(field, _EXTENDED).to_bytes(3, "big")
        + len(message.body).to_bytes(3, "big")
        + bytes((message.kind,))
        + message.stream_id.to_bytes(4, "little")
    )


def _basic(kind: int, csid: int) -> bytes:
    if csid < 2:
        raise ValueError(f"chunk stream id {csid} is below 2")
    if csid < 64:
        return bytes((kind << 6 | csid,))
    if csid < 320:
        return bytes((kind << 6, csid - 64))
    return bytes((kind << 6 | 1, (csid - 64) & 0xFF, (csid - 64) >> 8))

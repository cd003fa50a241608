"""What both ends of an RTMP connection do below the commands: handshake, chunks, protocol control."""

from __future__ import annotations

from typing import Protocol

from wire.buffer import ByteQueue
from wire.errors import LimitExceeded, Malformed
from wire.rtmp import messages
from wire.rtmp.chunk import MAX_CHUNK_SIZE, ChunkReader, ChunkWriter, RtmpMessage
from wire.rtmp.limits import RtmpLimits
from wire.rtmp.messages import control, u32_of, user_control, user_control_of

__all__ = ["CONTROL_CSID", "RtmpLink"]

CONTROL_CSID = 2  # 5.4: protocol control goes on chunk stream 2, message stream 0


class Handshake(Protocol):
    """Either role's handshake."""

    def step(self, queue: ByteQueue, out: bytearray) -> bool: ...


class RtmpLink:
    """Bytes to messages and back; answers protocol control by itself.

    `receive` then `next_message` until None then `acknowledge`; what is to be sent collects for `take_output`.
    """

    def __init__(self, handshake: Handshake, limits: RtmpLimits) -> None:
        self.ready = False
        self.bytes_received = 0
        self._handshake = handshake
        self._min_chunk_size = limits.min_chunk_size
        self._head = ByteQueue()
        self._reader = ChunkReader(limits)
        self._writer = ChunkWriter()
        self._out = bytearray()
        self._peer_window = 0  # 0: the peer has not asked for acknowledgements
        self._acknowledged = 0
        self._own_window = 0

    def receive(self, data: bytes) -> None:
        """Raises `WireError` when the handshake fails."""
        self.bytes_received += len(data)
        if self.ready:
            self._reader.feed(data)
            return
        self._head.append(data)
        self.advance_handshake()

    def advance_handshake(self) -> None:
        """Also called once at the start by the role that speaks first."""
        self.ready = self._handshake.step(self._head, self._out)
        if self.ready:
            self._reader.feed(self._head.take(len(self._head)))

    def next_message(self) -> RtmpMessage | None:
        """The next message that is not protocol control. Raises `WireError`."""
        while self.ready and (message := self._reader.next_message()) is not None:
            if message.kind > messages.SET_PEER_BANDWIDTH or message.kind == 0:
                return message
            self._control(message)
        return None

    def acknowledge(self) -> None:
        """Acknowledge what came since the last time, if the peer's window says so (5.4.3)."""
        if self._peer_window and self.bytes_received - self._acknowledged >= self._peer_window:
            self._acknowledged = self.bytes_received
            self.send(CONTROL_CSID, control(messages.ACKNOWLEDGEMENT, self.bytes_received & 0xFFFFFFFF))

    def send(self, csid: int, message: RtmpMessage) -> None:
        self._out += self._writer.write(csid, message)

    def set_chunk_size(self, size: int) -> None:
        """Announce and use it."""
        self.send(CONTROL_CSID, control(messages.SET_CHUNK_SIZE, size))
        self._writer.chunk_size = size

    def set_window(self, size: int) -> None:
        """Ask the peer for an acknowledgement each `size` bytes."""
        self._own_window = size
        self.send(CONTROL_CSID, control(messages.WINDOW_ACK_SIZE, size))

    def take_output(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def _control(self, message: RtmpMessage) -> None:
        match message.kind:
            case messages.SET_CHUNK_SIZE:
                self._reader.chunk_size = self._checked_chunk_size(u32_of(message))
            case messages.ABORT:
                self._reader.abort(u32_of(message))
            case messages.USER_CONTROL:
                self._user_control(message)
            case messages.WINDOW_ACK_SIZE:
                self._peer_window = u32_of(message)
            case messages.SET_PEER_BANDWIDTH:
                self._peer_bandwidth(u32_of(message))
            case _:  # an acknowledgement of what was sent needs no answer
                u32_of(message)

    def _checked_chunk_size(self, size: int) -> int:
        if size >> 31:
            raise Malformed(f"chunk size {size:#x} has its top bit set")
        if size < self._min_chunk_size:
            raise LimitExceeded(f"chunk size {size} is below {self._min_chunk_size}")
        return min(size, MAX_CHUNK_SIZE)

    def _user_control(self, message: RtmpMessage) -> None:
        event, value = user_control_of(message)
        if event == messages.PING_REQUEST:
            self.send(CONTROL_CSID, user_control(messages.PING_RESPONSE, value))

    def _peer_bandwidth(self, size: int) -> None:
        """5.4.5: answered with a window size if it differs from the last one sent."""
        if size != self._own_window:
            self.set_window(size)

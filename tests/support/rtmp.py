"""A scripted publisher: writes what an encoder would, reads what the server answers."""

from __future__ import annotations

from wire.amf0 import AmfValue
from wire.buffer import ByteQueue
from wire.rtmp import RtmpLimits, RtmpServer, ServerEvent
from wire.rtmp.chunk import ChunkWriter, RtmpMessage
from wire.rtmp.handshake import ClientHandshake
from wire.rtmp.link import RtmpLink
from wire.rtmp.messages import Command

RANDOM = bytes(range(256)) * 5 + bytes(248)
NAME = "demo?key=hidden-secret"


class Accepting:
    """A handshake that is already over."""

    def step(self, queue: ByteQueue, out: bytearray) -> bool:
        return True


class Encoder:
    """Drives one RtmpServer over a perfect link; `answers` are the commands that came back."""

    def __init__(self, limits: RtmpLimits | None = None) -> None:
        self.server = RtmpServer(random_bytes=RANDOM, limits=limits)
        self.events: list[ServerEvent] = []
        self.answers: list[Command] = []
        self.messages: list[RtmpMessage] = []
        self.writer = ChunkWriter()
        self._reader = RtmpLink(Accepting(), RtmpLimits())
        self._shake()

    def send(self, message: RtmpMessage, csid: int = 3) -> None:
        self.send_bytes(self.writer.write(csid, message))

    def send_bytes(self, data: bytes) -> None:
        self.server.receive_data(data)
        self.drain()

    def call(self, name: str, transaction: float, *arguments: AmfValue, stream_id: int = 0) -> list[Command]:
        """Send a command; what it was answered with."""
        before = len(self.answers)
        self.send(Command(name, transaction, arguments, stream_id).message())
        return self.answers[before:]

    def connect(self, **more: AmfValue) -> list[Command]:
        asked: dict[str, AmfValue] = {"app": "live", "flashVer": "FMLE/3.0", "tcUrl": "rtmp://host/live"}
        return self.call("connect", 1, asked | more)

    def request(self) -> None:
        """Everything up to publish."""
        self.connect()
        self.call("releaseStream", 2, None, NAME)
        self.call("FCPublish", 3, None, NAME)
        self.call("createStream", 4, None)
        self.call("publish", 5, None, NAME, "live", stream_id=1)

    def publish(self) -> None:
        """Everything up to an accepted publication, with the events so far thrown away."""
        self.request()
        assert self.server.accept()
        self.drain()
        self.events.clear()

    def drain(self) -> None:
        while (event := self.server.next_event()) is not None:
            self.events.append(event)
        self._reader.receive(self.server.data_to_send())
        while (message := self._reader.next_message()) is not None:
            self.messages.append(message)
            self.answers.append(Command.parse(message))

    def status(self) -> dict[str, AmfValue]:
        """The last status object that came back."""
        found = next(answer for answer in reversed(self.answers) if answer.name == "onStatus")
        value = found.argument(1)
        assert isinstance(value, dict)
        return value

    def _shake(self) -> None:
        handshake, queue, out = ClientHandshake(RANDOM), ByteQueue(), bytearray()
        handshake.step(queue, out)
        self.server.receive_data(bytes(out))
        queue.append(self.server.data_to_send())
        out.clear()
        assert handshake.step(queue, out)
        self.server.receive_data(bytes(out))


def aggregate_part(kind: int, timestamp: int, body: bytes, back: bool = True) -> bytes:
    """One message inside an aggregate message, with or without the back pointer."""
    low, high = timestamp & 0xFFFFFF, timestamp >> 24
    head = bytes((kind,)) + len(body).to_bytes(3, "big") + low.to_bytes(3, "big") + bytes((high, 0, 0, 0))
    return head + body + ((len(body) + 11).to_bytes(4, "big") if back else b"")

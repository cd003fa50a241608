"""The client's side of an RTMP connection, for publishers: what the load generators speak."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from wire.amf0 import AmfValue
from wire.errors import Malformed, WireError
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag
from wire.rtmp import messages
from wire.rtmp.chunk import MAX_CHUNK_SIZE, RtmpMessage
from wire.rtmp.events import ClientEvent, Closed, Published, Rejected
from wire.rtmp.handshake import ClientHandshake
from wire.rtmp.limits import RtmpLimits
from wire.rtmp.link import RtmpLink
from wire.rtmp.messages import Command
from wire.rtmp.redact import redact

__all__ = ["ClientState", "RtmpClient", "RtmpUrl"]

_DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
_COMMAND_CSID = 3
# Audio and video apart, so that each keeps its own small headers.
_TAG_CSIDS = {AUDIO: 4, SCRIPT: 5, VIDEO: 6}

# Transaction ids: the server's answers carry them.
_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _PUBLISH, _FC_UNPUBLISH, _DELETE = (float(n) for n in range(1, 8))


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """`rtmp://host:port/app/name`: the last segment, with its query, is the name to publish."""

    scheme: str
    host: str
    port: int
    app: str
    name: str

    @classmethod
    def parse(cls, url: str) -> RtmpUrl:
        """Raises `Malformed`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise Malformed("not an RTMP URL: the address is not readable") from exc
        app, _, name = parts.path.strip("/").rpartition("/")
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not app or not name:
            raise Malformed("not an RTMP URL: rtmp://host:port/app/name is needed")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], app, name + query)

    @property
    def tc_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.app}"

    def __repr__(self) -> str:
        return f"RtmpUrl({self.tc_url}/{redact(self.name)})"


class ClientState(Enum):
    """Where the connection is; each waits for one answer of the server."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    CREATING = "creating"
    REQUESTING = "requesting"
    PUBLISHING = "publishing"
    CLOSED = "closed"


class RtmpClient:
    """Connects and publishes `url` by itself; after `Published`, `send_tag`.

    `data_to_send` has the first bytes at once, and is to be drained after every call.
    """

    def __init__(
        self,
        url: RtmpUrl,
        *,
        random_bytes: bytes,
        chunk_size: int = 65_536,
        encoder: str = "FMLE/3.0 (compatible; streamer)",
        limits: RtmpLimits | None = None,
    ) -> None:
        if not 1 <= chunk_size <= MAX_CHUNK_SIZE:
            raise ValueError(f"chunk size {chunk_size} is not in 1 to {MAX_CHUNK_SIZE}")
        self.state = ClientState.HANDSHAKE
        self._url = url
        self._chunk_size = chunk_size
        self._encoder = encoder
        self._events: deque[ClientEvent] = deque()
        self._stream = 0
        self._link = RtmpLink(ClientHandshake(random_bytes), limits or RtmpLimits())
        self._link.advance_handshake()

    def __repr__(self) -> str:
        return f"RtmpClient({self._url!r}, {self.state.value})"

    @property
    def bytes_received(self) -> int:
        return self._link.bytes_received

    def receive_data(self, data: bytes) -> None:
        """Feed what the socket gave; b"" is the end. Raises `WireError`, after which the connection is dead."""
        if self.state is ClientState.CLOSED:
            return
        if not data:
            self._finish(Closed())
            return
        try:
            self._receive(data)
        except WireError:
            self.state = ClientState.CLOSED
            raise

    def next_event(self) -> ClientEvent | None:
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        return self._link.take_output()

    def send_tag(self, tag: FlvTag) -> None:
        """Only between `Published` and the end; metadata is wrapped in `@setDataFrame`."""
        if self.state is not ClientState.PUBLISHING:
            raise RuntimeError(f"send_tag in state {self.state.value}")
        body = messages.set_data_frame(tag) if tag.kind == SCRIPT else tag.body
        self._link.send(_TAG_CSIDS[tag.kind], RtmpMessage(tag.kind, tag.timestamp, self._stream, body))

    def close(self) -> None:
        """Unpublish in good order; the socket is closed when `data_to_send` has gone out."""
        if self._stream and self.state is not ClientState.CLOSED:
            self._call("FCUnpublish", _FC_UNPUBLISH, None, self._url.name)
            self._call("deleteStream", _DELETE, None, float(self._stream))
        self.state = ClientState.CLOSED

    def _receive(self, data: bytes) -> None:
        self._link.receive(data)
        if self.state is ClientState.HANDSHAKE and self._link.ready:
            self._connect()
        while (message := self._link.next_message()) is not None:
            if message.kind in (messages.COMMAND, messages.COMMAND_AMF3):
                self._command(Command.parse(message))
        self._link.acknowledge()

    def _command(self, command: Command) -> None:
        awaited = command.transaction if command.name in ("_result", "_error") else 0.0
        step = _TABLE.get((self.state, command.name, awaited))
        if step is not None:
            step(self, command)

    def _connect(self) -> None:
        self.state = ClientState.CONNECTING
        self._link.set_chunk_size(self._chunk_size)
        asked: AmfValue = {
            "app": self._url.app,
            "type": "nonprivate",
            "flashVer": self._encoder,
            "tcUrl": self._url.tc_url,
        }
        self._call("connect", _CONNECT, asked)

    def _create(self, command: Command) -> None:
        self.state = ClientState.CREATING
        self._call("releaseStream", _RELEASE, None, self._url.name)
        self._call("FCPublish", _FC_PUBLISH, None, self._url.name)
        self._call("createStream", _CREATE, None)

    def _publish(self, command: Command) -> None:
        stream = command.argument(1)
        if not isinstance(stream, float) or not 0 < stream < 2**32 or stream != int(stream):
            raise Malformed("createStream was not answered with a stream id")
        self._stream = int(stream)
        self.state = ClientState.REQUESTING
        self._call("publish", _PUBLISH, None, self._url.name, "live", stream_id=self._stream)

    def _answered(self, command: Command) -> None:
        level, code, description = _status(command)
        if code == "NetStream.Publish.Start":
            self.state = ClientState.PUBLISHING
            self._events.append(Published())
        elif level == "error":
            self._finish(Rejected(code, description))

    def _refused(self, command: Command) -> None:
        _, code, description = _status(command)
        self._finish(Rejected(code, description))

    def _ended(self, command: Command) -> None:
        level, code, description = _status(command)
        if level == "error" or code in _ENDS:
            self._finish(Closed(code, description))

    def _finish(self, event: ClientEvent) -> None:
        self.state = ClientState.CLOSED
        self._events.append(event)

    def _call(self, name: str, transaction: float, *arguments: AmfValue, stream_id: int = 0) -> None:
        self._link.send(_COMMAND_CSID, Command(name, transaction, arguments, stream_id).message())


def _status(command: Command) -> tuple[str, str, str]:
    """Level, code and description of a status object; empty strings for what is missing."""
    status = command.argument(1)
    if not isinstance(status, dict):
        return "", "", ""
    level, code, description = (
        value if isinstance(value := status.get(key), str) else "" for key in ("level", "code", "description")
    )
    return level, code, description


_ENDS = ("NetStream.Unpublish.Success", "NetConnection.Connect.Closed")

# (state, command, transaction id) -> what to do; everything else a server says is not needed by a publisher.
# Any answer to releaseStream and FCPublish will do, so they are not here.
_TABLE: Mapping[tuple[ClientState, str, float], Callable[[RtmpClient, Command], None]] = {
    (ClientState.CONNECTING, "_result", _CONNECT): RtmpClient._create,
    (ClientState.CONNECTING, "_error", _CONNECT): RtmpClient._refused,
    (ClientState.CONNECTING, "onStatus", 0.0): RtmpClient._ended,
    (ClientState.CREATING, "_result", _CREATE): RtmpClient._publish,
    (ClientState.CREATING, "_error", _CREATE): RtmpClient._refused,
    (ClientState.CREATING, "onStatus", 0.0): RtmpClient._ended,
    (ClientState.REQUESTING, "onStatus", 0.0): RtmpClient._answered,
    (ClientState.REQUESTING, "_error", _PUBLISH): RtmpClient._refused,
    (ClientState.PUBLISHING, "onStatus", 0.0): RtmpClient._ended,
}

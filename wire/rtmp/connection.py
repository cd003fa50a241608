"""The server's side of one RTMP connection, for publishers.

Source: RTMP 1.0, 7.2, and Enhanced RTMP v2 for `fourCcList` and `capsEx`. The commands releaseStream, FCPublish,
FCUnpublish, _checkbw and getStreamLength are in no specification; encoders send them and some wait for the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NoReturn

from wire.amf0 import UNDEFINED, AmfValue
from wire.errors import LimitExceeded, Malformed, WireError
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag
from wire.rtmp import messages
from wire.rtmp.chunk import RtmpMessage
from wire.rtmp.events import Closed, Connected, PublishRequested, ServerEvent, TagReceived, Unpublished
from wire.rtmp.handshake import ServerHandshake
from wire.rtmp.limits import RtmpLimits
from wire.rtmp.link import CONTROL_CSID, RtmpLink
from wire.rtmp.messages import Command

__all__ = ["RtmpServer", "ServerState"]

_VIDEO_FOUR_CCS = ("avc1", "hvc1", "av01")
_AUDIO_FOUR_CCS = ("mp4a", "Opus")
FOUR_CCS = _VIDEO_FOUR_CCS + _AUDIO_FOUR_CCS

# FFmpeg and OBS acknowledge and cut at what the server asks for: large chunks cost less to parse.
_CHUNK_SIZE = 65_536
_WINDOW = 2_500_000
_COMMAND_CSID = 3
_CAN_FORWARD = 4.0  # Enhanced RTMP v2, FourCcInfoMask


class ServerState(Enum):
    """Where the connection is. In STOPPED a publication was refused or has ended, and may be asked for again."""

    HANDSHAKE = "handshake"
    CONNECT = "connect"
    IDLE = "idle"
    PENDING = "pending"
    PUBLISHING = "publishing"
    STOPPED = "stopped"
    CLOSED = "closed"


class RtmpServer:
    """One connection. Bytes go into `receive_data`, events come out of `next_event`, bytes out of `data_to_send`.

    After every call that may answer (`receive_data`, `accept`, `reject`, `close`) send what `data_to_send` returns,
    and stop reading from a peer that does not read it. The time a handshake or a request may take is the caller's
    to limit.
    """

    def __init__(self, *, random_bytes: bytes, limits: RtmpLimits | None = None) -> None:
        self.state = ServerState.HANDSHAKE
        self.late_tags = 0
        """Tags that came after the publication ended or was refused, and were dropped."""
        self._limits = limits or RtmpLimits()
        self._link = RtmpLink(ServerHandshake(random_bytes), self._limits)
        self._events: deque[ServerEvent] = deque()
        self._app = ""
        self._streams: set[int] = set()
        self._next_stream = 1
        self._published = 0  # the message stream of the publication, 0 for none
        self._early: list[FlvTag] = []
        self._early_size = 0
        self._commands = 0

    def __repr__(self) -> str:
        return f"RtmpServer({self.state.value}, {self.bytes_received} bytes received)"

    @property
    def bytes_received(self) -> int:
        return self._link.bytes_received

    def receive_data(self, data: bytes) -> None:
        """Feed what the socket gave; b"" is the end. Raises `WireError`, after which the connection is dead.

        A dead or closed connection ignores what else comes.
        """
        if self.state is ServerState.CLOSED:
            return
        if not data:
            self._end()
            return
        try:
            self._receive(data)
        except WireError:
            self.state = ServerState.CLOSED
            raise

    def next_event(self) -> ServerEvent | None:
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        return self._link.take_output()

    def accept(self) -> bool:
        """Grant the pending publish request. False when the client has withdrawn it or has gone."""
        if self.state is not ServerState.PENDING:
            return False
        self.state = ServerState.PUBLISHING
        self._link.send(CONTROL_CSID, messages.user_control(messages.STREAM_BEGIN, self._published))
        self._status(self._published, "status", "NetStream.Publish.Start", "publishing")
        self._events.extend(map(TagReceived, self._early))
        self._forget_early()
        return True

    def reject(self, code: str = "NetStream.Publish.BadName", description: str = "refused") -> bool:
        """Refuse the pending publish request. False when the client has withdrawn it or has gone."""
        if self.state is not ServerState.PENDING:
            return False
        self.state = ServerState.STOPPED
        self._status(self._published, "error", code, description)
        self.late_tags += len(self._early)
        self._forget_early()
        return True

    def close(self, code: str, description: str = "", *, level: str = "status") -> None:
        """Tell the client why, then take nothing more. The socket is closed when `data_to_send` has gone out."""
        if self.state not in (ServerState.HANDSHAKE, ServerState.CLOSED):
            self._status(self._published if code.startswith("NetStream.") else 0, level, code, description)
        self.state = ServerState.CLOSED

    def _end(self) -> None:
        self.state = ServerState.CLOSED
        self._events.append(Closed())

    def _receive(self, data: bytes) -> None:
        self._link.receive(data)
        if self.state is ServerState.HANDSHAKE and self._link.ready:
            self.state = ServerState.CONNECT
        while (message := self._link.next_message()) is not None:
            self._message(message)
        self._link.acknowledge()

    def _message(self, message: RtmpMessage) -> None:
        kind = message.kind
        if kind in (VIDEO, AUDIO):
            self._tag(message, message.body)
        elif kind in (SCRIPT, messages.DATA_AMF3):
            self._tag(message, messages.data_body(message))
        elif kind in (messages.COMMAND, messages.COMMAND_AMF3):
            self._command(Command.parse(message))
        elif kind == messages.AGGREGATE:
            for part in messages.split_aggregate(message):
                self._message(part)
        # Else a shared object or an unknown type: nothing that a publisher needs.

    def _tag(self, message: RtmpMessage, body: bytes) -> None:
        # Stream id 0 is what some encoders put on metadata.
        if message.stream_id not in (0, self._published):
            raise Malformed(f"media on message stream {message.stream_id}, {self._published} is published")
        if not body:
            return
        kind = SCRIPT if message.kind == messages.DATA_AMF3 else message.kind
        tag = FlvTag(kind, message.timestamp, body)
        match self.state:
            case ServerState.PUBLISHING:
                self._events.append(TagReceived(tag))
            case ServerState.PENDING:
                self._hold(tag)
            case ServerState.STOPPED:
                self.late_tags += 1
            case _:
                raise Malformed(f"message of type {message.kind} in state {self.state.value}: nothing is published")

    def _hold(self, tag: FlvTag) -> None:
        """Keep a tag of an encoder that did not wait for the answer."""
        self._early.append(tag)
        self._early_size += len(tag.body)
        if len(self._early) > self._limits.early_tags or self._early_size > self._limits.early_size:
            raise LimitExceeded(
                f"{len(self._early)} tags of {self._early_size} bytes before the publish request was answered exceed"
                f" {self._limits.early_tags} tags or {self._limits.early_size} bytes"
            )

    def _forget_early(self) -> None:
        self._early = []
        self._early_size = 0

    def _command(self, command: Command) -> None:
        self._commands += 1
        if self._commands > self._limits.commands:
            raise LimitExceeded(f"more than {self._limits.commands} commands")
        steps = _TABLE[self.state]
        steps.get(self._word(command), steps[_ANY_OTHER])(self, command)

    def _word(self, command: Command) -> str:
        """The command's name in the table: three of them mean `unpublish`, if they are about the publication."""
        match command.name:
            case "FCUnpublish":
                ends = True
            case "closeStream":
                ends = command.stream_id == self._published
            case "deleteStream":
                ends = command.argument(1) == self._published
            case _:
                ends = False
        return _UNPUBLISH if ends and self.state in _WITH_PUBLICATION else command.name

    def _connect(self, command: Command) -> None:
        asked = command.argument(0)
        if not isinstance(asked, dict) or not isinstance(app := asked.get("app"), str):
            raise Malformed("connect without an app")
        self._app = app
        self.state = ServerState.IDLE
        self._link.set_window(_WINDOW)
        self._link.send(CONTROL_CSID, messages.set_peer_bandwidth(_WINDOW))
        self._link.set_chunk_size(_CHUNK_SIZE)
        self._result(command, {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31.0, "mode": 1.0}, _welcome(asked))
        encoder, tc_url = (value if isinstance(value := asked.get(key), str) else "" for key in ("flashVer", "tcUrl"))
        self._events.append(Connected(app, tc_url, encoder, _four_ccs(asked)))

    def _release(self, command: Command) -> None:
        self._result(command, None, UNDEFINED)

    def _fc_publish(self, command: Command) -> None:
        self._result(command, None, UNDEFINED)
        self._notify("onFCPublish", "NetStream.Publish.Start")

    def _create_stream(self, command: Command) -> None:
        if len(self._streams) >= self._limits.message_streams:
            raise LimitExceeded(f"more than {self._limits.message_streams} message streams")
        self._streams.add(self._next_stream)
        self._result(command, None, float(self._next_stream))
        self._next_stream += 1

    def _publish(self, command: Command) -> None:
        name = command.text(1)
        if command.stream_id not in self._streams:
            raise Malformed(f"publish on message stream {command.stream_id}, which was not created")
        if not name:
            self._status(command.stream_id, "error", "NetStream.Publish.BadName", "a stream name is needed")
            return
        self._published = command.stream_id
        self.state = ServerState.PENDING
        self._events.append(PublishRequested(self._app, name, command.text(2) or "live"))

    def _unpublish(self, command: Command) -> None:
        self.state = ServerState.STOPPED
        self._forget_early()
        self._events.append(Unpublished())
        if command.name == "FCUnpublish":
            self._fc_unpublish(command)
        self._status(self._published, "status", "NetStream.Unpublish.Success", "unpublished")
        if command.name == "deleteStream":
            self._delete_stream(command)

    def _fc_unpublish(self, command: Command) -> None:
        self._result(command, None, UNDEFINED)
        self._notify("onFCUnpublish", "NetStream.Unpublish.Success")

    def _delete_stream(self, command: Command) -> None:
        match command.argument(1):
            case float(stream_id) if stream_id in self._streams:
                self._streams.discard(int(stream_id))

    def _refuse_play(self, command: Command) -> None:
        description = "this server plays over HTTP-FLV, WebSocket-FLV and WHEP, not over RTMP"
        self._status(command.stream_id, "error", "NetStream.Play.StreamNotFound", description)

    def _stream_length(self, command: Command) -> None:
        self._result(command, None, 0.0)

    def _ignore(self, command: Command) -> None:
        """Answers to commands of ours, and notices that ask for nothing."""

    def _unknown(self, command: Command) -> None:
        """7.2.1.2: a call that is not known is answered with an error, if an answer is awaited at all."""
        if command.transaction:
            problem: dict[str, AmfValue] = {
                "level": "error",
                "code": "NetConnection.Call.Failed",
                "description": "no such method",
            }
            self._send("_error", command.transaction, None, problem)

    def _out_of_order(self, command: Command) -> NoReturn:
        raise Malformed(f"{command!r} in state {self.state.value}")

    def _result(self, command: Command, properties: AmfValue, value: AmfValue) -> None:
        if command.transaction:
            self._send("_result", command.transaction, properties, value)

    def _notify(self, name: str, code: str) -> None:
        self._send(name, 0.0, None, {"code": code, "description": ""})

    def _status(self, stream_id: int, level: str, code: str, description: str) -> None:
        status: AmfValue = {"level": level, "code": code, "description": description}
        self._send("onStatus", 0.0, None, status, stream_id=stream_id)

    def _send(self, name: str, transaction: float, *arguments: AmfValue, stream_id: int = 0) -> None:
        self._link.send(_COMMAND_CSID, Command(name, transaction, arguments, stream_id).message())


_Step = Callable[[RtmpServer, Command], None]

# A peer that sends these two as names gets what they say, which is harmless.
_ANY_OTHER = "*"
_UNPUBLISH = "unpublish"

_WITH_PUBLICATION = (ServerState.PENDING, ServerState.PUBLISHING)

_SERVICE: Mapping[str, _Step] = {
    "connect": RtmpServer._out_of_order,
    "releaseStream": RtmpServer._release,
    "FCPublish": RtmpServer._fc_publish,
    "FCUnpublish": RtmpServer._fc_unpublish,
    "createStream": RtmpServer._create_stream,
    "deleteStream": RtmpServer._delete_stream,
    "closeStream": RtmpServer._ignore,
    "_checkbw": RtmpServer._release,
    "getStreamLength": RtmpServer._stream_length,
    "play": RtmpServer._refuse_play,
    "play2": RtmpServer._refuse_play,
    "_result": RtmpServer._ignore,
    "_error": RtmpServer._ignore,
    "onStatus": RtmpServer._ignore,
    _ANY_OTHER: RtmpServer._unknown,
}
_FREE: Mapping[str, _Step] = {**_SERVICE, "publish": RtmpServer._publish}
_TAKEN: Mapping[str, _Step] = {
    **_SERVICE,
    "publish": RtmpServer._out_of_order,
    _UNPUBLISH: RtmpServer._unpublish,
}

# What each command does in each state; the steps name the next state. `accept`, `reject` and `close` do the rest:
# HANDSHAKE -(C2)-> CONNECT -connect-> IDLE -publish-> PENDING -accept-> PUBLISHING -unpublish-> STOPPED, and from there
# -publish-> PENDING again.
_TABLE: Mapping[ServerState, Mapping[str, _Step]] = {
    ServerState.CONNECT: {"connect": RtmpServer._connect, _ANY_OTHER: RtmpServer._out_of_order},
    ServerState.IDLE: _FREE,
    ServerState.PENDING: _TAKEN,
    ServerState.PUBLISHING: _TAKEN,
    ServerState.STOPPED: _FREE,
}


def _welcome(asked: dict[str, AmfValue]) -> dict[str, AmfValue]:
    """The answer to connect. Enhanced RTMP's fields are given to those who sent them."""
    welcome: dict[str, AmfValue] = {
        "level": "status",
        "code": "NetConnection.Connect.Success",
        "description": "connected",
        "objectEncoding": 0.0,  # answers are AMF0 whatever was asked for
    }
    answers: dict[str, AmfValue] = {
        "fourCcList": list(FOUR_CCS),
        "videoFourCcInfoMap": dict.fromkeys(_VIDEO_FOUR_CCS, _CAN_FORWARD),
        "audioFourCcInfoMap": dict.fromkeys(_AUDIO_FOUR_CCS, _CAN_FORWARD),
        "capsEx": 0.0,  # no reconnect request, multitrack, ModEx or nanosecond offsets
    }
    if not answers.keys().isdisjoint(asked):
        welcome |= answers
    return welcome


def _four_ccs(asked: dict[str, AmfValue]) -> tuple[str, ...]:
    """The codecs that the client names, in either form of Enhanced RTMP."""
    named: list[AmfValue] = []
    if isinstance(plain := asked.get("fourCcList"), list):
        named += plain
    for key in ("videoFourCcInfoMap", "audioFourCcInfoMap"):
        if isinstance(table := asked.get(key), dict):
            named += table
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str) and len(name) <= 4))

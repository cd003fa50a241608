"""One RTMP connection: the driver around the sans-IO protocol, and what its events mean to the hub."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import parse_qs

from ingest.authorize import Authorize
from media.flv_demuxer import FlvDemuxer
from media.hub import ClaimRefused, Hub
from media.publisher import Publisher
from media.reasons import FULL, IDLE, KEY_REFUSED, PROTOCOL, SHUTDOWN, TOO_SLOW, VANISHED, Reason
from wire.errors import WireError
from wire.flv_tag import FlvTag
from wire.rtmp import (
    Closed,
    Connected,
    PublishRequested,
    RtmpLimits,
    RtmpServer,
    ServerEvent,
    ServerState,
    TagReceived,
    Unpublished,
    redact,
)

__all__ = ["PublishName", "RtmpSession", "SessionLimits", "parse_publish_name"]

logger = logging.getLogger(__name__)

HANDSHAKE_RANDOM = 1528
"""RTMP 1.0, 5.2.3."""
MAX_UNREAD = 64 * 1024
"""Answers that a peer has not read: a publisher is sent a few hundred bytes and an acknowledgement now and then."""
LINGER = 2.0
"""Seconds a peer has to read why, before its socket is closed."""
LIVE_APP = "live"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds: `handshake` until a publication is accepted, `idle` without a byte afterwards."""

    handshake: float = 10.0
    idle: float = 15.0
    rtmp: RtmpLimits = field(default_factory=RtmpLimits)


@dataclass(frozen=True, slots=True)
class PublishName:
    """What an encoder's server and stream key say together."""

    room: str
    secret: str


def parse_publish_name(app: str, name: str) -> PublishName:
    """`live` and `ROOM?key=SECRET`. Encoders that cannot write a query into the key may put it behind the app."""
    _, _, app_query = app.partition("?")
    room, _, query = name.partition("?")
    keys = parse_qs(query).get("key") or parse_qs(app_query).get("key") or [""]
    return PublishName(room, keys[0])


class SessionOwner(Protocol):
    """The server that this session belongs to."""

    def add(self, session: RtmpSession) -> bool:
        """False when there is no room for another connection from its address."""

    def discard(self, session: RtmpSession) -> None: ...


class RtmpSession(asyncio.Protocol):
    """Bytes in, units out. Every error of the peer ends here, with one logged sentence."""

    def __init__(self, number: int, hub: Hub, authorize: Authorize, owner: SessionOwner, limits: SessionLimits) -> None:
        self.number = number
        self.address = ""
        self.bytes_received = 0
        self._hub = hub
        self._authorize = authorize
        self._owner = owner
        self._limits = limits
        self._rtmp = RtmpServer(random_bytes=os.urandom(HANDSHAKE_RANDOM), limits=limits.rtmp)
        self._demuxer = FlvDemuxer()
        self._announced = self._warned = False
        self._publisher: Publisher | None = None
        self._room = ""
        self._transport: asyncio.Transport | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._opened_at = self._heard_at = time.monotonic()
        self._closed_for: Reason | None = None
        self._text = ""

    def __repr__(self) -> str:
        return f"<RtmpSession {self.number} from {self.address} room={self._room} {self._rtmp.state.value}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's
        peer = transport.get_extra_info("peername") or ("unknown",)
        self.address = str(peer[0])
        if not self._owner.add(self):
            self.close(FULL, "too many connections")
            self._abort()

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self.bytes_received += len(data)
        if self._closed_for is None:
            self._feed(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.discard(self)
        self._transport = None
        if self._lingering is not None:
            self._lingering.cancel()
        if self._publisher is not None:
            self._publisher.release(clean=False)
        reason = self._closed_for or VANISHED
        text = self._text or (str(exc) if exc else "the peer closed the connection")
        logger.info("closed: %s: %s", reason, text, extra=self._fields)

    def close(self, reason: Reason, text: str = "") -> None:
        """Say why, as far as RTMP has words for it, and close. Only the first reason counts."""
        if self._closed_for is not None or self._transport is None:
            return
        self._closed_for, self._text = reason, text or reason.text
        if self._publisher is not None:
            self._publisher.release(clean=False)
        self._rtmp.close("NetStream.Publish.Failed", self._text, level="error")
        self._flush()
        self._linger(self._transport)

    def _linger(self, transport: asyncio.Transport) -> None:
        """Closed while the peer still sends, a socket is reset, and the peer never reads why (RFC 9112, 9.6)."""
        if self._closed_for is SHUTDOWN:
            transport.close()
        elif not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            self._lingering = asyncio.get_running_loop().call_later(LINGER, self._abort)

    def check(self, now: float) -> None:
        """Close a peer that says nothing, or that talks without ever publishing."""
        if self._rtmp.state is not ServerState.PUBLISHING and now - self._opened_at > self._limits.handshake:
            self.close(IDLE, f"nothing published within {self._limits.handshake:g} s")
        elif now - self._heard_at > self._limits.idle:
            self.close(IDLE, f"no byte for {self._limits.idle:g} s")

    @property
    def _fields(self) -> dict[str, str | None]:
        """What each of its log lines carries."""
        return {"room": self._room or None, "conn": f"rtmp-{self.number}", "peer": self.address}

    def _feed(self, data: bytes) -> None:
        try:
            self._rtmp.receive_data(data)
            while self._closed_for is None and (event := self._rtmp.next_event()) is not None:
                self._handle(event)
        except WireError as exc:
            self.close(PROTOCOL, f"{type(exc).__name__}: {exc}")
        self._flush()

    def _handle(self, event: ServerEvent) -> None:
        match event:
            case TagReceived(tag):
                self._take(tag)
            case Connected():
                logger.info("%r", event, extra=self._fields)
            case PublishRequested():
                self._publish(event)
            case Unpublished():
                self._unpublish()
            case Closed():
                pass  # the transport says so as well

    def _take(self, tag: FlvTag) -> None:
        unit = self._demuxer.read(tag)
        if self._demuxer.unsupported is not None and not self._warned:
            self._warned = True
            logger.warning("part of the stream is left out: %s", self._demuxer.unsupported, extra=self._fields)
        if self._publisher is None:
            return
        if not self._announced and self._demuxer.metadata is not None:
            self._announced = True
            metadata = self._demuxer.metadata
            self._publisher.expect(metadata.kinds, frame_rate=metadata.frame_rate)
        if unit is not None:
            self._publisher.publish(unit)

    def _publish(self, request: PublishRequested) -> None:
        asked = parse_publish_name(request.app, request.name)
        if request.app.partition("?")[0].strip("/") != LIVE_APP:
            self._refuse(KEY_REFUSED, f"the application is {redact(request.app)}, publish to {LIVE_APP}")
            return
        refusal = self._authorize(asked.room, asked.secret, self.address)
        if refusal is not None:
            self._refuse(KEY_REFUSED, refusal.text)
            return
        try:
            publisher = self._hub.claim(asked.room, peer=self.address, on_displaced=self.close)
        except ClaimRefused as exc:
            self._refuse(exc.reason, f"{exc}, try again in {exc.retry_after:.0f} s")
            return
        self._room, self._text = asked.room, ""
        self._publisher = publisher
        self._demuxer, self._announced = FlvDemuxer(), False
        self._rtmp.accept()

    def _refuse(self, reason: Reason, text: str) -> None:
        self._rtmp.reject("NetStream.Publish.BadName", text)
        self.close(reason, text)

    def _unpublish(self) -> None:
        if self._publisher is not None:
            self._publisher.release(clean=True)
            self._publisher = None
            self._text = "the publisher took its leave"
        self._opened_at = time.monotonic()

    def _flush(self) -> None:
        data = self._rtmp.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)
            unread = self._transport.get_write_buffer_size()
            if unread > MAX_UNREAD:
                self._closed_for = self._closed_for or TOO_SLOW
                self._text = self._text or f"{unread} bytes of answers unread exceed {MAX_UNREAD}"
                self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

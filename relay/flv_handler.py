"""`/live/ROOM.flv`: the same FLV over HTTP and over a WebSocket."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from media.flv_muxer import PLAIN, FlvOptions
from media.hub import Hub, NotLive
from media.reasons import ENDED, FULL, IDLE, NOT_FOUND, PROTOCOL, RUNG_SHED, SHUTDOWN, VANISHED, Reason
from media.stream import Stream, StreamState
from media.track import SOURCE, Codec, Track
from relay.adaptation import Cause, Choice
from relay.batch import Framing
from relay.flv_choice import FlvChoice, choose_rendition, menu_for
from relay.flv_packager import FlvPackager
from relay.flv_seat import FlvSeat
from relay.flv_viewer import FlvViewer, ViewerCounters, ViewerLimits
from relay.outlet import open_outlet
from relay.problem import problem
from relay.renditions import (
    UnknownRendition,
    choices_of,
    find_rendition,
    has_ladder,
    rung_forecast,
    rung_track,
)
from wire.websocket import encode_ping, encode_pong

__all__ = ["FlvLimits", "FlvRelay"]

logger = logging.getLogger(__name__)

HEAD_FLUSH_TIMEOUT = 10.0
"""Seconds a peer has to take the response's head."""
HEAD_FLUSH_POLL = 0.01
"""Seconds between looks at a head that the socket did not take at once, which is rare."""
CLOSE_TIMEOUT = 2.0
"""Seconds a WebSocket peer has to answer our close: it must not hold back a node that stops."""
RETRY_AFTER = 5
"""Seconds after which a player may ask again for a room that is not live."""
MAX_CLIENT_MESSAGE = 4096
"""A WebSocket viewer has nothing to say, so what it may say is small."""
MAX_SHOWN = 64
"""Characters of a client's own word that an answer repeats."""
LOOK_INTERVAL = 0.1
LOOKS = 5
"""Every viewer's connection is looked at twice a second where there is a ladder, a fifth of them at a time; those that
something waits for each time."""
HEADERS = {"Content-Type": "video/x-flv", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}

PackagerKey = tuple[str, str, str, FlvOptions]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one request asks for."""

    request: web.Request
    stream: Stream
    choice: FlvChoice
    audio: str
    options: FlvOptions
    asked_at: float


@dataclass(frozen=True, slots=True)
class FlvLimits:
    """`join_wait` and `ping_interval` in seconds, `merge_ms` in media milliseconds (0: one write per picture).

    Proxies give up on a silent WebSocket after 30 to 60 seconds.
    """

    join_wait: float = 10.0
    merge_ms: int = 0
    max_viewers: int = 20_000
    ping_interval: float = 20.0
    viewer: ViewerLimits = field(default_factory=ViewerLimits)


class FlvRelay:
    """Owns the packagers, one for each rendition and way of writing it that somebody watches.

    The server must cancel a handler whose client has gone (aiohttp's `handler_cancellation`): an HTTP viewer of a
    stream that pauses is noticed in no other way.
    """

    def __init__(self, hub: Hub, now: Callable[[], float], limits: FlvLimits | None = None) -> None:
        self.counters = ViewerCounters()
        self.joins = 0
        self.closed: dict[str, int] = {}
        self._hub = hub
        self._now = now
        self._limits = limits or FlvLimits()
        self.switches: Counter[tuple[str, str]] = Counter()
        self._packagers: dict[PackagerKey, FlvPackager] = {}
        self._seats: dict[FlvViewer, FlvSeat] = {}
        self._stranded: dict[FlvSeat, None] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._turns = itertools.cycle(range(LOOKS))
        self._numbers = itertools.count(1)
        self._count = 0
        self._bytes_sent = 0
        self._room_bytes: Counter[str] = Counter()
        self._is_closing = False
        self._all_gone = asyncio.Event()

    @property
    def viewer_count(self) -> int:
        return self._count

    @property
    def bytes_sent(self) -> int:
        """To all viewers since the start."""
        return self._bytes_sent + sum(viewer.bytes_sent for _, _, viewer in self.viewers())

    def bytes_by_room(self) -> Counter[str]:
        """Bytes sent to the viewers of each broadcast that is there. A room's count begins anew with each broadcast."""
        self._room_bytes = Counter({room: n for room, n in self._room_bytes.items() if self._hub.get(room) is not None})
        sent = Counter(self._room_bytes)
        for room, _, viewer in self.viewers():
            sent[room] += viewer.bytes_sent
        return sent

    def set_limits(self, limits: FlvLimits) -> None:
        """Other limits from now on, for those who watch already as well."""
        self._limits = limits
        for packager in self._packagers.values():
            packager.set_merge(limits.merge_ms)
        for _, _, viewer in self.viewers():
            viewer.set_limits(limits.viewer)

    def viewers(self) -> list[tuple[str, str, FlvViewer]]:
        """Room, rendition and viewer, of everyone who watches."""
        return [(key[0], key[1], viewer) for key, p in self._packagers.items() for viewer in p.viewers]

    def seat_of(self, viewer: FlvViewer) -> FlvSeat | None:
        """Where it sits; None when it is gone."""
        return self._seats.get(viewer)

    def drain(self) -> None:
        """Take no new viewer from now on; those who watch go on."""
        self._is_closing = True
        self._note_empty()

    def close(self) -> None:
        """The node goes away: every viewer is told so."""
        self.drain()
        for packager in tuple(self._packagers.values()):
            packager.end(SHUTDOWN)
        for seat in tuple(self._stranded):
            seat.viewer.finish(SHUTDOWN)

    async def drained(self) -> None:
        """After `drain` or `close`, wait until the last viewer has gone: after `close`, a few seconds at most."""
        await self._all_gone.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET, as HTTP or as a WebSocket. A player that is early waits with the response's head held back."""
        room = request.match_info["room"]
        if self._is_closing or self._count >= self._limits.max_viewers:
            return _unavailable(SHUTDOWN if self._is_closing else FULL)
        self._count += 1
        try:
            wish = await self._admit(request, room)
            if not isinstance(wish, _Wish):
                return wish
            # One coroutine fewer on the way to a viewer is 0.3 KB less for each, so nothing stands between.
            socket = web.WebSocketResponse(
                timeout=CLOSE_TIMEOUT,
                autoping=False,
                autoclose=False,
                compress=False,
                max_msg_size=MAX_CLIENT_MESSAGE,
            )
            if socket.can_prepare(request).ok:
                return await self._serve_websocket(wish, socket)
            del socket
            return await self._serve_http(wish)
        finally:
            self._count -= 1
            self._note_empty()

    async def _admit(self, request: web.Request, room: str) -> _Wish | web.Response:
        """What the request asks for, once its stream is live; or the answer that ends it."""
        asked_at = self._now()
        try:
            stream = await self._hub.subscribe(room, self._limits.join_wait)
        except NotLive as exc:
            if self._is_closing:
                return _unavailable(SHUTDOWN)
            return _refusal(web.HTTPNotFound.status_code, NOT_FOUND, f"{room} is not live: {exc}")
        try:
            choice = choose_rendition(stream, request.query.get("rendition"), request.query.get("codec", ""))
        except UnknownRendition as exc:
            return _refusal(web.HTTPNotFound.status_code, NOT_FOUND, str(exc))
        if request.method == "HEAD":
            return web.Response(headers=HEADERS)
        audio = _audio(stream, request.query.get("audio", ""))
        if audio is None:
            text = (
                f"{room} has no sound in {request.query['audio'][:MAX_SHOWN]}, but aac, opus or source may be asked for"
            )
            return _refusal(web.HTTPNotFound.status_code, NOT_FOUND, text)
        options = FlvOptions(legacy_hevc=request.query.get("hevc") == "legacy")
        return _Wish(request, stream, choice, audio, options, asked_at)

    async def _serve_http(self, wish: _Wish) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        framing = Framing.CHUNKED if wish.request.version >= (1, 1) else Framing.BARE
        if framing is Framing.CHUNKED:
            response.enable_chunked_encoding()
        else:
            response.force_close()
        await response.prepare(wish.request)
        await self._watch(wish, framing)
        return response

    async def _serve_websocket(self, wish: _Wish, socket: web.WebSocketResponse) -> web.StreamResponse:
        await socket.prepare(wish.request)

        async def listen(viewer: FlvViewer) -> Reason:
            return await _listen(socket, viewer, self._limits.ping_interval)

        reason = await self._watch(wish, Framing.WEBSOCKET, listen)
        code = WSCloseCode.POLICY_VIOLATION if reason is PROTOCOL else reason.code
        await socket.close(code=code, message=reason.name.encode(), drain=False)
        return socket

    async def _watch(
        self, wish: _Wish, framing: Framing, attend: Callable[[FlvViewer], Awaitable[Reason]] | None = None
    ) -> Reason:
        """Until the viewer is over. An HTTP viewer says nothing more, so there is nothing to attend to."""
        transport = wish.request.transport
        if transport is None or not await _flush_head(transport):
            return VANISHED
        over = self._is_over(wish)
        if over is not None:
            return over
        try:
            outlet = open_outlet(transport)
        except OSError as exc:
            fields = {"room": wish.stream.key, "peer": wish.request.remote}
            logger.warning("no way out for a viewer: %s", exc, extra=fields)
            return FULL
        number = next(self._numbers)
        viewer = FlvViewer(
            outlet,
            framing,
            now=self._now,
            limits=self._limits.viewer,
            counters=self.counters,
            peer=wish.request.remote or "",
            id=f"flv-{number}",
            asked_at=wish.asked_at,
        )
        reason = VANISHED
        seat = self._seat(wish, viewer, number)
        try:
            seat.sit(wish.choice.start)
            self.joins += 1
            reason = await (attend(viewer) if attend else viewer.done)
        finally:
            viewer.close(reason)
            seat.leave()
            del self._seats[viewer]
            self._stranded.pop(seat, None)
            if viewer.was_cut or reason is VANISHED:
                _abort(wish.request)
            self._bytes_sent += viewer.bytes_sent
            self._room_bytes[wish.stream.key] += viewer.bytes_sent
            self.closed[reason.name] = self.closed.get(reason.name, 0) + 1
            self._log(wish.stream.key, viewer, reason)
        return reason

    def _is_over(self, wish: _Wish) -> Reason | None:
        """What happened while the head was being written: nobody would ever end a viewer that joined after that."""
        if self._is_closing:
            return SHUTDOWN
        if wish.stream.state is StreamState.ENDED:
            return ENDED
        return None

    def _log(self, room: str, viewer: FlvViewer, reason: Reason) -> None:
        logger.info(
            "viewer closed: %s, %.1f s, %d bytes, %d skips",
            *(reason, self._now() - viewer.joined_at, viewer.bytes_sent, viewer.skips),
            extra={"room": room, "conn": viewer.id, "peer": viewer.peer},
        )

    def _note_empty(self) -> None:
        if self._is_closing and not self._count:
            self._all_gone.set()

    # What a seat needs: see `relay.flv_seat.Seats`

    def packager_for(self, stream: Stream, rendition: str, audio: str, options: FlvOptions) -> FlvPackager:
        """The one that makes these bytes already, else a new one."""
        track = stream.renditions.get(rendition)
        if track is None and rendition != SOURCE:
            track = self._forecast(stream, rendition)
        if track is None or track.codec is not Codec.H265:
            options = PLAIN
        key = (stream.key, rendition, audio, options)
        packager = self._packagers.get(key)
        if packager is None:

            def forget(ended: FlvPackager) -> None:
                if self._packagers.get(key) is ended:
                    del self._packagers[key]

            packager = FlvPackager(
                stream,
                rendition=rendition,
                audio=audio,
                options=options,
                merge_ms=self._limits.merge_ms,
                on_end=forget,
                on_viewer_lost=self._find_another_seat,
                forecast=track,
            )
            self._packagers[key] = packager
        return packager

    def note_switch(self, old: str, new: str, cause: Cause, *, is_up: bool) -> None:
        self.switches["up" if is_up else "down", cause] += 1

    def _seat(self, wish: _Wish, viewer: FlvViewer, number: int) -> FlvSeat:
        seat = self._seats[viewer] = FlvSeat(
            viewer,
            wish.stream,
            number=number,
            audio=wish.audio,
            options=wish.options,
            wanted=wish.choice.wanted,
            seats=self,
            now=self._now,
        )
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)
        return seat

    def _forecast(self, stream: Stream, rendition: str) -> Track:
        """Of a rung that is not made yet; one that was shed is expected back as it was."""
        try:
            return rung_track(stream, find_rendition(stream, rendition))
        except UnknownRendition:
            return rung_forecast(rendition, Codec.H264)

    def _find_another_seat(self, viewer: FlvViewer, reason: Reason) -> bool:
        """A packager has ended. Only the end of a rung is not the end for its viewers."""
        seat = self._seats.get(viewer)
        if seat is None or reason is not RUNG_SHED or viewer.done.done():
            return False
        if not seat.find_another(self._choices(seat)):
            self._stranded[seat] = None
        return True

    def _choices(self, seat: FlvSeat) -> tuple[Choice, ...]:
        return choices_of(menu_for(seat.stream, seat.family), has_sound=bool(seat.stream.audio))

    def _look(self) -> None:
        """At the connections of those who could be shown something else."""
        turn = next(self._turns)
        self._looking = None
        if not self._seats:
            return
        self._looking = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)
        self._look_after_stranded()
        for packager in tuple(self._packagers.values()):
            track = packager.video
            if track is None or not has_ladder(packager.stream):
                continue
            has_sound = bool(packager.stream.audio)
            menu = menu_for(packager.stream, track.codec)
            choices = choices_of(menu, has_sound=has_sound, current=packager.rendition)
            for viewer in tuple(packager.viewers):
                seat = self._seats.get(viewer)
                if seat is not None and (seat.number % LOOKS == turn or seat.is_watched or viewer.queued_bytes):
                    seat.look(choices)

    def _look_after_stranded(self) -> None:
        """Those whose rung has ended, and who could not be shown anything else."""
        for seat in tuple(self._stranded):
            if seat.stream.state is StreamState.ENDED:
                seat.viewer.finish(ENDED)
            elif seat.retry(self._choices(seat)):
                del self._stranded[seat]


def _audio(stream: Stream, asked: str) -> str | None:
    """Which sound to send: what was asked for, None where it cannot be had. Few FLV players know Opus, so AAC is made
    of it unless somebody asks for the source's own."""
    source = stream.source_audio
    if asked in ("", SOURCE) and (asked or source is None or source.codec is not Codec.OPUS):
        return SOURCE
    codec = asked or Codec.AAC
    if source is not None and source.codec == codec:
        return SOURCE
    if codec in (Codec.AAC, Codec.OPUS) and stream.audio_track(codec) is not None:
        return codec
    return None if asked else SOURCE


async def _listen(socket: web.WebSocketResponse, viewer: FlvViewer, ping_interval: float) -> Reason:
    """Answer pings, send pings, and end when either side does."""
    listening = asyncio.ensure_future(_read_until_closed(socket, viewer))
    try:
        while True:
            heard = viewer.bytes_sent
            done, _ = await asyncio.wait(
                {listening, viewer.done}, timeout=ping_interval, return_when=asyncio.FIRST_COMPLETED
            )
            if viewer.done in done:
                return viewer.done.result()
            if listening in done:
                return listening.result()
            if viewer.queued_bytes and viewer.bytes_sent == heard:
                return IDLE
            viewer.control(encode_ping())
    finally:
        listening.cancel()
        await asyncio.wait({listening})


async def _read_until_closed(socket: web.WebSocketResponse, viewer: FlvViewer) -> Reason:
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.PING:
            viewer.control(encode_pong(message.data))
        elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return PROTOCOL
        elif message.type is not WSMsgType.PONG:
            is_between = not viewer.queued_bytes  # else the answer would split a message
            viewer.close(VANISHED)  # RFC 6455, 5.5.1: no more data frames after the answer
            if message.type is WSMsgType.CLOSE and is_between:
                await socket.close(drain=False)
            return VANISHED


async def _flush_head(transport: asyncio.Transport) -> bool:
    """Everything that aiohttp wrote must be in the socket before we write to it ourselves."""
    await asyncio.sleep(0)  # uvloop writes at the end of the iteration
    deadline = asyncio.get_running_loop().time() + HEAD_FLUSH_TIMEOUT
    while transport.get_write_buffer_size():
        if transport.is_closing() or asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(HEAD_FLUSH_POLL)
    return not transport.is_closing()


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _unavailable(reason: Reason) -> web.Response:
    return _refusal(web.HTTPServiceUnavailable.status_code, reason, reason.text)


def _refusal(status: int, reason: Reason, detail: str) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER)} if status in (404, 503) else None
    return problem(status, detail, reason=reason, headers=headers)

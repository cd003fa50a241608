"""`/whep/ROOM`: WHEP over HTTP (draft-ietf-wish-whep, and RFC 9725 for what WHIP shares), and the sessions it makes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from media.hub import Hub, NotLive
from media.reasons import CODEC_CHANGED, ENDED, FULL, NOT_FOUND, SHUTDOWN, Reason
from media.rtp import RTP_CODECS, rtp_origin, video_rtp_time
from media.rung import Rendition
from media.stream import Stream
from media.track import SOURCE, Codec, Track
from relay.adaptation import Cause
from relay.endpoint import EndpointFull, WebRtcEndpoint
from relay.problem import problem
from relay.renditions import (
    AUTO,
    UnknownRendition,
    find_rendition,
    has_ladder,
    list_renditions,
    rung_forecast,
    rung_track,
    source_rendition,
)
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import FanOuts, RtpSender
from relay.rtx_probe import RtxProbe
from relay.whep_offer import Chosen, SourceIds, Unusable, can_carry, choose, choose_picture
from relay.whep_seat import WhepSeat
from relay.whep_session import SessionCounters, WhepSession
from wire import sdp, whip
from wire.errors import WireError
from wire.webrtc import CloseCause, PeerClosed

__all__ = ["WhepLimits", "WhepRelay", "timeline_header"]

_log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds after which a player may ask again."""
SECRET_BYTES = 18
"""144 random bits: whoever knows a session's address may end it."""
TICK_INTERVAL = 0.1
TICKS = 10
"""Each session is looked at once a second, a tenth of them at a time, so that reports never leave in one burst."""


@dataclass(frozen=True, slots=True)
class WhepLimits:
    """`join_wait` in seconds: how long a player that is early waits for its stream."""

    join_wait: float = 10.0
    max_viewers: int = 5_000


@dataclass(frozen=True, slots=True)
class _Session:
    session: WhepSession
    room: str
    remote_ufrag: str
    sections: tuple[tuple[str, str], ...]


class WhepRelay:
    """Owns the packagers and the sessions. `room_exists` tells a room that is not live from one that there is not."""

    def __init__(
        self,
        hub: Hub,
        endpoint: WebRtcEndpoint,
        fan_outs: FanOuts,
        now: Callable[[], float],
        limits: WhepLimits | None = None,
        *,
        room_exists: Callable[[str], bool] = lambda room: True,
    ) -> None:
        self.joins = 0
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.switches: Counter[tuple[str, str]] = Counter()
        self._past = SessionCounters()
        self._hub = hub
        self._endpoint = endpoint
        self._fan_outs = fan_outs
        self._now = now
        self.limits = limits or WhepLimits()
        self._room_exists = room_exists
        self._ids = SourceIds(*_distinct_ssrcs(3))
        self._packagers: dict[tuple[str, str], RtpPackager] = {}
        self._listed: dict[Stream, tuple[Rendition, ...]] | None = None
        self._sessions: dict[str, _Session] = {}
        self._somebody = asyncio.Event()
        self._numbers = itertools.count(1)
        self._asking = 0
        self._is_closing = False
        self._all_gone = asyncio.Event()

    @property
    def viewer_count(self) -> int:
        """Sessions, those whose handshake is not over included."""
        return len(self._sessions)

    @property
    def packagers(self) -> Iterable[RtpPackager]:
        return self._packagers.values()

    def sessions(self) -> list[WhepSession]:
        """Everyone's."""
        return [entry.session for entry in self._sessions.values()]

    def totals(self) -> SessionCounters:
        """What all sessions, past and present, have counted."""
        totals = SessionCounters()
        totals.add(self._past)
        for session in self.sessions():
            totals.add(session.totals())
        return totals

    async def run(self) -> None:
        """Keep the reports going."""
        for turn in itertools.cycle(range(TICKS)):
            await self._somebody.wait()  # a node without sessions need not wake up
            await asyncio.sleep(TICK_INTERVAL)
            self._tick(turn)

    def _tick(self, turn: int) -> None:
        now = self._now()
        self._listed = {}
        for session in self.sessions():
            if session.number % TICKS == turn:
                self._tick_one(session, now)
        self._listed = None

    @staticmethod
    def _tick_one(session: WhepSession, now: float) -> None:
        try:
            session.tick(now)
        except Exception:  # noqa: BLE001  a bug of ours costs this viewer, never the node
            _log.exception("a viewer failed", extra={"room": session.stream.key, "conn": session.number})
            session.on_events([PeerClosed(CloseCause.FAILED)], now)

    def drain(self) -> None:
        """Take no new viewer from now on; those who watch go on."""
        self._is_closing = True
        self._note_empty()

    async def drained(self) -> None:
        """After `drain`, wait until the last viewer has gone."""
        await self._all_gone.wait()

    def close(self) -> None:
        """The node goes away: every viewer is told so."""
        self.drain()
        for session in self.sessions():
            session.end(SHUTDOWN)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return (
            web.post("/whep/{room}", self.post),
            web.delete("/whep/{room}/{session}", self.delete),
            web.patch("/whep/{room}/{session}", self.patch),
        )

    async def post(self, request: web.Request) -> web.Response:
        """An offer; answered 201 with the answer. A player that is early waits with the response held back."""
        room = request.match_info["room"]
        refusal = self._refuse_early(request, room)
        if refusal is not None:
            return self._refuse(refusal)
        self._asking += 1
        try:
            return await self._serve(request, room)
        finally:
            self._asking -= 1

    async def delete(self, request: web.Request) -> web.Response:
        """The viewer leaves."""
        entry = self._find(request)
        if entry is None:
            return _no_session()
        entry.session.end(ENDED)
        return web.Response(status=200)

    async def patch(self, request: web.Request) -> web.Response:
        """Trickled candidates, which a lite agent does not need, or an ICE restart (RFC 9725, 4.3)."""
        entry = self._find(request)
        if entry is None:
            return _no_session()
        try:
            ufrag = whip.read_patch(
                await request.read(),
                content_type=request.headers.get("Content-Type"),
                if_match=request.headers.get("If-Match"),
                etag=_etag(entry.session),
                remote_ufrag=entry.remote_ufrag,
            )
        except whip.Refusal as exc:
            return _refusal(exc)
        return web.Response(status=204) if ufrag is None else self._restart(request, entry, ufrag)

    def _refuse_early(self, request: web.Request, room: str) -> web.Response | None:
        try:
            whip.check_offer_type(request.headers.get("Content-Type"))
        except whip.Refusal as exc:
            return _refusal(exc)
        if self._is_closing:
            return _unavailable("The server is going away.", SHUTDOWN)
        if len(self._sessions) + self._asking >= self.limits.max_viewers:
            return _unavailable(f"{self.limits.max_viewers} viewers are here, which is the limit.", FULL)
        if not self._room_exists(room):
            return problem(404, f"There is no room {room}.", reason=NOT_FOUND)
        return None

    async def _serve(self, request: web.Request, room: str) -> web.Response:
        try:
            offer = whip.parse_offer(await request.read())
        except whip.Refusal as exc:
            return self._refuse(_refusal(exc))
        try:
            stream = await self._hub.subscribe(room, self.limits.join_wait)
        except NotLive as exc:
            if self._is_closing:
                return self._refuse(_unavailable("The server is going away.", SHUTDOWN))
            detail = f"{room} is not live: {exc}."
            return self._refuse(problem(409, detail, headers={"Retry-After": str(RETRY_AFTER)}))
        asked = request.query.get("rendition", AUTO)
        wanted = None if asked == AUTO else asked
        try:
            return self._accept(request, stream, offer, wanted)
        except UnknownRendition as exc:
            return self._refuse(problem(404, f"{exc}.", reason=NOT_FOUND))
        except Unusable as exc:
            return self._refuse(problem(422, str(exc), reason=CODEC_CHANGED))
        except WireError as exc:
            return self._refuse(problem(422, f"The offer cannot be answered: {exc}."))
        except EndpointFull as exc:
            return self._refuse(_unavailable(f"{exc}.", FULL))

    def _accept(
        self, request: web.Request, stream: Stream, offer: sdp.SessionDescription, wanted: str | None
    ) -> web.Response:
        """Raises UnknownRendition, Unusable, WireError and EndpointFull, and leaves nothing behind then."""
        picture, codec = self._choose_picture(stream, offer, wanted)
        video = None if picture is None else rung_track(stream, picture)
        audio = stream.audio_track(Codec.OPUS)
        chosen = choose(offer, video, audio, self._ids, room=stream.key, codec=codec)
        accepted = {entry.mid: entry.acceptance for entry in chosen}
        remote = sdp.remote_transport(offer, accepted)
        local = self._endpoint.local_transport(_contacted(request))
        number = next(self._numbers)
        answer = sdp.answer(offer, accepted, local, session_id=str(number))
        lanes = self._lanes(stream, chosen)
        try:
            session = WhepSession(
                secrets.token_urlsafe(SECRET_BYTES),
                stream,
                lanes,
                client=request.remote or "",
                number=number,
                now=self._now(),
                on_closed=self._forget,
            )
            self._give_seat(session, lanes, wanted)
            session.bind(self._endpoint.open(session, local=local, remote=remote, client=session.client))
        except EndpointFull:
            _let_go(lanes)
            raise
        sections = tuple((section.kind, section.mid) for section in offer.sections if section.mid in accepted)
        self._sessions[session.secret] = _Session(session, stream.key, remote.ice.ufrag, sections)
        self._somebody.set()
        self.joins += 1
        return self._created(request, session, answer)

    def _choose_picture(
        self, stream: Stream, offer: sdp.SessionDescription, wanted: str | None
    ) -> tuple[Rendition | None, sdp.RtpCodec | None]:
        """What to begin with. Without a ladder that is the source, and `choose` says whether it can be had."""
        source = source_rendition(stream)
        if wanted == SOURCE and source is None:
            return None, None  # sound alone
        if wanted is None and not has_ladder(stream):
            return source, None
        renditions = list_renditions(stream) if wanted is None else (find_rendition(stream, wanted),)
        picture, codec = choose_picture(offer, renditions)
        if picture is None:
            if wanted is None or wanted == SOURCE:
                return source, None  # for the reason
            raise Unusable(f"{wanted} is {renditions[0].codec_string}, which this player does not offer.")
        assert codec is not None
        if wanted is not None and not picture.is_made and source is not None and can_carry(codec, source):
            return source, codec  # it bridges the wait
        return picture, codec

    def _give_seat(self, session: WhepSession, lanes: list[tuple[Chosen, RtpPackager]], wanted: str | None) -> None:
        """Where the picture could be another one later."""
        chosen, packager = lanes[0]
        if not packager.is_video or not has_ladder(session.stream):
            return
        loop = asyncio.get_running_loop()
        session.seat = WhepSeat(
            session.stream,
            session,
            codec=chosen.codec,
            packager=packager,
            wanted=wanted,
            seats=self,
            estimate=session.estimate,
            scheduler=loop,
            now=self._now,
        )
        if chosen.retransmission is not None and chosen.send_time_id:
            session.prober = RtxProbe(session.repeat, scheduler=loop, now=self._now)

    # What a seat needs: see `relay.whep_seat.WhepSeats`

    def packager_of(self, stream: Stream, rendition: str) -> RtpPackager:
        """Of a picture. One that nobody makes any more is expected back as it was."""
        try:
            track = rung_track(stream, find_rendition(stream, rendition))
        except UnknownRendition:
            track = rung_forecast(rendition, Codec.H264)
        return self._packager(stream, track)

    def renditions_of(self, stream: Stream) -> tuple[Rendition, ...]:
        """What its viewers may be shown now. Those who look in one turn share the answer: the ladder takes long."""
        if self._listed is None:
            return list_renditions(stream)
        if stream not in self._listed:
            self._listed[stream] = list_renditions(stream)
        return self._listed[stream]

    def note_switch(self, old: str, new: str, cause: Cause, *, is_up: bool) -> None:
        self.switches["up" if is_up else "down", cause] += 1

    def _created(self, request: web.Request, session: WhepSession, answer: sdp.SessionDescription) -> web.Response:
        room = request.match_info["room"]
        location = request.url.origin().with_path(f"/whep/{room}/{session.secret}")
        headers = whip.session_headers(str(location), _etag(session))
        headers["Streamer-Timeline"] = timeline_header(session.stream)
        return web.Response(status=201, body=sdp.write(answer).encode(), content_type=whip.SDP_TYPE, headers=headers)

    def _lanes(self, stream: Stream, chosen: list[Chosen]) -> list[tuple[Chosen, RtpPackager]]:
        lanes = [(entry, self._packager(stream, entry.track)) for entry in chosen]
        for _, packager in lanes:
            if packager.is_video and packager.reordered:
                _let_go(lanes)
                raise Unusable(
                    f"The encoder of {stream.key} sends B-frames, which WebRTC cannot show. "
                    "Turn them off (OBS: 'Max B-frames' 0; FFmpeg: -bf 0), or watch by FLV."
                )
        return lanes

    def _packager(self, stream: Stream, track: Track) -> RtpPackager:
        """The one that makes these packets already, else a new one."""
        assert track.codec in RTP_CODECS
        key = (stream.key, f"video {track.rendition}" if track.is_video else f"audio {track.codec}")
        found = self._packagers.get(key)
        if found is not None and found.stream is stream:
            return found

        def forget(ended: RtpPackager) -> None:
            if self._packagers.get(key) is ended:
                del self._packagers[key]

        packager = RtpPackager(
            stream,
            track,
            self._fan_outs,
            scheduler=asyncio.get_running_loop(),
            now=self._now,
            on_full=self._endpoint.when_writable,
            on_end=forget,
            on_picture=lambda: self._carry_sound(stream),
        )
        self._packagers[key] = packager
        return packager

    def _carry_sound(self, stream: Stream) -> RtpSender | None:
        """A picture of this stream is leaving: who sends the sound that goes along."""
        sound = self._packagers.get((stream.key, f"audio {Codec.OPUS}"))
        return sound.ride_along() if sound is not None and sound.stream is stream else None

    def _restart(self, request: web.Request, entry: _Session, remote_ufrag: str) -> web.Response:
        session = entry.session
        local = self._endpoint.local_transport(_contacted(request))
        self._endpoint.restart(session.port, local, remote_ufrag=remote_ufrag)
        session.generation += 1
        self._sessions[session.secret] = _Session(session, entry.room, remote_ufrag, entry.sections)
        body = whip.write_fragment(local.ice, entry.sections, local.candidates)
        headers = {"ETag": _etag(session)}
        return web.Response(status=200, body=body.encode(), content_type=whip.FRAGMENT_TYPE, headers=headers)

    def _find(self, request: web.Request) -> _Session | None:
        entry = self._sessions.get(request.match_info["session"])
        return entry if entry is not None and entry.room == request.match_info["room"] else None

    def _forget(self, session: WhepSession, reason: Reason) -> None:
        if self._sessions.pop(session.secret, None) is not None:
            if not self._sessions:
                self._somebody.clear()
            self._past.add(session.counters)
            self.closed[reason.name] += 1
        self._note_empty()

    def _note_empty(self) -> None:
        if self._is_closing and not self._sessions:
            self._all_gone.set()

    def _refuse(self, response: web.Response) -> web.Response:
        self.refused[str(response.status)] += 1
        return response


def timeline_header(stream: Stream) -> str:
    """`Streamer-Timeline`: one place on the timeline, and the RTP time of pictures there."""
    t = stream.live_edge
    return f"epoch={stream.epoch};rtp={video_rtp_time(rtp_origin(stream.epoch), t)};t={t}"


def _let_go(lanes: Iterable[tuple[Chosen, RtpPackager]]) -> None:
    for _, packager in lanes:
        packager.stop_if_idle()


def _distinct_ssrcs(count: int) -> tuple[int, ...]:
    found: set[int] = set()
    while len(found) < count:
        found.add(1 + secrets.randbelow(0xFFFFFFFF))
    return tuple(found)


def _contacted(request: web.Request) -> str | None:
    """The address of ours that this request came to."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else None


def _etag(session: WhepSession) -> str:
    return whip.make_etag(str(session.number), session.generation)


def _refusal(refusal: whip.Refusal) -> web.Response:
    return problem(refusal.status, str(refusal), headers=refusal.headers)


def _no_session() -> web.Response:
    return problem(404, "There is no such session.", reason=NOT_FOUND)


def _unavailable(detail: str, reason: Reason) -> web.Response:
    return problem(503, detail, reason=reason, headers={"Retry-After": str(RETRY_AFTER)})

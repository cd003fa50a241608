"""`/whip/ROOM`: WHIP over HTTP (RFC 9725), and the sessions it makes."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import math
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from ingest.authorize import Authorize
from ingest.endpoint import EndpointFull, WebRtcEndpoint
from ingest.whip_offer import Incoming, Unusable, choose_incoming
from ingest.whip_refusal import Refused
from ingest.whip_session import WhipCounters, WhipSession
from media.clock import Clock
from media.hub import ClaimRefused, Hub
from media.reasons import ENDED, FULL, KEY_REFUSED, NOT_FOUND, SHUTDOWN, Reason
from wire import sdp, whip
from wire.errors import WireError
from wire.webrtc import CloseCause, PeerClosed

__all__ = ["WhipIngest", "WhipLimits"]

_log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds after which a publisher may ask again."""
SECRET_BYTES = 18
"""144 random bits: whoever knows a session's address may end it."""
TICK_INTERVAL = 0.025
"""Seconds. Half a feedback interval, and a good part of any round trip."""
MAX_ENDED = 1000
"""Sessions that are over and still known: their publishers come back to delete them, and may learn why."""

Handler = Callable[["WhipIngest", web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class WhipLimits:
    """`idle` in seconds without media, after which a publisher has vanished."""

    max_publishers: int = 1000
    idle: float = 15.0


@dataclass(frozen=True, slots=True)
class _Session:
    session: WhipSession
    remote_ufrag: str
    sections: tuple[tuple[str, str], ...]


def _answering(handler: Handler) -> Handler:
    """Refusals become answers, and are counted."""

    @functools.wraps(handler)
    async def answer(self: WhipIngest, request: web.Request) -> web.Response:
        try:
            return await handler(self, request)
        except whip.Refusal as exc:
            refused = Refused(exc.status, str(exc), headers=exc.headers)
        except Refused as exc:
            refused = exc
        self.refused[str(refused.status)] += 1
        return refused.response()

    return answer


class WhipIngest:
    """Publishers by WHIP. `run` beside the HTTP server; `close` tells everyone goodbye.

    `limits` may be replaced at any time, for publishers that come afterwards.
    """

    def __init__(
        self,
        hub: Hub,
        endpoint: WebRtcEndpoint,
        authorize: Authorize,
        clock: Clock,
        limits: WhipLimits | None = None,
    ) -> None:
        self.limits = limits or WhipLimits()
        self.accepted = 0
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._hub = hub
        self._endpoint = endpoint
        self._authorize = authorize
        self._clock = clock
        self._past = WhipCounters()
        self._sessions: dict[str, _Session] = {}
        self._somebody = asyncio.Event()
        self._ended: OrderedDict[str, tuple[str, Reason]] = OrderedDict()
        self._numbers = itertools.count(1)
        self._is_closing = False

    def sessions(self) -> list[WhipSession]:
        """Everyone's, those whose handshake is not over included."""
        return [entry.session for entry in self._sessions.values()]

    def totals(self) -> WhipCounters:
        """What all sessions, past and present, have counted."""
        totals = WhipCounters()
        totals.add(self._past)
        for session in self.sessions():
            totals.add(session.counters())
        return totals

    async def run(self) -> None:
        """Keep feedback and timers going."""
        while True:
            await self._somebody.wait()  # a node without sessions need not wake up
            await asyncio.sleep(TICK_INTERVAL)
            now = self._clock.now()
            for session in self.sessions():
                self._tick(session, now)

    @staticmethod
    def _tick(session: WhipSession, now: float) -> None:
        try:
            session.tick(now)
        except Exception:  # noqa: BLE001  a bug of ours costs this publisher, never the node
            _log.exception("a publisher failed", extra={"room": session.room, "conn": f"whip-{session.number}"})
            session.on_events([PeerClosed(CloseCause.FAILED)], now)

    def close(self) -> None:
        """The node goes away: every publisher is told so."""
        self._is_closing = True
        for session in self.sessions():
            session.end(SHUTDOWN)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return (
            web.post("/whip/{room}", self.post),
            web.delete("/whip/{room}/{session}", self.delete),
            web.patch("/whip/{room}/{session}", self.patch),
        )

    @_answering
    async def post(self, request: web.Request) -> web.Response:
        """An offer; answered 201 with the answer."""
        room = request.match_info["room"]
        self._check_key(request, room)
        whip.check_offer_type(request.headers.get("Content-Type"))
        self._check_room(room)
        offer = whip.parse_offer(await request.read())
        try:
            return self._accept(request, room, offer)
        except Unusable as exc:
            raise Refused(422, str(exc)) from exc
        except WireError as exc:
            raise Refused(422, f"The offer cannot be answered: {exc}.") from exc
        except EndpointFull as exc:
            raise _unavailable(f"{exc}.", FULL) from exc

    @_answering
    async def delete(self, request: web.Request) -> web.Response:
        """The publisher takes its leave. The address is the secret, so that no key is asked for."""
        entry = self._sessions.get(request.match_info["session"])
        if entry is not None and entry.session.room == request.match_info["room"]:
            entry.session.end(ENDED, "the publisher took its leave", clean=True)
            return _goodbye()
        if self._past_reason(request) is ENDED:
            return _goodbye()  # OBS closes its transport before it says so here
        raise self._gone(request)

    @_answering
    async def patch(self, request: web.Request) -> web.Response:
        """Trickled candidates, which a lite agent does not need, or an ICE restart (RFC 9725, 4.3)."""
        entry = self._sessions.get(request.match_info["session"])
        if entry is None or entry.session.room != request.match_info["room"]:
            raise self._gone(request)
        ufrag = whip.read_patch(
            await request.read(),
            content_type=request.headers.get("Content-Type"),
            if_match=request.headers.get("If-Match"),
            etag=_etag(entry.session),
            remote_ufrag=entry.remote_ufrag,
        )
        return web.Response(status=204) if ufrag is None else self._restart(request, entry, ufrag)

    def _check_key(self, request: web.Request, room: str) -> None:
        """The room's stream key is the Bearer token (RFC 9725, 4.5; RFC 6750, 2.1)."""
        scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
        refusal = self._authorize(room, key, request.remote or "")
        if refusal is None:
            return
        headers = {} if key else {"WWW-Authenticate": f'Bearer realm="{_quotable(room)}"'}
        if refusal.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(refusal.retry_after))
        _log.info("publisher refused: %s", refusal.text, extra={"room": room, "peer": request.remote})
        raise Refused(403 if key else 401, f"Not allowed: {refusal.text}.", reason=KEY_REFUSED, headers=headers)

    def _check_room(self, room: str) -> None:
        if self._is_closing:
            raise _unavailable("The server is going away.", SHUTDOWN)
        if len(self._sessions) >= self.limits.max_publishers:
            raise _unavailable(f"{self.limits.max_publishers} publishers are here, which is the limit.", FULL)
        try:
            self._hub.check_claim(room)
        except ClaimRefused as exc:
            status = 503 if exc.reason in (FULL, SHUTDOWN) else 409
            headers = {"Retry-After": str(math.ceil(exc.retry_after))}
            raise Refused(status, f"Not now: {exc}.", reason=exc.reason, headers=headers) from exc

    def _accept(self, request: web.Request, room: str, offer: sdp.SessionDescription) -> web.Response:
        """Raises Unusable, WireError and EndpointFull, and leaves nothing behind then."""
        incoming = choose_incoming(offer)
        accepted = {entry.mid: entry.acceptance for entry in incoming}
        remote = sdp.remote_transport(offer, accepted)
        local = self._endpoint.local_transport(_contacted(request))
        session = self._session(room, incoming, request.remote or "")
        answer = sdp.answer(offer, accepted, local, session_id=str(session.number))
        session.bind(self._endpoint.open(session, local=local, remote=remote, client=session.client))
        sections = tuple((section.kind, section.mid) for section in offer.sections if section.mid in accepted)
        self._sessions[session.secret] = _Session(session, remote.ice.ufrag, sections)
        self._somebody.set()
        self.accepted += 1
        location = request.url.origin().with_path(f"/whip/{room}/{session.secret}")
        headers = whip.session_headers(str(location), _etag(session))
        return web.Response(status=201, body=sdp.write(answer).encode(), content_type=whip.SDP_TYPE, headers=headers)

    def _session(self, room: str, incoming: list[Incoming], client: str) -> WhipSession:
        return WhipSession(
            secrets.token_urlsafe(SECRET_BYTES),
            room,
            self._hub,
            incoming,
            clock=self._clock,
            ssrc=1 + secrets.randbelow(0xFFFFFFFF),
            client=client,
            number=next(self._numbers),
            idle=self.limits.idle,
            on_closed=self._forget,
        )

    def _restart(self, request: web.Request, entry: _Session, remote_ufrag: str) -> web.Response:
        session = entry.session
        local = self._endpoint.local_transport(_contacted(request))
        self._endpoint.restart(session.port, local, remote_ufrag=remote_ufrag)
        session.generation += 1
        self._sessions[session.secret] = _Session(session, remote_ufrag, entry.sections)
        body = whip.write_fragment(local.ice, entry.sections, local.candidates)
        return web.Response(
            status=200, body=body.encode(), content_type=whip.FRAGMENT_TYPE, headers={"ETag": _etag(session)}
        )

    def _past_reason(self, request: web.Request) -> Reason | None:
        room, reason = self._ended.get(request.match_info["session"], (None, None))
        return reason if room == request.match_info["room"] else None

    def _gone(self, request: web.Request) -> Refused:
        reason = self._past_reason(request)
        if reason is None:
            return Refused(404, "There is no such session.", reason=NOT_FOUND)
        return Refused(404, f"This session is over: {reason.text}.", reason=reason)

    def _forget(self, session: WhipSession, reason: Reason) -> None:
        if self._sessions.pop(session.secret, None) is not None:
            if not self._sessions:
                self._somebody.clear()
            self._past.add(session.counters())
            self.closed[reason.name] += 1
            self._ended[session.secret] = (session.room, reason)
            while len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)


def _goodbye() -> web.Response:
    return web.Response(status=200, text="The publication has ended.\n")  # FFmpeg complains of an answer without a body


def _etag(session: WhipSession) -> str:
    return whip.make_etag(str(session.number), session.generation)


def _quotable(text: str) -> str:
    return "".join(char for char in text if char.isalnum() or char in "-_.")


def _contacted(request: web.Request) -> str | None:
    """The address of ours that this request came to."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else None


def _unavailable(detail: str, reason: Reason) -> Refused:
    return Refused(503, detail, reason=reason, headers={"Retry-After": str(RETRY_AFTER)})

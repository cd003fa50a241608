"""The HTTP half of WHEP: an offer is posted, a session deleted, from a few threads that may wait."""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from wire.whip import SDP_TYPE, is_content_type

__all__ = ["Finished", "HttpWorkers", "SessionCreated", "WhepRefused", "WhepUrl"]

THREADS = 32  # requests under way at once; more joins than that wait for their turn
TIMEOUT_S = 15.0  # servers hold an early viewer for 10 s
MAX_REDIRECTS = 3  # RFC 9725, 4.5: a load balancer answers 307 with another URL
MAX_BODY = 64 * 1024  # bytes, as of any session description
MAX_REASON = 120  # characters of a refusal that a table can hold
_REDIRECTS = (301, 302, 307, 308)


class WhepRefused(Exception):
    """The server did not create a session. The sentence says what it answered."""


@dataclass(frozen=True, slots=True)
class WhepUrl:
    """An endpoint or a session, and the token that opens it."""

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"{self.url}: only http:// and https:// URLs can be loaded")
        if self.token is not None and not self.token.isprintable():
            raise ValueError("the token has characters that no header can carry")

    def __repr__(self) -> str:
        return f"<WhepUrl {self.shown}>"  # never the token

    @property
    def shown(self) -> str:
        """Without query and credentials, which may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}:{self.port}{parts.path}"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def moved(self, location: str) -> WhepUrl:
        """Where a Location header points, absolute or relative to this URL (RFC 9110, 10.2.2).

        Another host does not get the token: whoever may redirect should not be able to collect it.
        """
        there = WhepUrl(urljoin(self.url, location), self.token)
        return there if (there.host, there.port) == (self.host, self.port) else replace(there, token=None)


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """A 201: the answer, where to DELETE it (None: the server named no place), and its other headers."""

    answer: bytes
    session: WhepUrl | None
    timeline: str | None
    at: float


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


def post_offer(endpoint: WhepUrl, offer: str) -> SessionCreated:
    """Raises WhepRefused, OSError."""
    for _ in range(MAX_REDIRECTS + 1):
        reply = _request("POST", endpoint, offer.encode())
        location = reply.headers.get("Location")
        if reply.status not in _REDIRECTS or location is None:
            return _created(endpoint, reply, location)
        endpoint = endpoint.moved(location)
    raise WhepRefused(f"the server redirected more than {MAX_REDIRECTS} times")


def delete_session(session: WhepUrl) -> None:
    """Raises WhepRefused, OSError. A session that the server has already forgotten is as good as deleted."""
    reply = _request("DELETE", session, None)
    if not 200 <= reply.status < 300 and reply.status not in (404, 410):
        raise WhepRefused(_refusal("DELETE", reply))


def _created(endpoint: WhepUrl, reply: _Reply, location: str | None) -> SessionCreated:
    if reply.status != 201:
        raise WhepRefused(_refusal("POST", reply))
    if not is_content_type(reply.headers.get("Content-Type"), SDP_TYPE):
        raise WhepRefused(f"the answer is {reply.headers.get('Content-Type')!r}, not {SDP_TYPE}")
    session = endpoint.moved(location) if location else None
    return SessionCreated(reply.body, session, reply.headers.get("Streamer-Timeline"), time.monotonic())


def _refusal(method: str, reply: _Reply) -> str:
    words = " ".join(reply.body.decode(errors="replace").split())[:MAX_REASON]
    return f"the server answered {method} with {reply.status} {reply.reason}" + (f": {words}" if words else "")


def _request(method: str, to: WhepUrl, body: bytes | None) -> _Reply:
    parts = urlsplit(to.url)
    connection = _connection(to, secure=parts.scheme == "https")
    headers = {"User-Agent": "streamer-bench"} | ({"Authorization": f"Bearer {to.token}"} if to.token else {})
    if body is not None:
        headers["Content-Type"] = SDP_TYPE
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        read = response.read(MAX_BODY)
        return _Reply(response.status, response.reason, response.headers, read)
    except (http.client.HTTPException, UnicodeError, TimeoutError) as exc:
        raise WhepRefused(f"{method} failed: {str(exc) or type(exc).__name__}") from exc
    finally:
        connection.close()


def _connection(to: WhepUrl, *, secure: bool) -> http.client.HTTPConnection:
    if secure:
        return http.client.HTTPSConnection(to.host, to.port, timeout=TIMEOUT_S, context=_tls())
    return http.client.HTTPConnection(to.host, to.port, timeout=TIMEOUT_S)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reading the system's certificates takes longer than a handshake


class Finished(NamedTuple):
    """A request that is over: for whom, and what became of it. A deleted session is None."""

    method: str
    whose: int
    outcome: SessionCreated | Exception | None


class HttpWorkers:
    """Requests under way. `fd` becomes readable when `finished` has something."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._finished: deque[Finished] = deque()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="http")

    def post(self, whose: int, endpoint: WhepUrl, offer: str) -> None:
        self._pool.submit(self._run, "POST", whose, lambda: post_offer(endpoint, offer))

    def delete(self, whose: int, session: WhepUrl) -> None:
        self._pool.submit(self._run, "DELETE", whose, lambda: delete_session(session))

    def finished(self) -> list[Finished]:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return []
        return [self._finished.popleft() for _ in range(len(self._finished))]

    def close(self) -> None:
        """What has not begun never will; what is under way is waited for."""
        self._pool.shutdown(cancel_futures=True)
        os.close(self.fd)

    def _run(self, method: str, whose: int, request: Callable[[], SessionCreated | None]) -> None:
        try:
            finished = Finished(method, whose, request())
        except (WhepRefused, OSError, ValueError) as exc:
            finished = Finished(method, whose, exc)
        self._finished.append(finished)
        os.eventfd_write(self.fd, 1)

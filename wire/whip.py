"""The HTTP rules of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as values; no HTTP is spoken here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from wire import sdp
from wire.errors import Malformed, WireError
from wire.ice import IceCredentials
from wire.sdp import SessionDescription
from wire.sdp.lines import Attributes, split_lines

__all__ = [
    "ACCEPTED",
    "EXPOSED_HEADERS",
    "FRAGMENT_TYPE",
    "SDP_TYPE",
    "IceFragment",
    "IceServer",
    "PatchVerdict",
    "Refusal",
    "check_offer_type",
    "ice_server_links",
    "is_content_type",
    "judge_patch",
    "make_etag",
    "parse_fragment",
    "parse_offer",
    "read_patch",
    "session_headers",
    "write_fragment",
]

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
ACCEPTED = {"Accept-Post": SDP_TYPE, "Accept-Patch": FRAGMENT_TYPE}
"""What a body may be, said with OPTIONS and with a refusal of another (RFC 9725, 4.2)."""
EXPOSED_HEADERS = ("Location", "Link", "ETag", "Accept-Patch", "Retry-After", "Streamer-Timeline")
"""What a page on another origin may read: Access-Control-Expose-Headers."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """One STUN or TURN server to tell the peer about. `url` begins with stun:, turn: or turns:."""

    url: str
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What a PATCH says (RFC 8840, 9): candidates, and the credentials they belong to."""

    ice: IceCredentials | None
    candidates: tuple[str, ...]
    end_of_candidates: bool


class Refusal(WireError):
    """A request that breaks the rules of WHIP or WHEP: the HTTP status, and headers that go with it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


class PatchVerdict(Enum):
    """What to do with a PATCH; the number is the HTTP status of a refusal."""

    TRICKLE = 204
    RESTART = 200
    PRECONDITION_FAILED = 412
    PRECONDITION_REQUIRED = 428


def is_content_type(header: str | None, wanted: str) -> bool:
    """Whether a Content-Type is the wanted one, parameters and case aside (RFC 9110, 8.3.1)."""
    return header is not None and header.partition(";")[0].strip().lower() == wanted


def check_offer_type(content_type: str | None) -> None:
    """Raises Refusal (415) for a body that is no offer."""
    if not is_content_type(content_type, SDP_TYPE):
        raise Refusal(415, f"This address takes an offer as {SDP_TYPE}.", ACCEPTED)


def parse_offer(body: bytes) -> SessionDescription:
    """Raises Refusal (400)."""
    try:
        return sdp.parse(body)
    except WireError as exc:
        raise Refusal(400, f"The offer cannot be read: {exc}.") from exc


def read_patch(
    body: bytes, *, content_type: str | None, if_match: str | None, etag: str, remote_ufrag: str
) -> str | None:
    """The peer's new ufrag when it asks for an ICE restart; None for candidates, which a lite agent does not need.
    Raises Refusal: 415, 400, 412 or 428 (RFC 9725, 4.3).
    """
    if not is_content_type(content_type, FRAGMENT_TYPE):
        raise Refusal(415, f"This address takes {FRAGMENT_TYPE}.", ACCEPTED)
    try:
        fragment = parse_fragment(body)
    except WireError as exc:
        raise Refusal(400, f"The fragment cannot be read: {exc}.") from exc
    verdict = judge_patch(fragment, remote_ufrag=remote_ufrag, if_match=if_match, etag=etag)
    if verdict is PatchVerdict.TRICKLE:
        return None
    if verdict is PatchVerdict.RESTART and fragment.ice is not None:
        return fragment.ice.ufrag
    raise Refusal(verdict.value, f"If-Match must name the session's present tag, {etag}.")


def session_headers(location: str, etag: str) -> dict[str, str]:
    """Of a 201 (RFC 9725, 4.2): where the session is, and what may be done there."""
    return {"Location": location, "ETag": etag, "Accept-Patch": FRAGMENT_TYPE, "Cache-Control": "no-store"}


def make_etag(session: str, generation: int) -> str:
    """The strong entity tag of an ICE session: it changes with each restart (RFC 9725, 4.3.1)."""
    return f'"{session}-{generation}"'


def judge_patch(fragment: IceFragment, *, remote_ufrag: str, if_match: str | None, etag: str) -> PatchVerdict:
    """RFC 9725, 4.3.1: trickling needs the session's tag, a restart needs "*" and brings new credentials."""
    if if_match is None:
        return PatchVerdict.PRECONDITION_REQUIRED
    restart = fragment.ice is not None and fragment.ice.ufrag != remote_ufrag
    tags = [tag.strip() for tag in if_match.split(",")]
    if restart:
        # RFC 9725, 4.3.3 says "*"; a client that names the present tag means the same
        return PatchVerdict.RESTART if "*" in tags or etag in tags else PatchVerdict.PRECONDITION_FAILED
    # a weak tag never matches (RFC 9110, 13.1.1)
    return PatchVerdict.TRICKLE if etag in tags or "*" in tags else PatchVerdict.PRECONDITION_FAILED


def parse_fragment(text: str | bytes) -> IceFragment:
    """Read a `trickle-ice-sdpfrag` (RFC 8840, 9). Raises `WireError`."""
    attributes = Attributes(split_lines(text))
    ufrag, password = attributes.one("ice-ufrag"), attributes.one("ice-pwd")
    if (ufrag is None) != (password is None):
        raise Malformed("ICE fragment has only one of ice-ufrag and ice-pwd")
    ice = IceCredentials(ufrag, password) if ufrag and password else None
    return IceFragment(ice, tuple(attributes.all("candidate")), attributes.flag("end-of-candidates"))


def write_fragment(ice: IceCredentials, mids: Iterable[tuple[str, str]], candidates: Iterable[str]) -> str:
    """The body of a restart's answer: new credentials, then the candidates under the first of (kind, mid)."""
    lines = ["a=ice-lite", f"a=ice-ufrag:{ice.ufrag}", f"a=ice-pwd:{ice.password}"]
    for number, (kind, mid) in enumerate(mids):
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF 0", f"a=mid:{mid}"]
        if number == 0:
            lines += [f"a=candidate:{candidate}" for candidate in candidates] + ["a=end-of-candidates"]
    return "".join(f"{line}\r\n" for line in lines)


def ice_server_links(servers: Iterable[IceServer]) -> Iterator[str]:
    """Values of `Link` headers, one each: OBS reads no more than one server from a header (RFC 9725, 4.6)."""
    for server in servers:
        link = f'<{server.url}>; rel="ice-server"'
        credentials: Mapping[str, str | None] = {"username": server.username, "credential": server.credential}
        for name, value in credentials.items():
            if value is not None:
                link += f"; {name}={_quoted(value)}"
        yield link + ('; credential-type="password"' if server.credential is not None else "")


def _quoted(value: str) -> str:
    # RFC 9110, 5.6.4
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

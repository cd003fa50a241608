"""The HTTP rules of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as values; no HTTP is spoken here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from wire.errors import Malformed
from wire.ice import IceCredentials
from wire.sdp.lines import Attributes, split_lines

__all__ = [
    "EXPOSED_HEADERS",
    "FRAGMENT_TYPE",
    "SDP_TYPE",
    "IceFragment",
    "IceServer",
    "PatchVerdict",
    "ice_server_links",
    "is_content_type",
    "judge_patch",
    "make_etag",
    "parse_fragment",
    "write_fragment",
]

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
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


class PatchVerdict(Enum):
    """What to do with a PATCH; the number is the HTTP status of a refusal."""

    TRICKLE = 204
    RESTART = 200
    PRECONDITION_FAILED = 412
    PRECONDITION_REQUIRED = 428


def is_content_type(header: str | None, wanted: str) -> bool:
    """Whether a Content-Type is the wanted one, parameters and case aside (RFC 9110, 8.3.1)."""
    return header is not None and header.partition(";")[0].strip().lower() == wanted


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

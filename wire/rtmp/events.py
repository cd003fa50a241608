"""What happens on an RTMP connection, as `next_event` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from wire.flv_tag import FlvTag
from wire.rtmp.redact import redact

__all__ = [
    "ClientEvent",
    "Closed",
    "Connected",
    "PublishRequested",
    "Published",
    "Rejected",
    "ServerEvent",
    "TagReceived",
    "Unpublished",
]


@dataclass(frozen=True, slots=True)
class Connected:
    """Server: a client has connected to `app`. `four_ccs` are the codecs that it says it knows (Enhanced RTMP)."""

    app: str
    tc_url: str
    encoder: str
    four_ccs: tuple[str, ...] = ()

    def __repr__(self) -> str:  # encoders append the key to the URL when they are configured so
        return f"Connected(app={_redact_path(self.app)}, encoder={self.encoder[:64]!r}, four_ccs={self.four_ccs})"


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """Server: answer with `accept` or `reject`. `name` is raw, query and all; `kind` is "live" most of the time."""

    app: str
    name: str
    kind: str

    def __repr__(self) -> str:
        return f"PublishRequested({_redact_path(self.app)}/{redact(self.name)}, kind={self.kind[:16]!r})"


@dataclass(frozen=True, slots=True)
class TagReceived:
    """Server: one audio, video or script tag of the accepted publication."""

    tag: FlvTag


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Server: the client ended its publication in good order, or withdrew its request."""


@dataclass(frozen=True, slots=True)
class Published:
    """Client: the server takes tags from now on."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Client: the server refused the connection or the publication."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Closed:
    """Both: nothing more will come. `code` is empty when the bytes just ended."""

    code: str = ""
    description: str = ""


ServerEvent = Connected | PublishRequested | TagReceived | Unpublished | Closed
ClientEvent = Published | Rejected | Closed


def _redact_path(app: str) -> str:
    return "/".join(map(redact, app.split("/")))

"""What a session description says, as values."""

from __future__ import annotations

from dataclasses import dataclass

from wire.dtls import Fingerprint
from wire.ice import IceCredentials

__all__ = [
    "DISCARD_PORT",
    "REJECTED_PORT",
    "Extension",
    "MediaSection",
    "RtpCodec",
    "SessionDescription",
    "SourceGroup",
]

REJECTED_PORT = 0
DISCARD_PORT = 9
"""RFC 8839, 4.3.1: the port of a section whose address only ICE knows."""


@dataclass(frozen=True, slots=True)
class RtpCodec:
    """One payload type: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb`."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    feedback: tuple[str, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The value of one format parameter, names compared without case; "" for a flag."""
        for item in self.parameters.split(";"):
            key, _, value = item.strip().partition("=")
            if key.strip().lower() == name:
                return value.strip()
        return None


@dataclass(frozen=True, slots=True)
class Extension:
    """One `a=extmap` (RFC 8285, 5)."""

    number: int
    uri: str
    direction: str | None = None


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """One `a=ssrc-group` (RFC 5576, 4.2): FID pairs a stream with its RTX, SIM lists simulcast layers."""

    semantics: str
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One `m=` section. `formats` is only for what is not RTP, as data channels; RTP has `codecs`."""

    kind: str
    mid: str
    protocol: str = "UDP/TLS/RTP/SAVPF"
    port: int = DISCARD_PORT
    address: str = "0.0.0.0"
    direction: str = "sendrecv"
    codecs: tuple[RtpCodec, ...] = ()
    formats: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()
    ice: IceCredentials | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    rtcp_mux: bool = False
    reduced_size: bool = False
    receiver_rtt: bool = False
    bundle_only: bool = False
    send_rids: tuple[str, ...] = ()
    receive_rids: tuple[str, ...] = ()
    stream: str | None = None
    sources: tuple[tuple[int, str], ...] = ()
    source_groups: tuple[SourceGroup, ...] = ()
    candidates: tuple[str, ...] = ()
    end_of_candidates: bool = False

    @property
    def rejected(self) -> bool:
        """RFC 8843, 6: port 0 is a refusal, unless the section only waits to be bundled."""
        return self.port == REJECTED_PORT and not self.bundle_only

    def codec(self, payload_type: int) -> RtpCodec | None:
        return next((codec for codec in self.codecs if codec.payload_type == payload_type), None)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """An offer or an answer."""

    session_id: str
    sections: tuple[MediaSection, ...]
    version: int = 0
    bundle: tuple[str, ...] = ()
    ice_lite: bool = False
    mixed_extensions: bool = False

    def section(self, mid: str) -> MediaSection | None:
        return next((section for section in self.sections if section.mid == mid), None)

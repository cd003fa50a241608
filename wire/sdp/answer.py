"""The answer to an offer (RFC 3264, RFC 8829, 5.3; RFC 9725, 4.2): what was not offered is never answered.

The caller says, for each section that it takes, with what; everything else is refused here. A refused section leaves
the BUNDLE group, because Firefox throws otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from wire.dtls import DtlsRole, Fingerprint
from wire.errors import Malformed, Unsupported
from wire.ice import IceCredentials
from wire.rtp import extensions
from wire.sdp.values import REJECTED_PORT, Extension, MediaSection, RtpCodec, SessionDescription, SourceGroup

__all__ = [
    "PUBLISHER_EXTENSIONS",
    "PUBLISHER_FEEDBACK",
    "VIEWER_EXTENSIONS",
    "VIEWER_FEEDBACK",
    "Acceptance",
    "LocalTransport",
    "OutgoingStream",
    "RemoteTransport",
    "answer",
    "remote_transport",
]

VIEWER_EXTENSIONS = frozenset({extensions.MID, extensions.ABS_SEND_TIME})
VIEWER_FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "goog-remb"})
"""goog-remb with abs-send-time: the viewer estimates, and says so twice a second."""

PUBLISHER_EXTENSIONS = frozenset(
    {
        extensions.MID,
        extensions.STREAM_ID,
        extensions.REPAIRED_STREAM_ID,
        extensions.TRANSPORT_SEQUENCE,
    }
)
PUBLISHER_FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "transport-cc"})
"""transport-cc: a browser that only gets REMB stays at a few hundred kilobits per second."""


@dataclass(frozen=True, slots=True)
class OutgoingStream:
    """What a viewer is told about the stream that we send in one section."""

    ssrc: int
    name: str
    stream: str
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How one section is taken: `codecs` are payload types of the offer, the one in use first, its RTX behind it.

    With `outgoing` we send, without it we receive.
    """

    codecs: tuple[RtpCodec, ...]
    extensions: frozenset[str]
    feedback: frozenset[str]
    outgoing: OutgoingStream | None = None


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our half of the one transport: `candidates` are the values of `host_candidate`, the best one first."""

    ice: IceCredentials
    fingerprint: Fingerprint
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The peer's half, and the DTLS role that it leaves to us."""

    ice: IceCredentials
    fingerprints: tuple[Fingerprint, ...]
    role: DtlsRole


def remote_transport(offer: SessionDescription, accepted: Mapping[str, Acceptance]) -> RemoteTransport:
    """The transport of the accepted sections, which must be bundled (RFC 8843, 7.3). Raises `WireError`."""
    sections = [section for section in offer.sections if section.mid in accepted]
    if not sections:
        raise Unsupported("no media section can be accepted")
    bundled = [section.mid for section in sections if section.mid in offer.bundle]
    if len(sections) > 1 and len(bundled) != len(sections):
        raise Unsupported(f"{len(sections)} media sections, of which {len(bundled)} are in one BUNDLE group")
    first = min(sections, key=lambda section: offer.bundle.index(section.mid)) if bundled else sections[0]
    if first.ice is None or not first.fingerprints:
        raise Malformed(f"media section {first.mid} has no ICE credentials or no fingerprint")
    return RemoteTransport(first.ice, first.fingerprints, _role(first.setup))


def answer(
    offer: SessionDescription,
    accepted: Mapping[str, Acceptance],
    local: LocalTransport,
    *,
    session_id: str,
) -> SessionDescription:
    """The answer: sections in the offer's order, those that are not in `accepted` refused. Raises `WireError`."""
    remote = remote_transport(offer, accepted)
    sections = [
        _accept(section, accepted[section.mid], local, role=remote.role)
        if section.mid in accepted
        else _refuse(section)
        for section in offer.sections
    ]
    return SessionDescription(
        session_id=session_id,
        sections=tuple(sections),
        bundle=tuple(mid for mid in offer.bundle if mid in accepted),
        ice_lite=True,
        mixed_extensions=offer.mixed_extensions,
    )


def _role(setup: str | None) -> DtlsRole:
    # RFC 8842, 5.3: after actpass we choose. Passive, because browsers repeat lost flights faster than OpenSSL
    if setup in ("actpass", "active", None):
        return DtlsRole.SERVER
    if setup == "passive":
        return DtlsRole.CLIENT
    raise Unsupported(f"a=setup:{setup}")


def _refuse(section: MediaSection) -> MediaSection:
    return MediaSection(
        kind=section.kind,
        mid=section.mid,
        protocol=section.protocol,
        port=REJECTED_PORT,
        direction="inactive",
        codecs=section.codecs[:1],
        formats=section.formats[:1],
    )


def _accept(section: MediaSection, taken: Acceptance, local: LocalTransport, *, role: DtlsRole) -> MediaSection:
    offered = {codec.payload_type for codec in section.codecs}
    foreign = [codec.payload_type for codec in taken.codecs if codec.payload_type not in offered]
    if foreign or not taken.codecs:
        raise ValueError(f"payload types {foreign} were not offered in section {section.mid}")
    if not section.rtcp_mux:
        raise Unsupported(f"media section {section.mid} without rtcp-mux: there is one port")
    accepted = MediaSection(
        kind=section.kind,
        mid=section.mid,
        protocol=section.protocol,
        direction=_direction(section, sending=taken.outgoing is not None),
        codecs=tuple(_limit_feedback(codec, taken.feedback) for codec in taken.codecs),
        extensions=tuple(_mirror(extension) for extension in section.extensions if extension.uri in taken.extensions),
        ice=local.ice,
        fingerprints=(local.fingerprint,),
        setup=role.value,
        rtcp_mux=True,
        reduced_size=section.reduced_size,
        receiver_rtt=section.receiver_rtt,
        receive_rids=section.send_rids if taken.outgoing is None else (),
        candidates=local.candidates,
        end_of_candidates=True,
    )
    return accepted if taken.outgoing is None else _announce(accepted, taken.outgoing)


def _direction(section: MediaSection, *, sending: bool) -> str:
    wanted = ("recvonly", "sendrecv") if sending else ("sendonly", "sendrecv")
    if section.direction not in wanted:
        raise Unsupported(f"media section {section.mid} is {section.direction}: we {'send' if sending else 'receive'}")
    return "sendonly" if sending else "recvonly"


def _limit_feedback(codec: RtpCodec, known: frozenset[str]) -> RtpCodec:
    return replace(codec, feedback=tuple(feedback for feedback in codec.feedback if feedback in known))


def _mirror(extension: Extension) -> Extension:
    # RFC 8285, 5: what the offerer only sends the answerer only receives
    ways = {"sendonly": "recvonly", "recvonly": "sendonly"}
    return replace(extension, direction=ways.get(extension.direction or "", extension.direction))


def _announce(section: MediaSection, outgoing: OutgoingStream) -> MediaSection:
    ssrcs = (outgoing.ssrc,) if outgoing.rtx_ssrc is None else (outgoing.ssrc, outgoing.rtx_ssrc)
    groups = () if outgoing.rtx_ssrc is None else (SourceGroup("FID", ssrcs),)
    return replace(
        section,
        stream=outgoing.stream,
        sources=tuple((ssrc, outgoing.name) for ssrc in ssrcs),
        source_groups=groups,
    )

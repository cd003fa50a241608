"""What a viewer or a publisher offers, in Chromium's shape, and what it makes of the answer (RFC 8829, RFC 9725)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from wire import sdp
from wire.dtls import DtlsRole, Fingerprint
from wire.errors import Malformed, Unsupported, WireError
from wire.ice import IceCredentials
from wire.rtp.extensions import ABS_SEND_TIME, MID, TRANSPORT_SEQUENCE
from wire.sdp import Extension, MediaSection, RtpCodec, SessionDescription
from wire.stun import Address

__all__ = ["WhepAnswer", "make_offer", "read_answer"]

MAX_CANDIDATES = 16  # a server with IPv4 and IPv6 on three networks has six
_AUDIO, _VIDEO = "0", "1"

# Chromium's payload types, so that a server that knows them by heart finds them where it looks.
_OPUS = 111
_H264 = ((102, 103, "42001f"), (108, 109, "42e01f"), (112, 113, "64001f"))
_VIDEO_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")


@dataclass(frozen=True, slots=True)
class WhepAnswer:
    """What the server chose. `candidates` are its UDP addresses, best first; `rtx` maps a payload type to the one it
    repairs; `clock_rates` those of all accepted payload types.
    """

    ice: IceCredentials
    fingerprints: tuple[Fingerprint, ...]
    role: DtlsRole
    candidates: tuple[Address, ...]
    video: RtpCodec
    audio: RtpCodec | None
    rtx: dict[int, int]
    clock_rates: dict[int, int]
    transport_sequence: int | None

    @property
    def wants_estimates(self) -> bool:
        return "goog-remb" in self.video.feedback

    @property
    def repairs(self) -> bool:
        return "nack" in self.video.feedback

    @property
    def parameter_sets(self) -> bool:
        """Whether the answer brought them (RFC 6184, 8.1), so that a keyframe need not."""
        return bool(self.video.parameter("sprop-parameter-sets"))

    @property
    def parameter_set_nals(self) -> tuple[bytes, ...]:
        """Those that it brought, and none where they cannot be read."""
        try:
            encoded = (self.video.parameter("sprop-parameter-sets") or "").split(",")
            return tuple(base64.b64decode(value, validate=True) for value in encoded if value)
        except binascii.Error:
            return ()


def make_offer(
    ice: IceCredentials, fingerprint: Fingerprint, host: Address, *, session_id: str, direction: str = "recvonly"
) -> str:
    """The offer of a viewer on `host`, of a publisher with "sendonly": Opus, and H.264 in mode 1 with RTX."""
    return sdp.write(
        SessionDescription(
            session_id=session_id,
            version=2,
            bundle=(_AUDIO, _VIDEO),
            mixed_extensions=True,
            sections=tuple(_section(kind, ice, fingerprint, host, direction) for kind in ("audio", "video")),
        )
    )


def _section(kind: str, ice: IceCredentials, fingerprint: Fingerprint, host: Address, direction: str) -> MediaSection:
    return MediaSection(
        kind=kind,
        mid=_AUDIO if kind == "audio" else _VIDEO,
        port=host.port,
        address=host.host,
        direction=direction,
        codecs=(_opus(),) if kind == "audio" else tuple(_h264_codecs()),
        extensions=(Extension(2, ABS_SEND_TIME), Extension(3, TRANSPORT_SEQUENCE), Extension(4, MID)),
        ice=ice,
        fingerprints=(fingerprint,),
        setup="actpass",
        rtcp_mux=True,
        reduced_size=True,
        candidates=(f"1 1 udp 2122260223 {host.host} {host.port} typ host generation 0",),
        end_of_candidates=True,
    )


def _opus() -> RtpCodec:
    return RtpCodec(_OPUS, "opus", 48_000, 2, "minptime=10;useinbandfec=1", ("transport-cc",))


def _h264_codecs() -> Iterator[RtpCodec]:
    for payload_type, rtx, profile in _H264:
        parameters = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
        yield RtpCodec(payload_type, "H264", 90_000, 1, parameters, _VIDEO_FEEDBACK)
        yield RtpCodec(rtx, "rtx", 90_000, 1, f"apt={payload_type}")


def read_answer(text: str | bytes, *, ipv6: bool, direction: str = "sendonly") -> WhepAnswer:
    """Read an answer to `make_offer`, with the candidates of one address family. `direction` is what the server has to
    do, "recvonly" for a publisher. Raises `WireError`.
    """
    answer = _parse(text)
    sections = [section for section in answer.sections if not section.rejected and section.codecs]
    video = _find(sections, "video")
    if video is None:
        raise Unsupported("the answer refuses video")
    if video.direction not in (direction, "sendrecv"):
        raise Unsupported(f"the answer's video is {video.direction}, not {direction}: nothing will be sent")
    transport = _transport(answer, sections, video)
    if transport.ice is None or not transport.fingerprints:
        raise Malformed("the answer has no ICE credentials or no fingerprint")
    audio = _find(sections, "audio")
    codecs = [codec for section in sections for codec in section.codecs]
    return WhepAnswer(
        ice=transport.ice,
        fingerprints=transport.fingerprints,
        role=_role(transport.setup),
        candidates=_candidates([transport, *sections], ipv6=ipv6),
        video=_h264(video),
        audio=None if audio is None else sdp.find_opus(audio),
        rtx=dict(_repairs(codecs)),
        clock_rates={codec.payload_type: codec.clock_rate for codec in codecs},
        transport_sequence=_transport_sequence(sections),
    )


def _parse(text: str | bytes) -> SessionDescription:
    try:
        return sdp.parse(text)
    except WireError as exc:
        raise Malformed(f"the answer cannot be read: {exc}") from exc


def _find(sections: list[MediaSection], kind: str) -> MediaSection | None:
    return next((section for section in sections if section.kind == kind), None)


def _transport(answer: SessionDescription, sections: list[MediaSection], video: MediaSection) -> MediaSection:
    """RFC 8843, 7.3.1: of bundled sections the first one in the group says where they all are."""
    if len(sections) > 1 and any(section.mid not in answer.bundle for section in sections):
        raise Unsupported(f"{len(sections)} media sections are not in one BUNDLE group: a viewer has one socket")
    tagged = (section for mid in answer.bundle for section in sections if section.mid == mid)
    return next(tagged, video)


def _role(setup: str | None) -> DtlsRole:
    # RFC 8842, 5.3: an answer says active or passive, and we are the other
    if setup == "passive":
        return DtlsRole.CLIENT
    if setup == "active":
        return DtlsRole.SERVER
    raise Unsupported(f"the answer has a=setup:{setup}, not active or passive")


def _h264(video: MediaSection) -> RtpCodec:
    codec = video.codecs[0]
    offered = [payload_type for payload_type, _, _ in _H264]
    if codec.name.upper() != "H264" or codec.payload_type not in offered:
        raise Unsupported(
            f"the answer chose {codec.name} at {codec.payload_type}, H264 at one of {offered} was offered"
        )
    return codec


def _repairs(codecs: list[RtpCodec]) -> Iterator[tuple[int, int]]:
    for codec in codecs:
        apt = codec.parameter("apt") if codec.name.lower() == "rtx" else None
        if apt is not None and apt.isdigit():
            yield codec.payload_type, int(apt)


def _transport_sequence(sections: list[MediaSection]) -> int | None:
    """Its extension id when the server wants transport-wide feedback, which must be announced in both places."""
    if not any("transport-cc" in codec.feedback for section in sections for codec in section.codecs):
        return None
    found = (extension for section in sections for extension in section.extensions)
    return next((extension.number for extension in found if extension.uri == TRANSPORT_SEQUENCE), None)


def _candidates(sections: list[MediaSection], *, ipv6: bool) -> tuple[Address, ...]:
    ranked: dict[Address, int] = {}
    for section in sections:
        for value in section.candidates:
            if (found := _candidate(value, ipv6=ipv6)) is not None:
                address, priority = found
                ranked[address] = max(priority, ranked.get(address, 0))
    if not ranked:
        family = "IPv6" if ipv6 else "IPv4"
        raise Unsupported(f"the answer has no UDP candidate with a numeric {family} address")
    return tuple(sorted(ranked, key=lambda address: -ranked[address])[:MAX_CANDIDATES])


def _candidate(value: str, *, ipv6: bool) -> tuple[Address, int] | None:
    """RFC 8839, 5.1; None for TCP, for names, for the other family and for RTCP's own component."""
    words = value.split()
    if len(words) < 8 or words[1] != "1" or words[2].lower() != "udp":
        return None
    try:
        priority, port, host = int(words[3]), int(words[5]), ipaddress.ip_address(words[4])
    except ValueError:
        return None
    if not 0 < port < 65536 or (host.version == 6) is not ipv6:
        return None
    return Address(str(host), port), priority

"""Text to `SessionDescription`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from wire.dtls import Fingerprint
from wire.errors import LimitExceeded, Malformed, Truncated
from wire.ice import IceCredentials
from wire.sdp.lines import MAX_SDP_SIZE, Attributes, Line, read_number, split_lines
from wire.sdp.values import Extension, MediaSection, RtpCodec, SessionDescription, SourceGroup

__all__ = ["MAX_SDP_SIZE", "parse"]

MAX_SECTIONS = 16
"""A publisher has two, and a data channel makes three; the rest is slack for pages with several cameras."""
MAX_PASSWORD_SIZE = 256
"""RFC 8839, 5.4: ufrag and password are at most 256 characters."""

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_STATIC_CODECS = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}  # RFC 3551, 6
_MAX_U16 = 0xFFFF
_MAX_U32 = 0xFFFFFFFF
_MAX_U64 = (1 << 64) - 1


def parse(text: str | bytes) -> SessionDescription:
    """Read an offer or an answer. Raises `WireError`."""
    lines = split_lines(text)
    if not lines or lines[0] != ("v", "0"):
        raise Malformed("a session description begins with v=0")
    first_media = next((at for at, (key, _) in enumerate(lines) if key == "m"), len(lines))
    session = Attributes(lines[:first_media])
    blocks = list(_blocks(lines[first_media:]))
    if len(blocks) > MAX_SECTIONS:
        raise LimitExceeded(f"{len(blocks)} media sections exceed {MAX_SECTIONS}")
    session_id, version = _origin(session)
    sections = tuple(_section(block, session, number) for number, block in enumerate(blocks))
    if len({section.mid for section in sections}) != len(sections):
        raise Malformed(f"two of {len(sections)} media sections have the same mid")
    return SessionDescription(
        session_id=session_id,
        sections=sections,
        version=version,
        bundle=_bundle(session),
        ice_lite=session.flag("ice-lite"),
        mixed_extensions=session.flag("extmap-allow-mixed"),
    )


def _origin(session: Attributes) -> tuple[str, int]:
    words = (session.field("o") or "").split()
    if len(words) < 3:
        raise Truncated(f"o= line {' '.join(words)[:60]!r}")
    return words[1], read_number(words[2], "session version", most=_MAX_U64)


def _blocks(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The lines of each section, its `m=` line first."""
    block: list[Line] = []
    for line in lines:
        if line[0] == "m" and block:
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _bundle(session: Attributes) -> tuple[str, ...]:
    for value in session.all("group"):
        semantics, *mids = value.split()
        if semantics == "BUNDLE":
            return tuple(mids)
    return ()


def _section(lines: Sequence[Line], session: Attributes, number: int) -> MediaSection:
    kind, port, protocol, formats = _media_line(lines[0][1])
    own = Attributes(lines)
    section = MediaSection(
        kind=kind,
        mid=own.one("mid") or str(number),
        protocol=protocol,
        port=port,
        address=_address(own.field("c") or session.field("c")),
        direction=own.first_of(_DIRECTIONS) or session.first_of(_DIRECTIONS) or "sendrecv",
        ice=_ice(own) or _ice(session),
        fingerprints=_fingerprints(own) or _fingerprints(session),
        setup=own.one("setup") or session.one("setup"),
        bundle_only=own.flag("bundle-only"),
        candidates=tuple(own.all("candidate") or session.all("candidate")),
        end_of_candidates=own.flag("end-of-candidates") or session.flag("end-of-candidates"),
    )
    return _with_rtp(section, own, formats) if "RTP" in protocol else replace(section, formats=formats)


def _media_line(value: str) -> tuple[str, int, str, tuple[str, ...]]:
    words = value.split()
    if len(words) < 4:
        raise Truncated(f"m= line {value[:60]!r}")
    kind, port, protocol, *formats = words
    # RFC 8866, 5.14: "port/number of ports"
    return kind, read_number(port.partition("/")[0], "port", most=_MAX_U16), protocol, tuple(formats)


def _address(connection: str | None) -> str:
    words = (connection or "").split()
    return words[2] if len(words) >= 3 else "0.0.0.0"


def _ice(attributes: Attributes) -> IceCredentials | None:
    ufrag, password = attributes.one("ice-ufrag"), attributes.one("ice-pwd")
    if not ufrag or not password:
        return None
    if max(len(ufrag), len(password)) > MAX_PASSWORD_SIZE:
        raise LimitExceeded(
            f"ICE credentials of {len(ufrag)} and {len(password)} exceed {MAX_PASSWORD_SIZE} characters"
        )
    return IceCredentials(ufrag, password)


def _fingerprints(attributes: Attributes) -> tuple[Fingerprint, ...]:
    found = []
    for value in attributes.all("fingerprint"):
        words = value.split()
        if len(words) != 2:
            raise Malformed(f"a=fingerprint:{value[:60]!r}")
        found.append(Fingerprint(words[0].lower(), words[1].upper()))
    return tuple(found)


def _with_rtp(section: MediaSection, own: Attributes, formats: Sequence[str]) -> MediaSection:
    send_rids, receive_rids = _rids(own)
    return replace(
        section,
        codecs=tuple(_codecs(own, formats)),
        extensions=tuple(_extension(value) for value in own.all("extmap")),
        rtcp_mux=own.flag("rtcp-mux"),
        reduced_size=own.flag("rtcp-rsize"),
        receiver_rtt="rcvr-rtt=all" in own.all("rtcp-xr"),
        send_rids=send_rids,
        receive_rids=receive_rids,
        stream=own.one("msid"),
        sources=tuple(_sources(own)),
        source_groups=tuple(_source_group(value) for value in own.all("ssrc-group")),
    )


def _codecs(own: Attributes, formats: Sequence[str]) -> Iterator[RtpCodec]:
    maps = dict(own.by_payload("rtpmap"))
    parameters = dict(own.by_payload("fmtp"))
    feedback: dict[str, list[str]] = {}
    for payload, value in own.by_payload("rtcp-fb"):
        feedback.setdefault(payload, []).append(value)
    for payload in dict.fromkeys(formats):
        payload_type = read_number(payload, "payload type", most=127)
        encoding = maps.get(payload) or _STATIC_CODECS.get(payload_type)
        if encoding is None:
            continue  # RFC 8866, 6.6: a dynamic payload type without rtpmap means nothing
        name, clock_rate, channels = _encoding(encoding)
        wanted = feedback.get("*", []) + feedback.get(payload, [])
        yield RtpCodec(payload_type, name, clock_rate, channels, parameters.get(payload, ""), tuple(wanted))


def _encoding(value: str) -> tuple[str, int, int]:
    name, _, rest = value.partition("/")
    clock_rate, _, channels = rest.partition("/")
    if not name:
        raise Malformed(f"a=rtpmap of {value[:60]!r}")
    return (
        name,
        read_number(clock_rate.strip(), "clock rate", most=_MAX_U32),
        read_number(channels.strip() or "1", "channels", most=255),
    )


def _extension(value: str) -> Extension:
    words = value.split()
    if len(words) < 2:
        raise Truncated(f"a=extmap:{value[:60]!r}")
    number, _, direction = words[0].partition("/")
    return Extension(read_number(number, "extension", most=4351), words[1], direction or None)


def _rids(own: Attributes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of simulcast layers (RFC 8853), in the order of `a=simulcast` where it is there."""
    ways: dict[str, list[str]] = {"send": [], "recv": []}
    for value in own.all("rid"):
        words = value.split()
        if len(words) < 2 or words[1] not in ways:
            raise Malformed(f"a=rid:{value[:60]!r}")
        ways[words[1]].append(words[0])
    words = (own.one("simulcast") or "").split()
    for way, layers in zip(words[::2], words[1::2], strict=False):
        if way in ways:
            # alternatives are separated by commas, a tilde pauses a layer
            order = [layer.partition(",")[0].lstrip("~") for layer in layers.split(";")]
            ways[way] = [rid for rid in order if rid in ways[way]]
    return tuple(dict.fromkeys(ways["send"])), tuple(dict.fromkeys(ways["recv"]))


def _sources(own: Attributes) -> Iterator[tuple[int, str]]:
    names: dict[int, str] = {}
    for ssrc, attribute in own.by_payload("ssrc"):
        number = read_number(ssrc, "SSRC", most=_MAX_U32)
        name, _, value = attribute.partition(":")
        if name == "cname" or number not in names:
            names[number] = value if name == "cname" else ""
    yield from names.items()


def _source_group(value: str) -> SourceGroup:
    semantics, *ssrcs = value.split() or [""]
    return SourceGroup(semantics, tuple(read_number(ssrc, "SSRC", most=_MAX_U32) for ssrc in ssrcs))

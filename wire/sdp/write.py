"""`SessionDescription` to text."""

from __future__ import annotations

from collections.abc import Iterator

from wire.sdp.values import MediaSection, RtpCodec, SessionDescription

__all__ = ["write"]


def write(description: SessionDescription) -> str:
    """The description with CRLF line ends."""
    return "".join(f"{line}\r\n" for line in _lines(description))


def _lines(description: SessionDescription) -> Iterator[str]:
    yield "v=0"
    yield f"o=- {description.session_id} {description.version} IN IP4 0.0.0.0"
    yield "s=-"
    yield "t=0 0"
    if description.bundle:
        yield f"a=group:BUNDLE {' '.join(description.bundle)}"
    if description.mixed_extensions:
        yield "a=extmap-allow-mixed"
    if description.ice_lite:
        yield "a=ice-lite"
    yield "a=msid-semantic:WMS *"
    for section in description.sections:
        yield from _section(section)


def _section(section: MediaSection) -> Iterator[str]:
    formats = " ".join(section.formats or (str(codec.payload_type) for codec in section.codecs)) or "0"
    yield f"m={section.kind} {section.port} {section.protocol} {formats}"
    yield f"c=IN {'IP6' if ':' in section.address else 'IP4'} {section.address}"
    yield f"a=mid:{section.mid}"
    yield f"a={section.direction}"
    yield from _transport(section)
    yield from _rtp(section)
    yield from _streams(section)
    yield from (f"a=candidate:{candidate}" for candidate in section.candidates)
    if section.end_of_candidates:
        yield "a=end-of-candidates"


def _transport(section: MediaSection) -> Iterator[str]:
    if section.ice is not None:
        yield f"a=ice-ufrag:{section.ice.ufrag}"
        yield f"a=ice-pwd:{section.ice.password}"
    yield from (f"a=fingerprint:{fingerprint}" for fingerprint in section.fingerprints)
    if section.setup is not None:
        yield f"a=setup:{section.setup}"
    if section.bundle_only:
        yield "a=bundle-only"
    if section.rtcp_mux:
        yield "a=rtcp-mux"
    if section.reduced_size:
        yield "a=rtcp-rsize"


def _rtp(section: MediaSection) -> Iterator[str]:
    for codec in section.codecs:
        yield from _codec(codec)
    if section.receiver_rtt:
        yield "a=rtcp-xr:rcvr-rtt=all"
    for extension in section.extensions:
        way = f"/{extension.direction}" if extension.direction else ""
        yield f"a=extmap:{extension.number}{way} {extension.uri}"
    yield from (f"a=rid:{rid} send" for rid in section.send_rids)
    yield from (f"a=rid:{rid} recv" for rid in section.receive_rids)
    ways = [("send", section.send_rids), ("recv", section.receive_rids)]
    if any(rids for _, rids in ways):
        yield "a=simulcast:" + " ".join(f"{way} {';'.join(rids)}" for way, rids in ways if rids)


def _codec(codec: RtpCodec) -> Iterator[str]:
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"
    if codec.parameters:
        yield f"a=fmtp:{codec.payload_type} {codec.parameters}"
    yield from (f"a=rtcp-fb:{codec.payload_type} {feedback}" for feedback in codec.feedback)


def _streams(section: MediaSection) -> Iterator[str]:
    if section.stream is not None:
        yield f"a=msid:{section.stream}"
    for group in section.source_groups:
        yield f"a=ssrc-group:{group.semantics} {' '.join(map(str, group.ssrcs))}"
    yield from (f"a=ssrc:{ssrc} cname:{name}" for ssrc, name in section.sources)

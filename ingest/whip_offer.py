"""Which sections of a publisher's offer we receive, and in which codec; or why none, in plain words."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace

from media.track import Codec
from wire import sdp
from wire.codecs import h264
from wire.codecs.h264 import H264Config
from wire.errors import WireError
from wire.rtp import extensions
from wire.sdp import Acceptance, MediaSection, RtpCodec, SessionDescription

__all__ = ["Incoming", "Unusable", "choose_incoming"]

_FEEDBACK = sdp.PUBLISHER_FEEDBACK - {"transport-cc"}
_OPUS_PARAMETERS = "minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=128000"
"""What we would like to get (RFC 7587, 6.1). Without stereo=1 in the answer browsers mix everything down to mono."""
_H264_PARAMETERS = frozenset({"profile-level-id", "packetization-mode", "level-asymmetry-allowed"})
"""What an answer says; the rest of a publisher's parameters is about what it sends."""


class Unusable(Exception):
    """Nothing of the offer can be received. The message is for people."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One section of the offer that we receive in.

    `rid` is the simulcast layer that is used. `extension_ids` maps URIs to ids. `initial` is a configuration that the
    offer itself carries, for publishers that send no parameter sets beside their pictures.
    """

    mid: str
    codec: Codec
    payload: RtpCodec
    retransmission: RtpCodec | None
    rid: str | None
    extension_ids: Mapping[str, int]
    acceptance: Acceptance
    reduced_size: bool
    receiver_rtt: bool
    initial: H264Config | None = None

    @property
    def is_video(self) -> bool:
        return self.codec.is_video

    def wants(self, feedback: str) -> bool:
        """Whether this kind of RTCP feedback was agreed on."""
        return feedback in self.payload.feedback and feedback in self.acceptance.feedback


def choose_incoming(offer: SessionDescription) -> list[Incoming]:
    """At most one section for the picture and one for the sound. Raises Unusable."""
    chosen = []
    for kind in ("video", "audio"):
        section = _first_sent(offer, kind)
        found = None if section is None else _codec(section)
        if section is not None and found is not None:
            chosen.append(_incoming(section, *found))
    if not chosen:
        kinds = ", ".join(f"{section.kind} ({_names(section)})" for section in offer.sections) or "nothing"
        raise Unusable(f"This server takes H.264 or H.265 with Opus, and the offer sends {kinds}.")
    return chosen


def _first_sent(offer: SessionDescription, kind: str) -> MediaSection | None:
    sections = (section for section in offer.sections if section.kind == kind and not section.rejected)
    return next((section for section in sections if section.direction in ("sendonly", "sendrecv")), None)


def _codec(section: MediaSection) -> tuple[Codec, RtpCodec] | None:
    """H.264 before H.265, because every viewer can show it."""
    candidates = (
        ((Codec.H264, sdp.find_h264(section, None)), (Codec.H265, sdp.find_h265(section)))
        if section.kind == "video"
        else ((Codec.OPUS, sdp.find_opus(section)),)
    )
    return next(((codec, payload) for codec, payload in candidates if payload is not None), None)


def _incoming(section: MediaSection, codec: Codec, payload: RtpCodec) -> Incoming:
    retransmission = sdp.find_rtx(section, payload)
    answered = _answered(codec, payload)
    codecs = (answered,) if retransmission is None else (answered, retransmission)
    # transport-cc needs its header extension; a peer that has neither can still be told an estimate
    ids = {entry.uri: entry.number for entry in section.extensions}
    has_sequences = extensions.TRANSPORT_SEQUENCE in ids and "transport-cc" in payload.feedback
    feedback = _FEEDBACK | {"transport-cc" if has_sequences else "goog-remb"}
    return Incoming(
        section.mid,
        codec,
        payload,
        retransmission,
        section.send_rids[0] if section.send_rids else None,
        {uri: number for uri, number in ids.items() if uri in sdp.PUBLISHER_EXTENSIONS},
        Acceptance(codecs, sdp.PUBLISHER_EXTENSIONS, feedback),
        section.reduced_size,
        section.receiver_rtt,
        _initial(payload) if codec is Codec.H264 else None,
    )


def _answered(codec: Codec, payload: RtpCodec) -> RtpCodec:
    if codec is Codec.OPUS:
        return replace(payload, parameters=_OPUS_PARAMETERS)
    if codec is Codec.H264:
        items = (item.strip() for item in payload.parameters.split(";"))
        kept = [item for item in items if item.partition("=")[0].strip().lower() in _H264_PARAMETERS]
        return replace(payload, parameters=";".join(kept))
    return payload


def _initial(payload: RtpCodec) -> H264Config | None:
    """RFC 6184, 8.1: sprop-parameter-sets, as GStreamer sends them. One that cannot be read is as good as none."""
    sets = payload.parameter("sprop-parameter-sets") or ""
    try:
        nals = [b64decode(text, validate=True) for text in sets.split(",") if text]
        return h264.parameter_sets(nals, None)
    except (WireError, binascii.Error):
        return None


def _names(section: MediaSection) -> str:
    return ", ".join(dict.fromkeys(codec.name for codec in section.codecs)) or "no codec"

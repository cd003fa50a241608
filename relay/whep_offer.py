"""What a viewer's offer can carry of a stream, and the answer's half of it; or why it cannot, in plain words."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from media.rung import Rendition
from media.track import Codec, Track
from wire import sdp
from wire.codecs.h264 import H264Config
from wire.rtp.extensions import ABS_SEND_TIME
from wire.sdp import Acceptance, MediaSection, OutgoingStream, RtpCodec, SessionDescription

__all__ = ["Chosen", "SourceIds", "Unusable", "can_carry", "choose", "choose_picture"]

_log = logging.getLogger(__name__)
_EXTENSIONS = frozenset({ABS_SEND_TIME})
"""Not mid: SSRCs are announced, and eight bytes on each packet are one in a hundred."""
_PROFILE_RANKS = {0x42: 0, 0x4D: 1, 0x64: 2}
"""Baseline, Main and High: a decoder of one takes those before it."""
MAX_ONE_BYTE_ID = 14
"""RFC 8285, 4.2: ids that fit the short form; others are not worth the bytes."""


class Unusable(Exception):
    """Nothing of the stream can be shown to this viewer. The message is for people."""


@dataclass(frozen=True, slots=True)
class SourceIds:
    """The SSRCs of everything that is sent: the same for all viewers, whose keys differ."""

    video: int
    audio: int
    retransmission: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """One section of the offer that we send in. `send_time_id` 0: without abs-send-time."""

    mid: str
    track: Track
    codec: RtpCodec
    retransmission: RtpCodec | None
    ssrc: int
    send_time_id: int
    acceptance: Acceptance


def choose_picture(
    offer: SessionDescription, renditions: Iterable[Rendition]
) -> tuple[Rendition | None, RtpCodec | None]:
    """The first rendition that the viewer says it can decode, and under which payload type. None twice for none."""
    section = _first(offer, "video")
    for rendition in renditions if section is not None else ():
        assert section is not None
        codec = None if rendition.reorders else _codec_for(section, rendition)
        if codec is not None:
            return rendition, codec
    return None, None


def can_carry(codec: RtpCodec, rendition: Rendition) -> bool:
    """Whether pictures of this rendition may be sent under what was agreed on. Levels are not compared."""
    if rendition.reorders:
        return False
    if codec.name.upper() == "H265":
        return rendition.codec is Codec.H265
    if codec.name.upper() != "H264" or rendition.codec is not Codec.H264:
        return False
    agreed, profile = sdp.h264_profile(codec)[0], _profile(rendition)
    if agreed == profile:
        return True
    return agreed in _PROFILE_RANKS and _PROFILE_RANKS.get(profile, len(_PROFILE_RANKS)) < _PROFILE_RANKS[agreed]


def _profile(rendition: Rendition) -> int:
    """profile_idc, of `avc1.PPCCLL` (RFC 6381, 3.3)."""
    return int(rendition.codec_string.partition(".")[2][:2] or "42", 16)


def _constraints(rendition: Rendition) -> int:
    return int(rendition.codec_string.partition(".")[2][2:4] or "0", 16)


def _codec_for(section: MediaSection, rendition: Rendition) -> RtpCodec | None:
    if rendition.codec is Codec.H265:
        return sdp.find_h265(section)
    if rendition.codec is not Codec.H264:
        return None
    exact = sdp.find_h264(section, _profile(rendition), constraints=_constraints(rendition))
    if exact is not None:
        return exact
    profiles = sorted(sdp.offered_profiles(section), key=lambda profile: _PROFILE_RANKS.get(profile, 99))
    offered = (sdp.find_h264(section, profile) for profile in profiles)
    return next((codec for codec in offered if codec is not None and can_carry(codec, rendition)), None)


def choose(
    offer: SessionDescription,
    video: Track | None,
    audio: Track | None,
    ids: SourceIds,
    *,
    room: str,
    codec: RtpCodec | None = None,
) -> list[Chosen]:
    """At most one section for the picture and one for the sound. `codec` is what the picture goes under, where that
    is known already. Raises Unusable."""
    chosen = []
    picture = _first(offer, "video")
    if video is not None and picture is not None:
        chosen.append(_chosen(picture, video, codec or _video_codec(picture, video, room), ids, room))
    sound = _first(offer, "audio")
    if audio is not None and audio.codec is Codec.OPUS and sound is not None:
        opus = sdp.find_opus(sound)
        if opus is not None:
            chosen.append(_chosen(sound, audio, opus, ids, room))
    if not chosen:
        raise Unusable(_nothing(offer, video, audio, room))
    return chosen


def _first(offer: SessionDescription, kind: str) -> MediaSection | None:
    """Where the viewer wants to receive this kind."""
    wanted = (section for section in offer.sections if section.kind == kind and not section.rejected)
    return next((section for section in wanted if section.direction in ("recvonly", "sendrecv")), None)


def _video_codec(section: MediaSection, track: Track, room: str) -> RtpCodec:
    if isinstance(track.config, H264Config):
        return _h264(section, track.config, room)
    if track.codec is Codec.H265:
        found = sdp.find_h265(section)
        if found is None:
            raise Unusable(f"The picture of {room} is H.265, and this player does not offer H.265.")
        return found
    raise Unusable(f"The picture of {room} is {track.codec.upper()}, which is not sent over WebRTC.")


def _h264(section: MediaSection, config: H264Config, room: str) -> RtpCodec:
    exact = sdp.find_h264(section, config.profile_idc, constraints=config.constraint_flags)
    if exact is not None:
        return exact
    baseline = sdp.find_baseline(section)
    if baseline is None:
        raise Unusable(
            f"The picture of {room} is H.264, and this player does not offer H.264 with packetization mode 1."
        )
    _log.info(
        "a viewer offers no H.264 of profile %d: it gets %s under baseline",
        *(config.profile_idc, config.codec_string),
        extra={"room": room},
    )
    return baseline


def _chosen(section: MediaSection, track: Track, codec: RtpCodec, ids: SourceIds, room: str) -> Chosen:
    retransmission = sdp.find_rtx(section, codec) if track.is_video else None
    ssrc = ids.video if track.is_video else ids.audio
    outgoing = OutgoingStream(
        ssrc,
        name="streamer",
        stream=f"{room} {section.kind}",
        rtx_ssrc=None if retransmission is None else ids.retransmission,
    )
    codecs = (codec,) if retransmission is None else (codec, retransmission)
    return Chosen(
        section.mid,
        track,
        codec,
        retransmission,
        ssrc,
        # a packet that is sent again as it was must be the same to the byte, so there it carries no time
        _send_time_id(section) if retransmission is not None else 0,
        Acceptance(codecs, _EXTENSIONS, sdp.VIEWER_FEEDBACK, outgoing),
    )


def _send_time_id(section: MediaSection) -> int:
    number = next((entry.number for entry in section.extensions if entry.uri == ABS_SEND_TIME), 0)
    return number if 1 <= number <= MAX_ONE_BYTE_ID else 0


def _nothing(offer: SessionDescription, video: Track | None, audio: Track | None, room: str) -> str:
    kinds = " and ".join(dict.fromkeys(section.kind for section in offer.sections)) or "nothing"
    sent = " and ".join(track.codec.upper() for track in (video, audio) if track is not None) or "nothing yet"
    return f"{room} sends {sent}, and this player asks for {kinds}: nothing fits."

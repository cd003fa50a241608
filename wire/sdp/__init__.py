"""Session descriptions (RFC 8866, RFC 8829) as browsers, OBS, FFmpeg and GStreamer write them: text to values and back.

Only what WHIP and WHEP need is kept; `write` writes it again, so `parse(write(x)) == x`. What is said once for the
whole session (ICE, DTLS, direction) is repeated in every section by `parse`. `answer` decides what to answer.
"""

from wire.sdp.answer import (
    PUBLISHER_EXTENSIONS,
    PUBLISHER_FEEDBACK,
    VIEWER_EXTENSIONS,
    VIEWER_FEEDBACK,
    Acceptance,
    LocalTransport,
    OutgoingStream,
    RemoteTransport,
    answer,
    remote_transport,
)
from wire.sdp.codecs import find_baseline, find_h264, find_h265, find_opus, find_rtx, h264_profile, offered_profiles
from wire.sdp.parse import MAX_SDP_SIZE, parse
from wire.sdp.values import Extension, MediaSection, RtpCodec, SessionDescription, SourceGroup
from wire.sdp.write import write

__all__ = [
    "MAX_SDP_SIZE",
    "PUBLISHER_EXTENSIONS",
    "PUBLISHER_FEEDBACK",
    "VIEWER_EXTENSIONS",
    "VIEWER_FEEDBACK",
    "Acceptance",
    "Extension",
    "LocalTransport",
    "MediaSection",
    "OutgoingStream",
    "RemoteTransport",
    "RtpCodec",
    "SessionDescription",
    "SourceGroup",
    "answer",
    "find_baseline",
    "find_h264",
    "find_h265",
    "find_opus",
    "find_rtx",
    "h264_profile",
    "offered_profiles",
    "parse",
    "remote_transport",
    "write",
]

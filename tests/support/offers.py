"""The offers in tests/captures/sdp, and answers to them as WHEP and WHIP give them."""

from __future__ import annotations

from pathlib import Path

from wire import sdp
from wire.dtls import Fingerprint
from wire.ice import IceCredentials, host_candidate
from wire.sdp import Acceptance, LocalTransport, MediaSection, OutgoingStream, RtpCodec, SessionDescription
from wire.stun import Address

CAPTURES = Path(__file__).parents[1] / "captures" / "sdp"
VIEWERS = ("chromium-viewer", "firefox-viewer", "safari-viewer", "aiortc-viewer")
PUBLISHERS = (
    "chromium-publisher",
    "chromium-simulcast",
    "obs-publisher",
    "obs-simulcast",
    "ffmpeg-publisher",
    "gstreamer-publisher",
)
LOCAL = LocalTransport(
    ice=IceCredentials("serverUF", "serverPasswordOf24Chars+"),
    fingerprint=Fingerprint("sha-256", ":".join(["AB"] * 32)),
    candidates=(host_candidate(Address("192.0.2.1", 8189)), host_candidate(Address("192.0.2.1", 8189), tcp=True)),
)


def text(name: str) -> str:
    return (CAPTURES / f"{name}.sdp").read_bytes().decode()


def offer(name: str) -> SessionDescription:
    return sdp.parse(text(name))


def with_rtx(section: MediaSection, codec: RtpCodec) -> tuple[RtpCodec, ...]:
    rtx = sdp.find_rtx(section, codec)
    return (codec,) if rtx is None else (codec, rtx)


def view(description: SessionDescription) -> dict[str, Acceptance]:
    """H.264 in Constrained Baseline and Opus, as a viewer of a rung gets them."""
    accepted = {}
    for number, section in enumerate(description.sections):
        codec = sdp.find_baseline(section) if section.kind == "video" else sdp.find_opus(section)
        if codec is not None:
            codecs = with_rtx(section, codec)
            outgoing = OutgoingStream(
                1000 + number, "streamer", f"room {section.kind}", 2000 + number if len(codecs) > 1 else None
            )
            accepted[section.mid] = Acceptance(codecs, sdp.VIEWER_EXTENSIONS, sdp.VIEWER_FEEDBACK, outgoing)
    return accepted


def publish(description: SessionDescription) -> dict[str, Acceptance]:
    """Whatever H.264 and Opus the publisher offers."""
    accepted = {}
    for section in description.sections:
        codec = sdp.find_h264(section, None) if section.kind == "video" else sdp.find_opus(section)
        if codec is not None:
            accepted[section.mid] = Acceptance(
                with_rtx(section, codec), sdp.PUBLISHER_EXTENSIONS, sdp.PUBLISHER_FEEDBACK
            )
    return accepted

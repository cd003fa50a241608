"""Answers: nothing that was not offered, refusals that leave the group, roles, profiles, simulcast."""

from dataclasses import replace

import pytest
from aiortc import sdp as theirs

from tests.support.offers import LOCAL, PUBLISHERS, VIEWERS, offer, publish, text, view
from wire import sdp
from wire.dtls import DtlsRole
from wire.errors import Malformed, Unsupported
from wire.ice import IceCredentials
from wire.rtp import extensions
from wire.sdp import Acceptance, MediaSection, RtpCodec, SessionDescription

EVERY = [(name, view) for name in VIEWERS] + [(name, publish) for name in PUBLISHERS]


def respond(description: SessionDescription, accepted: dict[str, Acceptance]) -> SessionDescription:
    return sdp.answer(description, accepted, LOCAL, session_id="42")


@pytest.mark.parametrize(("name", "choose"), EVERY, ids=[name for name, _ in EVERY])
def test_answers_say_nothing_that_was_not_offered(name: str, choose) -> None:  # type: ignore[no-untyped-def]
    description = offer(name)
    response = respond(description, choose(description))
    assert sdp.parse(sdp.write(response)) == response
    assert [section.mid for section in response.sections] == [section.mid for section in description.sections]
    assert response.bundle == description.bundle
    assert response.ice_lite
    for offered, section in zip(description.sections, response.sections, strict=True):
        assert {item.uri for item in section.extensions} <= {item.uri for item in offered.extensions}
        assert extensions.VIDEO_ORIENTATION not in {item.uri for item in section.extensions}
        for codec in section.codecs:
            original = offered.codec(codec.payload_type)
            assert original is not None
            assert set(codec.feedback) <= set(original.feedback)
            assert (codec.name, codec.parameters) == (original.name, original.parameters)
        assert section.setup == ("active" if offered.setup == "passive" else "passive")
        assert section.direction == ("sendonly" if choose is view else "recvonly")
        assert section.candidates == LOCAL.candidates


@pytest.mark.parametrize(("name", "choose"), EVERY, ids=[name for name, _ in EVERY])
def test_aiortc_reads_every_answer(name: str, choose) -> None:  # type: ignore[no-untyped-def]
    description = offer(name)
    read = theirs.SessionDescription.parse(sdp.write(respond(description, choose(description))))
    assert [media.kind for media in read.media] == [section.kind for section in description.sections]
    assert all(media.ice.usernameFragment == LOCAL.ice.ufrag and media.ice.iceLite for media in read.media)


@pytest.mark.parametrize("name", PUBLISHERS)
def test_aiortc_reads_our_writing_of_every_offer(name: str) -> None:
    read = theirs.SessionDescription.parse(sdp.write(offer(name)))
    original = theirs.SessionDescription.parse(text(name))
    assert [media.rtp.muxId for media in read.media] == [media.rtp.muxId for media in original.media]


def test_a_viewer_is_told_the_ssrcs_of_media_and_retransmission() -> None:
    description = offer("chromium-viewer")
    audio, video = respond(description, view(description)).sections
    assert video.source_groups == (sdp.SourceGroup("FID", (1001, 2001)),)
    assert dict(video.sources) == {1001: "streamer", 2001: "streamer"}
    assert audio.source_groups == ()
    assert audio.stream == "room audio"
    assert [codec.name for codec in video.codecs] == ["H264", "rtx"]
    assert video.codecs[1].parameter("apt") == str(video.codecs[0].payload_type) == "108"
    assert {item.uri for item in video.extensions} == {extensions.ABS_SEND_TIME, extensions.MID}
    assert "goog-remb" in video.codecs[0].feedback
    assert "transport-cc" not in video.codecs[0].feedback
    assert audio.receiver_rtt


def test_a_publisher_is_asked_for_transport_feedback() -> None:
    description = offer("chromium-publisher")
    video = respond(description, publish(description)).sections[1]
    assert "transport-cc" in video.codecs[0].feedback
    assert extensions.TRANSPORT_SEQUENCE in {item.uri for item in video.extensions}
    assert extensions.ABS_SEND_TIME not in {item.uri for item in video.extensions}


@pytest.mark.parametrize(
    ("name", "rids"), [("chromium-simulcast", ("h", "m", "l")), ("obs-simulcast", ("0", "1", "2"))]
)
def test_every_simulcast_layer_is_accepted(name: str, rids: tuple[str, ...]) -> None:
    description = offer(name)
    response = respond(description, publish(description))
    assert response.sections[1].receive_rids == rids
    assert f"a=simulcast:recv {';'.join(rids)}\r\n" in sdp.write(response)


def test_a_refused_section_leaves_the_group() -> None:
    description = offer("firefox-viewer")
    accepted = view(description)
    del accepted["1"]
    response = respond(description, accepted)
    refused = response.sections[1]
    assert response.bundle == ("0",)
    assert refused.rejected
    assert (refused.ice, refused.fingerprints, refused.extensions, refused.bundle_only) == (None, (), (), False)
    assert "m=video 0 UDP/TLS/RTP/SAVPF 120\r\n" in sdp.write(response)


def test_a_data_channel_is_refused_in_its_own_words() -> None:
    channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n"
    description = sdp.parse(text("chromium-viewer").replace("BUNDLE 0 1", "BUNDLE 0 1 2") + channel)
    response = respond(description, view(description))
    assert response.bundle == ("0", "1")
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n" in sdp.write(response)


def test_the_transport_is_that_of_the_first_accepted_section_of_the_group() -> None:
    description = offer("chromium-viewer")
    audio, video = description.sections
    description = replace(
        description, bundle=("1", "0"), sections=(audio, replace(video, ice=IceCredentials("vvvv", "video-password")))
    )
    accepted = view(description)
    assert sdp.remote_transport(description, accepted).ice.ufrag == "vvvv"
    del accepted["1"]
    assert sdp.remote_transport(description, accepted).ice.ufrag == audio.ice.ufrag  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("setup", "role"),
    [("actpass", DtlsRole.SERVER), ("active", DtlsRole.SERVER), ("passive", DtlsRole.CLIENT), (None, DtlsRole.SERVER)],
)
def test_the_role_that_the_offer_leaves_us(setup: str | None, role: DtlsRole) -> None:
    description = _with(offer("chromium-viewer"), setup=setup)
    assert sdp.remote_transport(description, view(description)).role is role


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"setup": "holdconn"}, Unsupported),
        ({"ice": None}, Malformed),
        ({"fingerprints": ()}, Malformed),
        ({"rtcp_mux": False}, Unsupported),
        ({"direction": "sendonly"}, Unsupported),
        ({"direction": "inactive"}, Unsupported),
    ],
)
def test_offers_that_cannot_be_answered_raise(changes: dict[str, object], error: type[Exception]) -> None:
    description = _with(offer("chromium-viewer"), **changes)
    with pytest.raises(error):
        respond(description, view(description))


def test_sections_on_transports_of_their_own_are_unsupported() -> None:
    description = replace(offer("chromium-viewer"), bundle=())
    with pytest.raises(Unsupported, match="BUNDLE"):
        respond(description, view(description))
    one = view(description)
    del one["1"]
    assert respond(description, one).bundle == ()


def test_nothing_acceptable_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="no media section"):
        respond(offer("chromium-viewer"), {})


def test_a_payload_type_that_was_not_offered_is_a_mistake_of_ours() -> None:
    description = offer("chromium-viewer")
    foreign = Acceptance((RtpCodec(77, "H264", 90_000),), frozenset(), frozenset())
    with pytest.raises(ValueError, match="77"):
        respond(description, {"1": foreign})


def test_one_way_extensions_are_answered_from_the_other_side() -> None:
    description = _with(
        offer("chromium-viewer"),
        extensions=(sdp.Extension(3, extensions.MID, "recvonly"), sdp.Extension(4, "urn:other")),
    )
    assert respond(description, view(description)).sections[0].extensions == (
        sdp.Extension(3, extensions.MID, "sendonly"),
    )


def _with(description: SessionDescription, **changes: object) -> SessionDescription:
    return replace(
        description,
        sections=tuple(replace(section, **changes) for section in description.sections),  # type: ignore[arg-type]
    )


def section(*codecs: tuple[int, str, str]) -> MediaSection:
    return MediaSection(
        "video", "0", codecs=tuple(RtpCodec(number, name, 90_000, 1, fmtp) for number, name, fmtp in codecs)
    )


MODE_1 = "packetization-mode=1;profile-level-id="


def test_the_profile_that_is_sent_is_the_one_that_is_announced() -> None:
    video = offer("safari-viewer").sections[0]
    assert sdp.offered_profiles(video) == (0x64, 0x42)
    high, baseline = sdp.find_h264(video, 0x64, constraints=0x0C), sdp.find_h264(video, 0x42, constraints=0xE0)
    assert (high and high.payload_type, baseline and baseline.payload_type) == (96, 98)
    assert sdp.find_h264(video, 0x4D) is None
    assert sdp.find_baseline(video) == baseline


def test_the_same_constraints_are_preferred() -> None:
    video = section((96, "H264", MODE_1 + "42001f"), (97, "H264", MODE_1 + "42E01F"))
    chosen = sdp.find_h264(video, 0x42, constraints=0xE0)
    assert chosen is not None
    assert chosen.payload_type == 97
    other = sdp.find_h264(video, 0x42, constraints=0xC0)
    assert other is not None
    assert other.payload_type == 96


def test_a_viewer_gets_mode_1_only_and_a_publisher_may_send_mode_0() -> None:
    video = section((96, "H264", "profile-level-id=42e01f"), (97, "VP8", ""))
    assert sdp.find_baseline(video) is None
    received = sdp.find_h264(video, None)
    assert received is not None
    assert received.payload_type == 96
    assert sdp.find_h264(section((97, "VP8", "")), None) is None


@pytest.mark.parametrize("value", ["", "42", "zzzzzz", "42e01f00"])
def test_a_broken_profile_counts_as_baseline(value: str) -> None:
    assert sdp.h264_profile(RtpCodec(96, "H264", 90_000, 1, f"profile-level-id={value}")) == (0x42, 0)


def test_h265_is_found_whatever_its_level() -> None:
    video = section((49, "H265", "level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST"), (50, "H265", ""))
    chosen = sdp.find_h265(video)
    assert chosen is not None
    assert chosen.payload_type == 49
    assert sdp.find_h265(section((49, "H265", "tx-mode=MRST"))) is None

"""Reading offers: the captured ones say what they say, everything comes back, broken ones raise."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.mutations import parses_or_raises_wire_error
from tests.support.offers import PUBLISHERS, VIEWERS, offer, text
from wire import sdp
from wire.errors import LimitExceeded, Malformed, Truncated
from wire.ice import IceCredentials
from wire.sdp import SourceGroup

MINIMAL = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
VIDEO = MINIMAL + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n"


@pytest.mark.parametrize("name", VIEWERS + PUBLISHERS)
def test_every_offer_is_read_and_comes_back(name: str) -> None:
    description = offer(name)
    assert sorted(section.kind for section in description.sections) == ["audio", "video"]
    assert set(description.bundle) == {section.mid for section in description.sections}
    for section in description.sections:
        assert section.ice is not None
        assert section.fingerprints[0].algorithm == "sha-256"
        assert section.rtcp_mux
        assert not section.rejected
    assert sdp.parse(sdp.write(description)) == description


def test_chromiums_viewer_offer() -> None:
    audio, video = offer("chromium-viewer").sections
    assert (audio.direction, video.direction, video.setup) == ("recvonly", "recvonly", "actpass")
    assert audio.receiver_rtt
    assert [codec.payload_type for codec in video.codecs if codec.name == "H264"] == [
        102,
        104,
        108,
        114,
        116,
        39,
        41,
        43,
    ]
    h264 = video.codec(108)
    assert h264 is not None
    assert h264.parameter("profile-level-id") == "42e01f"
    assert "nack pli" in h264.feedback
    opus = sdp.find_opus(audio)
    assert opus is not None
    assert (opus.payload_type, opus.channels, opus.parameter("useinbandfec")) == (111, 2, "1")


def test_chromiums_simulcast_offer() -> None:
    video = offer("chromium-simulcast").sections[1]
    assert video.send_rids == ("h", "m", "l")
    assert video.receive_rids == ()


def test_obs_says_ice_and_dtls_once_for_the_session() -> None:
    for section in offer("obs-publisher").sections:
        assert section.ice == IceCredentials("E1sK", "8hQz2cXwVn7yRb5tLm3pDa")
        assert section.setup == "actpass"
        assert section.candidates == ()
    assert offer("obs-simulcast").sections[1].send_rids == ("0", "1", "2")


def test_ffmpegs_offer_wants_us_to_be_the_dtls_client() -> None:
    audio, video = offer("ffmpeg-publisher").sections
    assert (audio.setup, video.setup) == ("passive", "passive")
    assert video.source_groups[0].semantics == "FID"


def test_firefoxs_bundle_only_section_is_not_a_rejection() -> None:
    video = offer("firefox-viewer").sections[1]
    assert (video.port, video.bundle_only, video.rejected) == (0, True, False)


def test_gstreamers_names_and_groups() -> None:
    video, audio = offer("gstreamer-publisher").sections
    assert (video.mid, audio.mid) == ("video0", "audio1")
    assert video.source_groups == (SourceGroup("FID", (2417045523, 1720043158)),)
    assert dict(video.sources)[2417045523] == "user3928541067@host-6c2e1f"
    assert sdp.find_opus(audio) is not None


def test_plain_line_feeds_and_bytes_are_read_too() -> None:
    description = offer("chromium-viewer")
    unix = text("chromium-viewer").replace("\r\n", "\n")
    assert sdp.parse(unix) == sdp.parse(unix.encode()) == description


def test_feedback_for_all_payload_types() -> None:
    section = sdp.parse(VIDEO + "a=rtcp-fb:* nack\r\na=rtcp-fb:96 ccm fir\r\n").sections[0]
    assert section.codecs[0].feedback == ("nack", "ccm fir")


def test_static_payload_types_need_no_map_and_dynamic_ones_do() -> None:
    section = sdp.parse(MINIMAL + "m=audio 9 RTP/AVP 0 8 97\r\n").sections[0]
    assert [(codec.name, codec.clock_rate) for codec in section.codecs] == [("PCMU", 8000), ("PCMA", 8000)]


def test_a_data_channel_keeps_its_format() -> None:
    section = sdp.parse(MINIMAL + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n").sections[0]
    assert (section.formats, section.codecs) == (("webrtc-datachannel",), ())


def test_paused_and_alternative_layers_keep_their_order() -> None:
    lines = "a=rid:a send\r\na=rid:b send\r\na=rid:c send\r\na=rid:d recv\r\na=simulcast:send b;~a,c recv d\r\n"
    section = sdp.parse(VIDEO + lines).sections[0]
    assert (section.send_rids, section.receive_rids) == (("b", "a"), ("d",))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", Malformed),
        ("v=1\r\n", Malformed),
        ("v=0\r\n", Truncated),
        ("v=0\r\no=- 1\r\n", Truncated),
        ("v=0\r\no=- 1 two IN\r\n", Malformed),
        ("v=0\r\nx\r\n", Truncated),
        ("v=0\r\nhello\r\n", Malformed),
        (MINIMAL + "a=x\ry\r\n", Malformed),
        (MINIMAL + "m=video 9 UDP/TLS/RTP/SAVPF\r\n", Truncated),
        (MINIMAL + "m=video 70000 UDP/TLS/RTP/SAVPF 96\r\n", Malformed),
        (MINIMAL + "m=video 9 UDP/TLS/RTP/SAVPF 200\r\n", Malformed),
        (MINIMAL + "m=video 9 UDP/TLS/RTP/SAVPF x\r\n", Malformed),
        (VIDEO + "a=rtpmap:96 H264\r\n", Malformed),
        (VIDEO + "a=rtpmap:96 /90000\r\n", Malformed),
        (VIDEO + "a=fingerprint:sha-256\r\n", Malformed),
        (VIDEO + "a=extmap:x uri\r\n", Malformed),
        (VIDEO + "a=extmap:1\r\n", Truncated),
        (VIDEO + "a=ssrc:99999999999 cname:x\r\n", Malformed),
        (VIDEO + "a=ssrc-group:FID 1 x\r\n", Malformed),
        (VIDEO + "a=rid:1\r\n", Malformed),
        (VIDEO + "a=ice-ufrag:" + "u" * 300 + "\r\na=ice-pwd:p\r\n", LimitExceeded),
        (VIDEO + "a=mid:0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n", Malformed),
        (VIDEO * 17, LimitExceeded),
        (VIDEO + "a=x\r\n" * 3000, LimitExceeded),
        (VIDEO + "a=" + "x" * 70_000, LimitExceeded),
    ],
)
def test_broken_descriptions_raise(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        sdp.parse(body)


def test_what_is_not_utf_8_is_malformed() -> None:
    with pytest.raises(Malformed):
        sdp.parse(b"v=0\r\n\xff\xfe")


@pytest.mark.parametrize("name", VIEWERS + PUBLISHERS)
def test_mutated_offers_parse_or_raise_wire_error(name: str) -> None:
    rng = random.Random(name)
    data = text(name).encode()
    for _ in range(150):
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 3, 10))):
            at = rng.randrange(len(out))
            match rng.randrange(4):
                case 0:
                    out[at] = rng.randrange(256)
                case 1:
                    del out[at : at + rng.choice((1, 5, 50))]
                case 2:
                    out[at:at] = rng.choice(
                        (b"\r\n", b" ", b":", b"/", b"\r\nm=video 9 UDP/TLS/RTP/SAVPF 1\r\n", b"99999")
                    )
                case 3:
                    other = rng.randrange(len(out))
                    out[at:at] = out[other : other + 40]
        parses_or_raises_wire_error(sdp.parse, bytes(out))


lines = st.lists(
    st.one_of(
        st.sampled_from(sorted({line for name in VIEWERS + PUBLISHERS for line in text(name).split("\r\n")})),
        st.text(max_size=30),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(lines)
def test_any_lines_parse_or_raise_wire_error(extra: list[str]) -> None:
    parses_or_raises_wire_error(lambda data: sdp.parse(data.decode()), (VIDEO + "\r\n".join(extra)).encode())

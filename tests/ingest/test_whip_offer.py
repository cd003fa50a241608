"""What is taken of real offers."""

from __future__ import annotations

import pytest

from ingest.whip_offer import Unusable, choose_incoming
from media.track import Codec
from tests.support import offers
from wire import sdp
from wire.rtp import extensions

H265 = """m=video 9 UDP/TLS/RTP/SAVPF 100 101
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:100 H265/90000
a=fmtp:100 level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST
a=rtcp-fb:100 nack
a=rtpmap:101 rtx/90000
a=fmtp:101 apt=100
"""


@pytest.mark.parametrize("name", offers.PUBLISHERS)
def test_h264_and_opus_of_every_publisher(name: str) -> None:
    chosen = choose_incoming(offers.offer(name))
    assert chosen[0].codec is Codec.H264
    assert len(chosen) == 1 or chosen[1].codec is Codec.OPUS
    for entry in chosen:
        assert extensions.VIDEO_ORIENTATION not in entry.acceptance.extensions


@pytest.mark.parametrize(
    ("name", "rid"), [("obs-simulcast", "0"), ("chromium-simulcast", "h"), ("obs-publisher", None)]
)
def test_of_several_layers_the_first_is_used(name: str, rid: str | None) -> None:
    assert choose_incoming(offers.offer(name))[0].rid == rid


def test_h265_is_taken_where_there_is_no_h264() -> None:
    offer = sdp.parse(offers.text("obs-publisher").partition("m=video")[0] + H265.replace("\n", "\r\n"))
    video, audio = choose_incoming(offer)
    assert (video.codec, audio.codec) == (Codec.H265, Codec.OPUS)
    assert video.retransmission is not None


def test_any_profile_will_do() -> None:
    offer = sdp.parse(offers.text("obs-publisher").replace("42e01f", "640032"))
    assert choose_incoming(offer)[0].codec is Codec.H264


def test_browsers_get_transport_feedback_and_others_an_estimate() -> None:
    chromium = choose_incoming(offers.offer("chromium-publisher"))[0]
    assert chromium.wants("transport-cc")
    assert not chromium.wants("goog-remb")
    obs = choose_incoming(offers.offer("obs-publisher"))[0]
    assert obs.wants("goog-remb")
    assert not obs.wants("transport-cc")


def test_parameter_sets_of_the_offer_are_a_start() -> None:
    gstreamer = choose_incoming(offers.offer("gstreamer-publisher"))[0]
    assert gstreamer.initial is not None
    assert "sprop" not in gstreamer.acceptance.codecs[0].parameters
    broken = offers.text("gstreamer-publisher").replace("sprop-parameter-sets=Z0LAH", "sprop-parameter-sets=!!")
    assert choose_incoming(sdp.parse(broken))[0].initial is None


@pytest.mark.parametrize(
    ("change", "words"), [(("H264", "VP8"), "VP8"), (("a=sendonly", "a=recvonly"), "video"), (("m=", "x="), "nothing")]
)
def test_what_cannot_be_taken_is_named(change: tuple[str, str], words: str) -> None:
    text = offers.text("obs-publisher").replace("opus", "PCMU").replace(*change)
    with pytest.raises(Unusable, match=words):
        choose_incoming(sdp.parse(text))

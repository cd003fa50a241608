"""The bench's offer as servers read it, and answers as servers write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.whep_offer import WhepAnswer, make_offer, read_answer
from tests.support.mutations import parses_or_raises_wire_error
from tests.support.offers import LOCAL, view
from wire import sdp
from wire.dtls import DtlsRole, Fingerprint
from wire.errors import Malformed, Unsupported, WireError
from wire.ice import IceCredentials
from wire.stun import Address

HOST = Address("192.0.2.9", 40_000)
OFFER = make_offer(
    IceCredentials("viewerUF", "viewerPasswordOf24Chars+"),
    Fingerprint("sha-256", ":".join(["CD"] * 32)),
    HOST,
    session_id="7",
)
ANSWER = sdp.write(sdp.answer(sdp.parse(OFFER), view(sdp.parse(OFFER)), LOCAL, session_id="1"))


def read(text: str) -> WhepAnswer:
    return read_answer(text, ipv6=False)


def test_offer_is_one_that_servers_accept() -> None:
    offer = sdp.parse(OFFER)
    assert [section.kind for section in offer.sections] == ["audio", "video"]
    assert offer.bundle == ("0", "1")
    video = offer.sections[1]
    assert sdp.offered_profiles(video) == (0x42, 0x64)
    baseline = sdp.find_baseline(video)
    assert baseline is not None
    assert sdp.find_rtx(video, baseline) is not None
    assert set(baseline.feedback) == {"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"}
    assert video.candidates == ("1 1 udp 2122260223 192.0.2.9 40000 typ host generation 0",)


def test_answer_is_read_with_its_choices() -> None:
    answer = read(ANSWER)
    assert (answer.role, answer.ice) == (DtlsRole.CLIENT, LOCAL.ice)
    assert answer.candidates == (Address("192.0.2.1", 8189),)
    assert (answer.video.payload_type, answer.rtx) == (108, {109: 108})
    assert answer.audio is not None
    assert answer.clock_rates == {111: 48_000, 108: 90_000, 109: 90_000}
    assert answer.wants_estimates
    assert answer.repairs
    assert not answer.parameter_sets
    assert answer.transport_sequence is None


def test_best_candidate_comes_first_and_the_unusable_ones_never() -> None:
    candidates = "\r\n".join(
        f"a=candidate:{value}"
        for value in (
            "1 1 udp 100 192.0.2.1 1000 typ host",
            "2 1 UDP 300 192.0.2.2 2000 typ srflx raddr 0.0.0.0 rport 0",
            "3 1 tcp 900 192.0.2.3 3000 typ host tcptype passive",
            "4 2 udp 900 192.0.2.4 4000 typ host",
            "5 1 udp 900 server.local 5000 typ host",
            "6 1 udp 900 2001:db8::1 6000 typ host",
            "7 1 udp 900 192.0.2.7 0 typ host",
            "8 1 udp",
        )
    )
    text = re.sub("(a=candidate:.*\r\n)+", f"{candidates}\r\n", ANSWER)
    assert read(text).candidates == (Address("192.0.2.2", 2000), Address("192.0.2.1", 1000))
    assert read_answer(text, ipv6=True).candidates == (Address("2001:db8::1", 6000),)


def test_a_server_that_wants_to_be_the_client_may() -> None:
    assert read(ANSWER.replace("a=setup:passive", "a=setup:active")).role is DtlsRole.SERVER


def test_transport_wide_feedback_is_given_when_both_lines_ask_for_it() -> None:
    extension = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    with_line = ANSWER.replace("a=rtpmap:108", f"{extension}\r\na=rtpmap:108")
    assert read(with_line).transport_sequence is None
    assert read(with_line.replace("a=rtcp-fb:108 nack\r\n", "a=rtcp-fb:108 transport-cc\r\n")).transport_sequence == 3


def test_parameter_sets_may_come_with_the_answer() -> None:
    text = ANSWER.replace("packetization-mode=1", "packetization-mode=1;sprop-parameter-sets=Z0LAHw==,aM48gA==")
    assert read(text).parameter_sets


@pytest.mark.parametrize(
    ("pattern", "replacement", "error", "sentence"),
    [
        ("m=video 9", "m=video 0", Unsupported, "refuses video"),
        ("(?s)(m=video.*)a=sendonly", r"\1a=inactive", Unsupported, "inactive"),
        ("a=setup:passive", "a=setup:actpass", Unsupported, "a=setup:actpass"),
        ("a=setup:passive\r\n", "", Unsupported, "a=setup:None"),
        ("a=candidate:.*udp.*\r\n", "", Unsupported, "no UDP candidate"),
        ("a=fingerprint:.*\r\n", "", Malformed, "no fingerprint"),
        ("a=ice-pwd:.*\r\n", "", Malformed, "no ICE credentials"),
        ("BUNDLE 0 1", "BUNDLE 0", Unsupported, "BUNDLE"),
        ("a=rtpmap:108 H264", "a=rtpmap:108 VP8", Unsupported, "chose VP8 at 108"),
        ("108", "96", Unsupported, "chose H264 at 96"),
        ("v=0", "v=1", Malformed, "v=0"),
    ],
)
def test_unusable_answers_are_refused_with_the_reason(
    pattern: str, replacement: str, error: type[WireError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        read(re.sub(pattern, replacement, ANSWER))


@settings(max_examples=150)
@given(at=st.integers(0, len(ANSWER) - 1), size=st.integers(0, 40), by=st.binary(max_size=20), ipv6=st.booleans())
def test_any_answer_is_read_or_refused(at: int, size: int, by: bytes, *, ipv6: bool) -> None:
    data = ANSWER.encode()
    parses_or_raises_wire_error(lambda text: read_answer(text, ipv6=ipv6), data[:at] + by + data[at + size :])

"""WHIP's HTTP rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import parses_or_raises_wire_error
from wire import whip
from wire.errors import Malformed
from wire.ice import IceCredentials
from wire.whip import IceFragment, IceServer, PatchVerdict

ETAG = whip.make_etag("abc", 1)
# RFC 8840, 9: as browsers' pages send it
TRICKLE = (
    "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
    "a=candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ host generation 0 ufrag EsAw network-id 2\r\n"
    "a=end-of-candidates\r\n"
)


def test_a_fragment_says_its_credentials_and_candidates() -> None:
    fragment = whip.parse_fragment(TRICKLE)
    assert fragment.ice == IceCredentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert len(fragment.candidates) == 2
    assert fragment.end_of_candidates


def test_a_restart_answer_comes_back() -> None:
    ice = IceCredentials("new0", "new-password")
    body = whip.write_fragment(ice, [("audio", "0"), ("video", "1")], ["1 1 udp 1 192.0.2.1 8189 typ host"])
    assert whip.parse_fragment(body) == IceFragment(ice, ("1 1 udp 1 192.0.2.1 8189 typ host",), end_of_candidates=True)
    assert body.count("m=") == 2


def test_half_of_the_credentials_is_malformed() -> None:
    with pytest.raises(Malformed):
        whip.parse_fragment("a=ice-ufrag:EsAw\r\n")


@given(st.text(max_size=200))
def test_any_fragment_parses_or_raises_wire_error(text: str) -> None:
    parses_or_raises_wire_error(lambda data: whip.parse_fragment(data.decode()), text.encode())


@pytest.mark.parametrize(
    ("ufrag", "if_match", "verdict"),
    [
        ("EsAw", ETAG, PatchVerdict.TRICKLE),
        ("EsAw", "*", PatchVerdict.TRICKLE),
        ("EsAw", f'"other", {ETAG}', PatchVerdict.TRICKLE),
        ("EsAw", '"other"', PatchVerdict.PRECONDITION_FAILED),
        ("EsAw", "W/" + ETAG, PatchVerdict.PRECONDITION_FAILED),
        ("EsAw", None, PatchVerdict.PRECONDITION_REQUIRED),
        ("old0", "*", PatchVerdict.RESTART),
        ("old0", ETAG, PatchVerdict.RESTART),
        ("old0", '"other"', PatchVerdict.PRECONDITION_FAILED),
        ("old0", None, PatchVerdict.PRECONDITION_REQUIRED),
    ],
)
def test_what_a_patch_may_do(ufrag: str, if_match: str | None, verdict: PatchVerdict) -> None:
    fragment = whip.parse_fragment(TRICKLE)
    assert whip.judge_patch(fragment, remote_ufrag=ufrag, if_match=if_match, etag=ETAG) is verdict


def test_a_fragment_without_credentials_never_restarts() -> None:
    fragment = whip.parse_fragment("a=end-of-candidates\r\n")
    assert whip.judge_patch(fragment, remote_ufrag="x", if_match="*", etag=ETAG) is PatchVerdict.TRICKLE


def test_the_tag_changes_with_each_restart() -> None:
    assert whip.make_etag("abc", 2) != ETAG
    assert ETAG.startswith('"')


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("application/sdp", True),
        ("Application/SDP; charset=utf-8", True),
        ("text/plain", False),
        ("", False),
        (None, False),
    ],
)
def test_content_types(header: str | None, *, right: bool) -> None:
    assert whip.is_content_type(header, whip.SDP_TYPE) is right


def test_links_name_one_server_each() -> None:
    servers = [IceServer("stun:stun.example.net"), IceServer("turn:turn.example.net?transport=udp", "me", 'a"b\\c')]
    assert list(whip.ice_server_links(servers)) == [
        '<stun:stun.example.net>; rel="ice-server"',
        '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="me"; credential="a\\"b\\\\c"; '
        'credential-type="password"',
    ]


def patched(body: str, **changes: str | None) -> str | None:
    asked = {"content_type": whip.FRAGMENT_TYPE, "if_match": "*", "etag": ETAG, "remote_ufrag": "EsAw"} | changes
    return whip.read_patch(body.encode(), **asked)  # type: ignore[arg-type]


def test_a_patch_brings_candidates_or_a_new_ufrag() -> None:
    assert patched(TRICKLE) is None
    assert patched(TRICKLE, remote_ufrag="old0") == "EsAw"


@pytest.mark.parametrize(
    ("body", "changes", "status"),
    [
        (TRICKLE, {"content_type": whip.SDP_TYPE}, 415),
        (TRICKLE, {"content_type": None}, 415),
        ("a=ice-ufrag:x\r\n", {}, 400),
        (TRICKLE, {"if_match": None}, 428),
        (TRICKLE, {"if_match": '"other"'}, 412),
    ],
)
def test_a_patch_against_the_rules_is_refused_with_its_status(
    body: str, changes: dict[str, str | None], status: int
) -> None:
    with pytest.raises(whip.Refusal) as refusal:
        patched(body, **changes)
    assert refusal.value.status == status
    assert (refusal.value.headers == whip.ACCEPTED) is (status == 415)


def test_an_offer_has_its_type_and_can_be_read() -> None:
    whip.check_offer_type("application/sdp")
    for refused, status in ((lambda: whip.check_offer_type("text/plain"), 415), (lambda: whip.parse_offer(b"x"), 400)):
        with pytest.raises(whip.Refusal) as refusal:
            refused()
        assert refusal.value.status == status

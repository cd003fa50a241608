"""Which sites may use the node."""

from __future__ import annotations

import pytest

from streamer.origins import OriginList, Origins, parse_origin

SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("*", "*"),
        (" https://Shop.Example/ ", SHOP),
        ("https://shop.example:443", SHOP),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["shop.example", "ftp://shop.example", "https://", "https://a/b", "https://a?b", "null"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs origins"):
        parse_origin(text)


def test_all_sites_may_unless_some_are_named() -> None:
    everybody = Origins()
    assert everybody.cors({"Origin": SHOP}) == {"Access-Control-Allow-Origin": "*"}
    assert everybody.admits({"Origin": SHOP, "Host": "live.example"})
    named = Origins(OriginList((SHOP,)))
    assert named.cors({"Origin": SHOP}) == {"Access-Control-Allow-Origin": SHOP, "Vary": "Origin"}
    assert named.cors({"Origin": "https://other.example"}) == {"Vary": "Origin"}
    assert named.admits({"Origin": SHOP, "Host": "live.example"})
    assert not named.admits({"Origin": "https://other.example", "Host": "live.example"})


def test_the_nodes_own_pages_and_other_programs_always_may() -> None:
    nobody = Origins(OriginList(()))
    assert nobody.admits({"Origin": "https://live.example:8443", "Host": "live.example:8443"})
    assert nobody.admits({"Host": "live.example"})
    assert not nobody.admits({"Origin": "null", "Host": "live.example"})

"""URLs of WHEP endpoints and sessions."""

from __future__ import annotations

import pytest

from bench.whep_http import WhepUrl

ENDPOINT = WhepUrl("http://host.example:8080/whep/room?key=SECRET", "TOKEN")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/whep/room/abc", "http://host.example:8080/whep/room/abc"),
        ("abc", "http://host.example:8080/whep/abc"),
        ("https://other.example/s/1", "https://other.example/s/1"),
        ("//other.example/s/1", "http://other.example/s/1"),
    ],
)
def test_locations_are_absolute_or_relative(location: str, url: str) -> None:
    assert ENDPOINT.moved(location).url == url


def test_secrets_are_not_shown() -> None:
    assert repr(ENDPOINT) == "<WhepUrl http://host.example:8080/whep/room>"


def test_the_token_stays_with_the_server_it_was_given_for() -> None:
    assert ENDPOINT.moved("/whep/room/abc").token == "TOKEN"
    assert ENDPOINT.moved("http://other.example/s").token is None


@pytest.mark.parametrize("url", ["rtmp://host/live", "http:///whep", "whep/room", "http://host:99999/x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError):
        WhepUrl(url)


def test_a_token_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="token"):
        WhepUrl("http://host/", "a\r\nb: c")

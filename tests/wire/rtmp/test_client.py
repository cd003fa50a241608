import pytest

from tests.support.rtmp import RANDOM
from wire.amf0 import encode
from wire.errors import Malformed
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag
from wire.rtmp import (
    Closed,
    Connected,
    Published,
    PublishRequested,
    Rejected,
    RtmpClient,
    RtmpServer,
    RtmpUrl,
    TagReceived,
    Unpublished,
)

URL = RtmpUrl.parse("rtmp://127.0.0.1/live/demo?key=hidden-secret")


class Pair:
    """A client and a server on a perfect link; `step` cuts the bytes into pieces."""

    def __init__(self, chunk_size=65_536, step=None):
        self.client = RtmpClient(URL, random_bytes=RANDOM, chunk_size=chunk_size)
        self.server = RtmpServer(random_bytes=RANDOM)
        self.step = step
        self.client_events, self.server_events = [], []

    def exchange(self):
        moved = True
        while moved:
            moved = self._pass(self.client, self.server) | self._pass(self.server, self.client)
        for end, events in ((self.client, self.client_events), (self.server, self.server_events)):
            while (event := end.next_event()) is not None:
                events.append(event)

    def _pass(self, source, target):
        data = source.data_to_send()
        step = self.step or len(data) or 1
        for at in range(0, len(data), step):
            target.receive_data(data[at : at + step])
        return bool(data)


@pytest.mark.parametrize("step", [None, 1, 1000])
@pytest.mark.parametrize("chunk_size", [128, 65_536])
def test_client_and_server_publish_to_each_other(chunk_size, step):
    pair = Pair(chunk_size, step)
    pair.exchange()
    assert pair.server_events == [
        Connected("live", "rtmp://127.0.0.1:1935/live", "FMLE/3.0 (compatible; streamer)"),
        PublishRequested("live", "demo?key=hidden-secret", "live"),
    ]
    pair.server.accept()
    pair.exchange()
    assert pair.client_events == [Published()]
    tags = [FlvTag(SCRIPT, 0, encode("onMetaData", {"width": 640.0})), FlvTag(SCRIPT, 0, encode("onCuePoint"))]
    for at in (0, 23, 0xFFFFFE, 0xFFFFFF, 0x1000020, 0xFFFFFFFF):
        tags += [FlvTag(AUDIO, at, b"\xaf\x01" + b"a" * 300), FlvTag(VIDEO, at, b"\x17\x01" + bytes(900))]
    for tag in tags:
        pair.client.send_tag(tag)
    pair.client.close()
    pair.exchange()
    assert pair.server_events[2:] == [*map(TagReceived, tags), Unpublished()]


def test_a_rejection_reaches_the_client():
    pair = Pair()
    pair.exchange()
    pair.server.reject("NetStream.Publish.BadName", "wrong key")
    pair.exchange()
    assert pair.client_events == [Rejected("NetStream.Publish.BadName", "wrong key")]
    with pytest.raises(RuntimeError, match="send_tag in state closed"):
        pair.client.send_tag(FlvTag(AUDIO, 0, b"x"))
    pair.client.close()
    pair.exchange()


@pytest.mark.parametrize(
    ("code", "level"),
    [("NetStream.Unpublish.Success", "status"), ("NetConnection.Connect.Closed", "status"), ("NetStream.X", "error")],
)
def test_a_close_by_the_server_reaches_the_client(code, level):
    pair = Pair()
    pair.exchange()
    pair.server.accept()
    pair.server.close(code, "taken over", level=level)
    pair.exchange()
    assert pair.client_events == [Published(), Closed(code, "taken over")]


def test_the_end_of_the_bytes_closes_the_client():
    pair = Pair()
    pair.exchange()
    pair.client.receive_data(b"")
    pair.client.receive_data(b"")
    pair.exchange()
    assert pair.client_events == [Closed()]


def test_a_server_of_another_protocol_fails_at_once():
    client = RtmpClient(URL, random_bytes=RANDOM)
    with pytest.raises(Malformed, match="RTMP version 72"):
        client.receive_data(b"HTTP/1.1 400 Bad Request")
    client.receive_data(b"more")
    assert client.next_event() is None


def test_chunk_sizes_have_bounds():
    with pytest.raises(ValueError, match="chunk size 0 is not in"):
        RtmpClient(URL, random_bytes=RANDOM, chunk_size=0)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("rtmp://host/live/demo", ("host", 1935, "live", "demo")),
        ("rtmps://host/live/demo?key=x", ("host", 443, "live", "demo?key=x")),
        ("rtmp://[::1]:2000/a/b/c", ("::1", 2000, "a/b", "c")),
    ],
)
def test_urls_are_taken_apart(url, parts):
    parsed = RtmpUrl.parse(url)
    assert (parsed.host, parsed.port, parsed.app, parsed.name) == parts


def test_an_ipv6_address_keeps_its_brackets():
    assert RtmpUrl.parse("rtmp://[::1]/live/x").tc_url == "rtmp://[::1]:1935/live"


@pytest.mark.parametrize(
    "url", ["http://host/a/b", "rtmp://host/demo", "rtmp:///a/b", "rtmp://host:x/a/b", "", "rtmp://["]
)
def test_what_is_not_an_rtmp_url_is_refused(url):
    with pytest.raises(Malformed, match="not an RTMP URL"):
        RtmpUrl.parse(url)


def test_the_repr_hides_the_key():
    client = RtmpClient(URL, random_bytes=RANDOM)
    assert repr(client) == "RtmpClient(RtmpUrl(rtmp://127.0.0.1:1935/live/demo?...), handshake)"

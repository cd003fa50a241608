import pytest

from tests.support.rtmp import NAME, RANDOM, Encoder
from tests.support.rtmp import aggregate_part as part
from wire.amf0 import UNDEFINED, encode
from wire.errors import LimitExceeded, Malformed, Unsupported, WireError
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag
from wire.rtmp import (
    Closed,
    Connected,
    PublishRequested,
    RtmpLimits,
    RtmpServer,
    ServerState,
    TagReceived,
    Unpublished,
)
from wire.rtmp.chunk import RtmpMessage
from wire.rtmp.messages import Command, control, user_control


def video(timestamp=0, body=b"\x17\x01picture", stream_id=1):
    return RtmpMessage(VIDEO, timestamp, stream_id, body)


def test_a_publisher_is_served_from_connect_to_close():
    encoder = Encoder()
    welcome = encoder.connect()[0]
    assert (welcome.name, welcome.transaction) == ("_result", 1.0)
    assert welcome.argument(1) == {
        "level": "status",
        "code": "NetConnection.Connect.Success",
        "description": "connected",
        "objectEncoding": 0.0,
    }
    assert [a.name for a in encoder.call("releaseStream", 2, None, NAME)] == ["_result"]
    assert [a.name for a in encoder.call("FCPublish", 3, None, NAME)] == ["_result", "onFCPublish"]
    assert encoder.call("createStream", 4, None) == [Command("_result", 4.0, (None, 1.0))]
    assert encoder.call("publish", 5, None, NAME, "live", stream_id=1) == []
    assert encoder.server.accept()
    encoder.drain()
    assert encoder.status()["code"] == "NetStream.Publish.Start"
    encoder.send(RtmpMessage(SCRIPT, 0, 1, encode("@setDataFrame", "onMetaData", {})))
    encoder.send(RtmpMessage(AUDIO, 5, 1, b"\xaf\x01sound"))
    encoder.send(video(7))
    assert [a.name for a in encoder.call("FCUnpublish", 6, None, NAME)] == ["_result", "onFCUnpublish", "onStatus"]
    encoder.call("deleteStream", 7, None, 1.0)
    encoder.send_bytes(b"")
    assert encoder.events == [
        Connected("live", "rtmp://host/live", "FMLE/3.0"),
        PublishRequested("live", NAME, "live"),
        TagReceived(FlvTag(SCRIPT, 0, encode("onMetaData", {}))),
        TagReceived(FlvTag(AUDIO, 5, b"\xaf\x01sound")),
        TagReceived(FlvTag(VIDEO, 7, b"\x17\x01picture")),
        Unpublished(),
        Closed(),
    ]
    assert encoder.server.state is ServerState.CLOSED


@pytest.mark.parametrize("ending", ["FCUnpublish", "closeStream", "deleteStream"])
def test_each_way_of_stopping_is_an_unpublish_and_allows_another_publish(ending):
    encoder = Encoder()
    encoder.publish()
    encoder.call(ending, 6, None, 1.0, stream_id=1)
    assert encoder.events == [Unpublished()]
    assert encoder.status()["code"] == "NetStream.Unpublish.Success"
    encoder.send(video(40))
    assert encoder.server.late_tags == 1
    for other in ("FCUnpublish", "closeStream", "deleteStream"):
        encoder.call(other, 0, None, 1.0, stream_id=1)
    assert encoder.call("createStream", 8, None) == [Command("_result", 8.0, (None, 2.0))]
    encoder.call("publish", 9, None, "again", stream_id=2)
    assert encoder.server.accept()
    encoder.send(video(50, stream_id=2))
    assert encoder.events[1:] == [
        PublishRequested("live", "again", "live"),
        TagReceived(FlvTag(VIDEO, 50, video().body)),
    ]


def test_deleting_another_stream_ends_nothing():
    encoder = Encoder()
    encoder.publish()
    encoder.call("createStream", 6, None)
    encoder.call("deleteStream", 7, None, 2.0)
    encoder.call("deleteStream", 7, None, "x")
    encoder.call("closeStream", 8, None, stream_id=2)
    assert encoder.events == []
    assert encoder.server.state is ServerState.PUBLISHING


def test_a_refused_publisher_is_told_why_and_its_tags_are_dropped():
    encoder = Encoder()
    encoder.request()
    encoder.send(video())
    assert encoder.server.reject("NetStream.Publish.BadName", "wrong key")
    encoder.send(video(33))
    assert encoder.status() == {"level": "error", "code": "NetStream.Publish.BadName", "description": "wrong key"}
    assert encoder.server.late_tags == 2
    assert not any(isinstance(event, TagReceived) for event in encoder.events)
    assert not encoder.server.accept()


def test_tags_that_do_not_wait_for_the_answer_come_after_it():
    encoder = Encoder()
    encoder.request()
    encoder.events.clear()
    for timestamp in (0, 33):
        encoder.send(video(timestamp))
    assert encoder.events == []
    encoder.server.accept()
    encoder.send(video(66))
    assert [event.tag.timestamp for event in encoder.events] == [0, 33, 66]


@pytest.mark.parametrize(
    ("limits", "body"),
    [(RtmpLimits(early_tags=2), b"x"), (RtmpLimits(early_size=20), b"x" * 10)],
)
def test_only_so_many_tags_may_come_before_the_answer(limits, body):
    encoder = Encoder(limits)
    encoder.request()
    encoder.send(video(0, body))
    encoder.send(video(1, body))
    with pytest.raises(LimitExceeded, match=r"3 tags of \d+ bytes before the publish request was answered"):
        encoder.send(video(2, body))
    assert encoder.server.state is ServerState.CLOSED


def test_a_request_may_be_withdrawn_before_it_is_answered():
    encoder = Encoder()
    encoder.request()
    encoder.call("deleteStream", 6, None, 1.0)
    assert encoder.events[-1] == Unpublished()
    assert not encoder.server.accept()
    assert not encoder.server.reject()


def test_media_before_a_publish_is_out_of_order():
    encoder = Encoder()
    encoder.connect()
    with pytest.raises(Malformed, match="type 9 in state idle: nothing is published"):
        encoder.send(video(stream_id=0))


def test_media_on_a_stream_that_is_not_published_is_refused():
    encoder = Encoder()
    encoder.publish()
    with pytest.raises(Malformed, match="message stream 5, 1 is published"):
        encoder.send(video(stream_id=5))


def test_metadata_on_stream_0_is_taken():
    encoder = Encoder()
    encoder.publish()
    encoder.send(RtmpMessage(15, 0, 0, b"\x00" + encode("@setDataFrame", "onMetaData")))
    assert encoder.events == [TagReceived(FlvTag(SCRIPT, 0, encode("onMetaData")))]


def test_an_aggregate_message_becomes_its_tags():
    encoder = Encoder()
    encoder.publish()
    encoder.send(RtmpMessage(22, 100, 1, part(AUDIO, 7, b"au") + part(VIDEO, 9, b"vi")))
    assert [event.tag for event in encoder.events] == [FlvTag(AUDIO, 100, b"au"), FlvTag(VIDEO, 102, b"vi")]


def test_empty_tags_and_unknown_messages_are_skipped():
    encoder = Encoder()
    encoder.publish()
    encoder.send(video(0, b""))
    encoder.send(RtmpMessage(19, 0, 0, b"shared object"))
    assert encoder.events == []


@pytest.mark.parametrize(
    ("before", "name"),
    [("", "createStream"), ("", "publish"), ("connect", "connect"), ("publish", "publish"), ("publish", "connect")],
)
def test_commands_out_of_order_end_the_connection(before, name):
    encoder = Encoder()
    if before:
        getattr(encoder, before)()
    with pytest.raises(Malformed, match=f"{name} #9, 3 arguments.* in state"):
        encoder.call(name, 9, None, NAME, "live", stream_id=1)
    assert not encoder.server.accept()
    encoder.send_bytes(b"ignored from here on")


@pytest.mark.parametrize("asked", [None, {}, {"app": 5.0}])
def test_connect_needs_an_app(asked):
    with pytest.raises(Malformed, match="connect without an app"):
        Encoder().call("connect", 1, asked)


def test_publish_needs_a_stream_and_a_name():
    encoder = Encoder()
    encoder.connect()
    encoder.call("createStream", 2, None)
    encoder.call("publish", 3, None, "", stream_id=1)
    assert encoder.status()["code"] == "NetStream.Publish.BadName"
    with pytest.raises(Malformed, match="stream 4, which was not created"):
        encoder.call("publish", 3, None, "demo", stream_id=4)


def test_play_is_refused_with_the_place_to_play_from():
    encoder = Encoder()
    encoder.connect()
    encoder.call("createStream", 2, None)
    assert encoder.call("getStreamLength", 3, None, "demo") == [Command("_result", 3.0, (None, 0.0))]
    encoder.call("play", 0, None, "demo", stream_id=1)
    assert encoder.status()["code"] == "NetStream.Play.StreamNotFound"
    assert "HTTP-FLV" in str(encoder.status()["description"])


def test_side_commands_are_answered_or_ignored():
    encoder = Encoder()
    encoder.connect()
    assert encoder.call("_checkbw", 5, None) == [Command("_result", 5.0, (None, UNDEFINED))]
    assert [a.name for a in encoder.call("somethingElse", 6, None)] == ["_error"]
    for name in ("somethingElse", "_checkbw", "_result", "_error", "onStatus"):
        assert encoder.call(name, 0, None) == []


def test_enhanced_rtmp_is_answered_to_those_who_ask():
    encoder = Encoder()
    welcome = encoder.connect(fourCcList=["hvc1", "av01", 5.0], videoFourCcInfoMap={"*": 4.0, "hvc1": 4.0}, capsEx=3.0)[
        0
    ].argument(1)
    assert welcome["fourCcList"] == ["avc1", "hvc1", "av01", "mp4a", "Opus"]
    assert welcome["videoFourCcInfoMap"] == {"avc1": 4.0, "hvc1": 4.0, "av01": 4.0}
    assert welcome["capsEx"] == 0
    assert encoder.events[0].four_ccs == ("hvc1", "av01", "*")


@pytest.mark.parametrize(("code", "stream"), [("NetStream.Unpublish.Success", 1), ("NetConnection.Connect.Closed", 0)])
def test_closing_tells_the_client_why(code, stream):
    encoder = Encoder()
    encoder.publish()
    encoder.server.close(code, "another publisher took over")
    encoder.drain()
    assert encoder.status() == {"level": "status", "code": code, "description": "another publisher took over"}
    assert encoder.answers[-1].stream_id == stream
    encoder.send(video())
    assert encoder.events == []


def test_closing_during_the_handshake_says_nothing():
    server = RtmpServer(random_bytes=RANDOM)
    server.close("NetConnection.Connect.Closed")
    assert server.data_to_send() == b""
    assert repr(server) == "RtmpServer(closed, 0 bytes received)"


def test_received_bytes_are_acknowledged_by_the_peers_window():
    encoder = Encoder()
    encoder.publish()
    server = encoder.server
    server.receive_data(encoder.writer.write(2, control(5, 5000)))
    answers = []
    for timestamp in range(6):
        server.receive_data(encoder.writer.write(4, video(timestamp, b"x" * 3000)))
        answers.append((server.data_to_send()[-4:], server.bytes_received.to_bytes(4, "big")))
    # The window opened after 3.4 KB had come, so the first 3 KB pass it; then every second one does.
    assert [sent == count for sent, count in answers] == [True, False, True, False, True, False]
    assert [sent for sent, _ in answers[1::2]] == [b""] * 3


def test_pings_and_bandwidth_are_answered():
    encoder = Encoder()
    encoder.publish()
    server = encoder.server
    server.receive_data(encoder.writer.write(2, user_control(6, 0x01020304)))
    assert server.data_to_send().endswith(b"\x00\x07\x01\x02\x03\x04")
    server.receive_data(encoder.writer.write(2, user_control(3, 1)))
    server.receive_data(encoder.writer.write(2, control(3, 1)))
    assert server.data_to_send() == b""
    server.receive_data(encoder.writer.write(2, RtmpMessage(6, 0, 0, b"\x00\x01\x00\x00\x02")))
    assert server.data_to_send().endswith(b"\x00\x01\x00\x00")
    server.receive_data(encoder.writer.write(2, RtmpMessage(6, 0, 0, b"\x00\x01\x00\x00\x02")))
    assert server.data_to_send() == b""


def test_the_peer_sets_its_chunk_size_and_aborts():
    encoder = Encoder()
    encoder.publish()
    encoder.send(control(1, 70_000), csid=2)
    encoder.writer.chunk_size = 70_000
    encoder.send(video(0, b"x" * 69_000), csid=4)
    encoder.send_bytes(encoder.writer.write(4, video(1, b"x" * 100_000))[:-30_001])
    encoder.send(control(2, 4), csid=2)
    encoder.send(video(3, b"y"), csid=5)
    assert [event.tag.timestamp for event in encoder.events] == [0, 3]


@pytest.mark.parametrize(
    ("size", "error", "sentence"),
    [(0, LimitExceeded, "0 is below 64"), (63, LimitExceeded, "63 is below"), (1 << 31, Malformed, "top bit")],
)
def test_chunk_sizes_have_bounds(size, error, sentence):
    with pytest.raises(error, match=sentence):
        Encoder().send(control(1, size), csid=2)


def test_commands_and_streams_are_limited():
    encoder = Encoder(RtmpLimits(message_streams=2, commands=5))
    encoder.connect()
    encoder.call("createStream", 2, None)
    encoder.call("createStream", 3, None)
    with pytest.raises(LimitExceeded, match="more than 2 message streams"):
        encoder.call("createStream", 4, None)
    encoder = Encoder(RtmpLimits(commands=2))
    encoder.connect()
    encoder.call("_checkbw", 2, None)
    with pytest.raises(LimitExceeded, match="more than 2 commands"):
        encoder.call("_checkbw", 3, None)


def test_a_failed_handshake_kills_the_connection():
    server = RtmpServer(random_bytes=RANDOM)
    with pytest.raises(Malformed, match="RTMP version 71 is not 3"):
        server.receive_data(b"GET / HTTP/1.1")
    server.receive_data(b"more")
    assert server.next_event() is None


def test_errors_do_not_show_keys():
    encoder = Encoder()
    with pytest.raises(WireError) as caught:
        encoder.call("publish", 9, None, NAME, "live")
    assert "hidden" not in str(caught.value)


def test_an_amf3_value_in_a_command_is_unsupported():
    encoder = Encoder()
    with pytest.raises(Unsupported, match="AMF3"):
        encoder.send(RtmpMessage(17, 0, 0, b"\x00" + encode("connect", 1) + b"\x11\x0a"))

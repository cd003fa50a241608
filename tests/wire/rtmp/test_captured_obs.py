"""A session of real OBS, see tests/captures/README.md."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.rtmp import RANDOM
from wire.amf0 import EcmaArray, decode_all
from wire.flv_tag import AUDIO, SCRIPT, VIDEO
from wire.rtmp import Closed, Connected, PublishRequested, RtmpServer, ServerState, TagReceived, Unpublished

SESSION = (Path(__file__).parents[2] / "captures" / "obs29_rtmp.bin").read_bytes()


def replay(step):
    server = RtmpServer(random_bytes=RANDOM)
    events = []
    for at in range(0, len(SESSION) + step, step):
        server.receive_data(SESSION[at : at + step])
        while (event := server.next_event()) is not None:
            events.append(event)
            if isinstance(event, PublishRequested):
                assert server.accept()
    assert server.state is ServerState.CLOSED
    assert server.bytes_received == len(SESSION)
    return server, events


@pytest.fixture(scope="module")
def whole():
    return replay(4096)


@pytest.mark.parametrize("step", [1, 7, 1461, 65_536])
def test_the_session_means_the_same_in_pieces_of_any_size(whole, step):
    server, events = replay(step)
    assert events == whole[1]
    assert server.late_tags == 0


def test_the_session_has_the_events_of_a_clean_broadcast(whole):
    _, events = whole
    connected, requested, *tags, unpublished, closed = events
    assert isinstance(connected, Connected)
    assert (connected.app, connected.encoder, connected.four_ccs) == ("live", "FMLE/3.0 (compatible; FMSc/1.0)", ())
    assert requested == PublishRequested("live", "demo?key=capture", "live")
    assert all(isinstance(event, TagReceived) for event in tags)
    assert (unpublished, closed) == (Unpublished(), Closed())


def test_the_session_has_every_tag_in_order(whole):
    tags = [event.tag for event in whole[1] if isinstance(event, TagReceived)]
    assert Counter(tag.kind for tag in tags) == {SCRIPT: 1, AUDIO: 312, VIDEO: 203}
    assert [tag.kind for tag in tags[:3]] == [SCRIPT, AUDIO, VIDEO]
    audio = [tag for tag in tags if tag.kind == AUDIO]
    video = [tag for tag in tags if tag.kind == VIDEO]
    # E.4.2.1 and E.4.3.1: the second byte is 0 for a sequence header.
    assert [at for at, tag in enumerate(audio) if tag.body[1] == 0] == [0]
    assert [at for at, tag in enumerate(video) if tag.body[1] == 0] == [0]
    assert sum(tag.body[0] == 0x17 for tag in video[1:]) == 4
    for track in (audio, video):
        times = [tag.timestamp for tag in track]
        assert times == sorted(times)
    composition = {int.from_bytes(tag.body[2:5], "big") for tag in video[1:]}
    assert len(composition) > 2  # B-frames: pictures come in another order than they are shown
    assert (audio[-1].timestamp, video[-1].timestamp) == (6679, 6699)


def test_the_metadata_is_an_ecma_array(whole):
    script = next(event.tag for event in whole[1] if isinstance(event, TagReceived))
    name, metadata = decode_all(script.body)
    assert name == "onMetaData"
    assert isinstance(metadata, EcmaArray)
    assert (metadata["width"], metadata["height"], metadata["framerate"]) == (640, 360, 30)
    assert (metadata["videocodecid"], metadata["audiocodecid"]) == (7, 10)


@pytest.mark.parametrize("size", [0, 1, 1537, 3073, 3500, 4000, 10_000, 100_000])
def test_a_session_that_breaks_off_ends_with_closed_alone(size):
    server = RtmpServer(random_bytes=RANDOM)
    events = []
    for piece in (SESSION[: size // 2], SESSION[size // 2 : size], b"", b""):
        server.receive_data(piece)
        while (event := server.next_event()) is not None:
            events.append(event)
            server.accept()
    assert events[-1] == Closed()
    assert events.count(Closed()) == 1
    assert Unpublished() not in events

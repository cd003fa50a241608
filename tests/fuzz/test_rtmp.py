"""Whatever an RTMP peer sends, it parses or raises WireError, and what is kept of it stays within the limits."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rtmp import NAME, RANDOM, Encoder
from wire.amf0 import encode
from wire.errors import WireError
from wire.rtmp import RtmpClient, RtmpServer, RtmpUrl, ServerState
from wire.rtmp.chunk import ChunkWriter, RtmpMessage

SESSION = (Path(__file__).parents[1] / "captures" / "obs29_rtmp.bin").read_bytes()[:24_000]
HANDSHAKE = 1 + 2 * 1536
URL = RtmpUrl.parse("rtmp://127.0.0.1/live/demo")


def run(connection, data, step):
    for at in range(0, len(data), step):
        try:
            connection.receive_data(data[at : at + step])
        except WireError:
            assert connection.state.value == "closed"
        while connection.next_event() is not None:
            if isinstance(connection, RtmpServer):
                connection.accept()
    connection.data_to_send()


def mutate(data, rng):
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        # Most of what can go wrong is in the commands, at the start.
        at = rng.randrange(HANDSHAKE, min(len(out), HANDSHAKE + rng.choice((60, 700, 2000, 20_000))))
        match rng.randrange(5):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + rng.choice((1, 2, 4, 100))]
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 3, 12)))
            case 4:
                out[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\x00\x00\x09\x00"))
    return bytes(out)


@pytest.mark.parametrize("seed", range(150))
def test_a_damaged_session_parses_or_raises_a_wire_error(seed):
    rng = random.Random(seed)
    run(RtmpServer(random_bytes=RANDOM), mutate(SESSION, rng), rng.choice((37, 4096, 24_000)))


NAMES = "connect releaseStream FCPublish createStream publish deleteStream closeStream FCUnpublish play _result * x"
COMMANDS = st.sampled_from(NAMES.split())
ARGUMENTS = st.lists(
    st.sampled_from([None, NAME, "live", 0.0, 1.0, 2.0, float("nan"), -1.0, 1e300, {"app": "live"}, {"app": 1.0}, []]),
    max_size=4,
)
MESSAGES = st.builds(
    lambda kind, stream_id, body: RtmpMessage(kind, 0, stream_id, body),
    st.sampled_from([1, 2, 3, 4, 5, 6, 8, 9, 15, 18, 22]),
    st.integers(0, 2),
    st.binary(max_size=24),
) | st.builds(
    lambda kind, stream_id, name, transaction, arguments: RtmpMessage(
        kind, 0, stream_id, encode(name, transaction, *arguments)
    ),
    st.sampled_from([17, 20]),
    st.integers(0, 2),
    COMMANDS,
    st.sampled_from([0.0, 1.0, float("inf"), -5.0]),
    ARGUMENTS,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, max_size=12), st.sampled_from(["", "connect", "request", "publish"]))
def test_any_messages_in_any_order_are_handled_or_raise_a_wire_error(messages, stage):
    encoder = Encoder()
    if stage:
        getattr(encoder, stage)()
    writer = ChunkWriter()
    run(encoder.server, b"".join(writer.write(3, message) for message in messages), 4096)


@settings(max_examples=100, deadline=None)
@given(st.lists(MESSAGES, max_size=12), st.binary(max_size=40))
def test_a_client_handles_any_server_or_raises_a_wire_error(messages, tail):
    client = RtmpClient(URL, random_bytes=RANDOM)
    writer = ChunkWriter()
    answers = [RtmpMessage(20, 0, 0, encode("_result", 1.0, None, {})), *messages]
    run(client, b"\x03" + bytes(3072) + b"".join(writer.write(3, message) for message in answers) + tail, 500)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_chunks_after_the_handshake_parse_or_raise_a_wire_error(data):
    server = RtmpServer(random_bytes=RANDOM)
    run(server, SESSION[:HANDSHAKE] + data, 4096)
    assert server.state in ServerState

"""Whatever a publisher calls sound, the worker's lane answers for it and goes on."""

from __future__ import annotations

import random

import pytest

from ingest.transcode_messages import Done, MadeUnit, Message, SourceTrack, SourceUnit, StartOutput
from ingest.transcode_worker import AudioLane
from tests.support.sound import beep_sound

TRACKS = {
    "aac": SourceTrack(1, "aac", bytes.fromhex("1210"), 44_100, 2),
    "opus": SourceTrack(1, "opus", b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0", 48_000, 2),
    "mp3": SourceTrack(1, "mp3", b"", 44_100, 2),
    "speex": SourceTrack(1, "speex", b"", 16_000, 1),
    "pcma": SourceTrack(1, "pcma", b"", 8_000, 1),
    "pcmu": SourceTrack(1, "pcmu", b"", 0, 0),
}


def damaged(codec: str, rng: random.Random) -> bytes:
    if codec in ("aac", "opus", "mp3") and rng.random() < 0.7:
        rate = 48_000 if codec == "opus" else 44_100
        data = bytearray(rng.choice(beep_sound(codec, rate, 2, 10).units)[1])
        for _ in range(rng.choice((0, 1, 2, 10))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data[: rng.choice((len(data), rng.randrange(len(data) + 1)))])
    return rng.randbytes(rng.choice((0, 1, 2, 20, 62, 200, 3000)))


@pytest.mark.parametrize("codec", TRACKS)
@pytest.mark.parametrize("output", ["opus", "aac"])
@pytest.mark.parametrize("seed", range(4))
def test_every_unit_is_answered(codec: str, output: str, seed: int) -> None:
    rng = random.Random(seed)
    said: list[Message] = []
    lane = AudioLane(said.append)
    lane.handle(TRACKS[codec])
    lane.handle(StartOutput(output, 0, 2, None))
    t = 0
    for seq in range(150):
        t += rng.choice((1800, 1800, 1800, 90, 30_000, 200_000))
        lane.handle(SourceUnit(seq, 1, t, t, True, (damaged(codec, rng),)))
    assert [message.seq for message in said if isinstance(message, Done)] == list(range(150))
    dts = [message.dts for message in said if isinstance(message, MadeUnit)]
    assert dts == sorted(dts)


@pytest.mark.parametrize("record", [b"", b"\0", b"\xff" * 40, bytes.fromhex("f8e85000"), b"OpusHead", bytes(1000)])
@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_a_broken_configuration_is_a_problem_and_no_crash(codec: str, record: bytes) -> None:
    said: list[Message] = []
    lane = AudioLane(said.append)
    lane.handle(SourceTrack(1, codec, record, 0, 0))
    lane.handle(StartOutput("opus", 0, 2, None))
    for seq, (t, data) in enumerate(beep_sound("aac", 44_100, 2, 10).units[:5]):
        lane.handle(SourceUnit(seq, 1, t, t, True, (data,)))
    assert len([message for message in said if isinstance(message, Done)]) == 5


def test_speex_is_decoded() -> None:
    said: list[Message] = []
    lane = AudioLane(said.append)
    lane.handle(TRACKS["speex"])
    lane.handle(StartOutput("aac", 0, 1, None))
    # mode 1 of the narrow band with nothing but comfort noise in it, and no wide band
    for seq in range(50):
        lane.handle(SourceUnit(seq, 1, seq * 1800, seq * 1800, True, (bytes.fromhex("0e00000000007f"),)))
    assert [message for message in said if isinstance(message, MadeUnit)]

"""What one stream's sound costs its worker: `python -m tests.support.sound_worker_cost [SECONDS [TREE...]]`.

The sound of `streamer bench`, AAC of 48 kHz, goes to a worker in pairs and in real time, as a node sends it, and is
made into Opus. Other trees of this project are measured in the same run, in turn with this one.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from bench.clip import ClipOptions, make_clip
from ingest.transcode_messages import SourceTrack, SourceUnit, StartOutput, encode_message
from media.ticks import TICKS_PER_SECOND
from wire.codecs.aac import LC, AacConfig
from wire.flv import AUDIO
from wire.flv_audio import AudioFrame, parse_audio

HERE = Path(__file__).resolve().parents[2]
RATE, BLOCK = 48_000, 1024
PAIR_SECONDS = 2 * BLOCK / RATE
SETTLE_SECONDS = 2.0
CLIP = ClipOptions(width=160, height=96, bitrate=100_000)
"""Its pictures are not used."""
CROWD = 4_000_000
"""Bytes that are written before each pair, as by the rest of a node: more than fit a core's own caches."""


class Worker:
    """One tree's, fed by hand."""

    def __init__(self, tree: Path) -> None:
        self._socket, there = socket.socketpair()
        command = [sys.executable, "-m", "ingest.transcode_worker", str(there.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(
            command, pass_fds=[there.fileno()], cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}
        )
        there.close()

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the thread that makes sound, exact: schedstat is in nanoseconds."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)
        with suppress(BlockingIOError):  # it may have nothing to say yet
            self._socket.recv(1 << 20, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def pairs() -> Iterator[bytes]:
    """What a node sends at a time."""
    step = BLOCK * TICKS_PER_SECOND // RATE
    tags = [tag for tag in make_clip(CLIP).tags if tag.kind == AUDIO]
    sounds = [sound.data for sound in (parse_audio(tag.body) for tag in tags) if isinstance(sound, AudioFrame)]
    units = enumerate(itertools.cycle(sounds), start=1)
    sent = (encode_message(SourceUnit(n, 1, n * step, n * step, True, (data,))) for n, data in units)
    return (first + second for first, second in zip(sent, sent, strict=False))


def measure(seconds: float, trees: list[Path]) -> list[float]:
    """Percent of a core, for each tree."""
    workers = [Worker(tree) for tree in trees]
    track = SourceTrack(1, "aac", AacConfig.build(LC, RATE, 2).asc, RATE, 2)
    for worker in workers:
        worker.send(encode_message(track) + encode_message(StartOutput("opus", 0, 2, None)))
    crowd = np.zeros(CROWD, np.uint8)
    began = time.monotonic()
    measured_at, before = 0.0, [0.0 for _ in workers]
    for number, pair in enumerate(pairs()):
        for index, worker in enumerate(workers):
            due = began + (number + index / len(workers)) * PAIR_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))
            crowd += 1
            worker.send(pair)
        now = time.monotonic()
        if not measured_at and now - began > SETTLE_SECONDS:
            measured_at, before = now, [worker.cpu_seconds for worker in workers]
        elif measured_at and now - measured_at > seconds:
            break
    shares = [(w.cpu_seconds - b) / (now - measured_at) * 100 for w, b in zip(workers, before, strict=True)]
    for worker in workers:
        worker.close()
    return shares


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asked = [HERE, *(Path(tree).resolve() for tree in arguments[1:])]
    for tree, share in zip(asked, measure(float(arguments[0]) if arguments else 20.0, asked), strict=True):
        sys.stdout.write(f"{share:.2f} % of a core  {tree}\n")

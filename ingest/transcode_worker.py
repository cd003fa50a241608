"""The worker process: one per stream, started by exec. It holds no state that its node could not send again.

    python -m ingest.transcode_worker FD PARENT

FD is this end of a socket pair, PARENT the process that must outlive this one. Sound is made by the thread that reads
the socket: a unit takes a fifth of a millisecond, and waking another thread for it would take as long again. Pictures
are handed on to threads of their own, which are less urgent than sound.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import av

from ingest.audio_rung import AudioDecoder, AudioRung, Undecodable
from ingest.audio_target import TARGETS
from ingest.picture_lane import PictureLane
from ingest.transcode_messages import (
    Done,
    ForceKeyframe,
    LiveFrom,
    MadeUnit,
    Message,
    MessageReader,
    Note,
    Ready,
    SourceTrack,
    SourceUnit,
    StartOutput,
    StartRung,
    StopOutput,
    StopRung,
    encode_message,
)
from ingest.video_graph import GraphLimits, VideoGraph
from media.track import Codec

__all__ = ["AudioLane", "Lanes", "main"]

READ_SIZE = 64 * 1024
MAX_NOTE = 2_000
"""Characters of one line for the log."""
_PR_SET_PDEATHSIG = 1

Send = Callable[[Message], None]


class Lane(Protocol):
    """Whatever is heard goes to `handle`, on one thread; `close` is the last call."""

    def handle(self, message: Message) -> None: ...

    def close(self) -> None: ...


class AudioLane:
    """Sound: messages in, messages out, all on the thread that calls `handle`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._decoder: AudioDecoder | None = None
        self._track: int | None = None
        self._rungs: dict[str, AudioRung] = {}
        self._outputs: dict[str, StartOutput] = {}

    def handle(self, message: Message) -> None:
        match message:
            case SourceUnit():
                self._send(Done(message.seq, self._transcode(message)))
            case SourceTrack():
                self._decoder, self._track = AudioDecoder(message), message.track
            case StartOutput():
                self._outputs[message.output] = message
                self._rungs[message.output] = AudioRung(TARGETS[message.output], message.channels, message.follows)
            case StopOutput():
                self._outputs.pop(message.output, None)
                self._rungs.pop(message.output, None)

    def _transcode(self, unit: SourceUnit) -> str:
        """What was wrong with it, else ''."""
        if self._decoder is None or unit.track != self._track:
            return f"unit of track {unit.track}, which is not the last one"
        try:
            for frame, t in self._decoder.decode(unit):
                for output in tuple(self._rungs):
                    self._encode(output, frame, t)
        except Undecodable as exc:
            return f"undecodable: {exc}"
        except av.FFmpegError as exc:
            return f"not encoded: {exc}"
        return ""

    def _encode(self, output: str, frame: av.AudioFrame, t: int) -> None:
        rung, start = self._rungs[output], self._outputs[output]
        try:
            made = rung.feed(frame, t)
        except av.FFmpegError:
            self._rungs[output] = AudioRung(TARGETS[output], start.channels, start.follows)
            raise
        for dts, data in made:
            self._send(MadeUnit(output, start.run, dts, dts, True, (data,)))


class Lanes:
    """Sound on the thread that calls `handle`, pictures on others: `send` is for the first, `say` for the others."""

    def __init__(self, send: Send, say: Send, new_graph: Callable[[Send], VideoGraph] = VideoGraph) -> None:
        self.sound = AudioLane(send)
        self.pictures = PictureLane(say, new_graph)
        self._picture_track: int | None = None

    def handle(self, message: Message) -> None:
        match message:
            case SourceUnit() if message.track != self._picture_track:
                self.sound.handle(message)
            case SourceTrack() if Codec(message.codec).is_video:
                self._picture_track = message.track
                self.pictures.handle(message)
            case SourceUnit() | StartRung() | StopRung() | ForceKeyframe() | LiveFrom():
                self.pictures.handle(message)
            case _:
                self.sound.handle(message)

    def close(self) -> None:
        self.pictures.close()


class _Outbox:
    """What is said. Any thread may say something at once; the one that reads collects what it says until `flush`.

    Sound is written in one piece after what was heard at once: here every system call and wake-up counts.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unsent = bytearray()
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """With the next `flush`, or the next message that is said."""
        encoded = encode_message(message)
        with self._lock:
            self._unsent += encoded

    def say(self, message: Message) -> None:
        """Now. That the node has gone is for the reading thread to find."""
        self.send(message)
        with suppress(ConnectionError):
            self.flush()

    def flush(self) -> None:
        with self._lock:
            if self._unsent:
                self._connection.sendall(self._unsent)
                self._unsent.clear()


def main(arguments: list[str], lane: Callable[[Send, Send], Lane] | None = None) -> int:
    """Serve until the node closes its end of the socket. The exit code: the node starts another one after a bug.

    The arguments: how many pixels a source may have, where that is told, the descriptor, and the node's process id.
    """
    *told, descriptor, parent = map(int, arguments)
    limits = GraphLimits(max_pixels=told[0]) if told else GraphLimits()
    lane = lane or partial(Lanes, new_graph=partial(VideoGraph, limits=limits))
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it reaches both, and is the node's to act on
    av.logging.set_level(None)
    with socket.socket(fileno=descriptor) as connection:
        outbox = _Outbox(connection)
        outbox.send(Ready())
        lanes = lane(outbox.send, outbox.say)
        try:
            _serve(connection, lanes, outbox)
        except ConnectionError:
            return 0  # the node has gone
        except Exception:  # noqa: BLE001  the border of the process: said to the node, and never survived
            outbox.send(Note(logging.ERROR, traceback.format_exc()[-MAX_NOTE:]))
            outbox.flush()
            return 1
        finally:
            lanes.close()
    return 0


def _serve(connection: socket.socket, lanes: Lane, outbox: _Outbox) -> None:
    reader = MessageReader()
    outbox.flush()
    while data := connection.recv(READ_SIZE):
        reader.receive_data(data)
        for message in reader.messages():
            lanes.handle(message)
        outbox.flush()


def _die_with(parent: int) -> None:
    """Nothing may outlive the node, not even a worker that hangs in a codec and never reads its socket again.

    Nice stays 0: sound is a hundredth of a core, and the first thing that a listener misses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The worker process: one per stream, started by exec. It holds no state that its node could not send again.

    python -m ingest.transcode_worker FD PARENT

FD is this end of a socket pair, PARENT the process that must outlive this one. One thread reads the socket; each lane
has a thread of its own, so that a slow codec never keeps messages from being read. Sound has one lane.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable

import av

from ingest.audio_rung import AudioDecoder, AudioRung, Undecodable
from ingest.audio_target import TARGETS
from ingest.transcode_messages import (
    Done,
    MadeUnit,
    Message,
    MessageReader,
    Note,
    Ready,
    SourceTrack,
    SourceUnit,
    StartOutput,
    StopOutput,
    encode_message,
)

__all__ = ["AudioLane", "main"]

READ_SIZE = 64 * 1024
MAX_NOTE = 2_000
"""Characters of one line for the log."""
_PR_SET_PDEATHSIG = 1

Send = Callable[[Message], None]


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
            case SourceTrack():
                self._decoder, self._track = AudioDecoder(message), message.track
            case SourceUnit():
                self._send(Done(message.seq, self._transcode(message)))
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
        rung = self._rungs[output]
        try:
            made = rung.feed(frame, t)
        except av.FFmpegError:
            start = self._outputs[output]
            self._rungs[output] = AudioRung(TARGETS[output], start.channels, start.follows)
            raise
        for dts, data in made:
            self._send(MadeUnit(output, dts, dts, True, (data,)))


class _Lane:
    """A lane's thread. Whatever escapes it ends the process: the node starts another one."""

    def __init__(self, name: str, handle: Callable[[Message], None], send: Send) -> None:
        # bounded by the node, which has few units on their way at a time
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._handle, self._send = handle, send
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, message: Message) -> None:
        self._queue.put(message)

    def _run(self) -> None:
        try:
            while True:
                self._handle(self._queue.get())
        except OSError:
            os._exit(0)  # the node has gone
        except Exception:  # noqa: BLE001  the border of the thread: said to the node, and never survived
            self._send(Note(logging.ERROR, traceback.format_exc()[-MAX_NOTE:]))
            os._exit(1)


def main(arguments: list[str], lane: Callable[[Send], AudioLane] = AudioLane) -> None:
    """Serve until the node closes its end of the socket."""
    descriptor, parent = map(int, arguments)
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it reaches both, and is the node's to act on
    av.logging.set_level(None)
    with socket.socket(fileno=descriptor) as connection:
        send = _sender(connection)
        send(Ready())
        _serve(connection, _Lane("sound", lane(send).handle, send))


def _serve(connection: socket.socket, sound: _Lane) -> None:
    reader = MessageReader()
    while data := connection.recv(READ_SIZE):
        reader.receive_data(data)
        for message in reader.messages():
            sound.put(message)


def _sender(connection: socket.socket) -> Send:
    lock = threading.Lock()

    def send(message: Message) -> None:
        data = encode_message(message)
        with lock:
            connection.sendall(data)

    return send


def _die_with(parent: int) -> None:
    """Nothing may outlive the node, not even a worker that hangs in a codec and never reads its socket again.

    Nice stays 0: sound is a hundredth of a core, and the first thing that a listener misses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])

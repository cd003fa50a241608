"""One viewer that keeps everything it was sent, with the time at which it came."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from bench.flv_client import FlvClient, Target
from wire.errors import WireError
from wire.flv import FlvParser
from wire.flv_tag import AUDIO, VIDEO, FlvTag

__all__ = ["Arrival", "Watcher"]

CONNECT_S = 15.0
"""Longer than a server holds back the head for a player that is early."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A tag of sound or picture, and the monotonic second in which it was complete."""

    at: float
    tag: FlvTag


class Watcher:
    """Reads in a thread of its own until it is left. `ended` says why the bytes stopped, None while they come."""

    def __init__(self, url: str) -> None:
        self._target = Target.parse(url)
        self._client = FlvClient(websocket=self._target.websocket)
        self._parser = FlvParser()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._read, name="watcher", daemon=True)
        self._leaving = False
        self.flv = bytearray()
        self.arrivals: list[Arrival] = []
        self.ended: str | None = None

    def __enter__(self) -> Watcher:
        self._socket = socket.create_connection((self._target.host, self._target.port), CONNECT_S)
        self._socket.sendall(self._target.request())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leaving = True
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._socket.close()

    def first_picture_after(self, moment: float, timeout: float) -> Arrival | None:
        """The first picture that came after a monotonic second; None when none comes within `timeout` seconds of it."""
        seen = 0
        while self.ended is None and time.monotonic() < moment + timeout:
            count = len(self.arrivals)
            for arrival in self.arrivals[seen:count]:
                if arrival.at > moment and arrival.tag.kind == VIDEO:
                    return arrival
            seen = count
            time.sleep(0.002)
        return None

    def _read(self) -> None:
        assert self._socket is not None
        try:
            while data := self._socket.recv(1 << 18):
                self._take(self._client.receive_data(data))
            self.ended = "the server closed the connection"
        except (OSError, WireError) as error:
            self.ended = "left" if self._leaving else str(error)

    def _take(self, flv: bytes) -> None:
        now = time.monotonic()
        self.flv += flv
        self._parser.receive_data(flv)
        while (event := self._parser.next_event()) is not None:
            if isinstance(event, FlvTag) and event.kind in (AUDIO, VIDEO) and event.body[1:2] != b"\0":
                self.arrivals.append(Arrival(now, event))

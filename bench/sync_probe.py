"""A viewer that reads the bar code of every picture of a stream, and so knows which `t` each burned code was given."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from bench import barcode
from bench.flv_client import FlvClient, Target
from wire.errors import WireError
from wire.flv import SCRIPT, VIDEO, FlvParser, FlvTag
from wire.flv_script import parse_script
from wire.flv_video import VideoConfigRecord, VideoFrame, parse_video

__all__ = ["CodeReader", "Fit", "Fits", "Shown", "SyncProbe"]

CONNECT_S = 15.0
"""Longer than a server holds back the head for a player that is early."""
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture whose place is `t_ms` milliseconds of media time, and what is burned into it."""

    t_ms: int
    number: int
    code_ms: int


@dataclass(slots=True)
class Fit:
    """`t - burned pts` of one host, from its first picture on. It must be one constant: `spread_ms` at most 1."""

    first_ms: int
    low_ms: int
    high_ms: int
    pictures: int = 1

    @property
    def spread_ms(self) -> int:
        return self.high_ms - self.low_ms

    def add(self, offset_ms: int) -> None:
        self.low_ms, self.high_ms = min(self.low_ms, offset_ms), max(self.high_ms, offset_ms)
        self.pictures += 1


class Fits:
    """One fit for each host that was seen: each has a clock of its own."""

    def __init__(self) -> None:
        self.by_number: dict[int, Fit] = {}
        self.edge_ms: int | None = None

    def add(self, shown: Shown) -> None:
        offset = shown.t_ms - shown.code_ms
        fit = self.by_number.get(shown.number)
        if fit is None:
            self.by_number[shown.number] = Fit(offset, offset, offset)
        else:
            fit.add(offset)
        self.edge_ms = max(shown.t_ms, shown.t_ms if self.edge_ms is None else self.edge_ms)

    def t_ms(self, number: int, code_ms: int) -> float | None:
        """Where the picture with this code is on the timeline; None for a host that was never seen."""
        fit = self.by_number.get(number)
        return None if fit is None else code_ms + (fit.low_ms + fit.high_ms) / 2


class CodeReader:
    """FLV bytes in, decoded bar codes out. Raises WireError or av.FFmpegError for what cannot be read."""

    def __init__(self) -> None:
        self._parser = FlvParser()
        self._decoder: VideoCodecContext | None = None
        self._base_ms: int | None = None
        self._first_ms: int | None = None
        self.epoch: str | None = None
        self.unreadable = 0

    def receive_data(self, flv: bytes) -> Iterator[Shown]:
        self._parser.receive_data(flv)
        while (event := self._parser.next_event()) is not None:
            if isinstance(event, FlvTag):
                yield from self._take(event)

    def _take(self, tag: FlvTag) -> Iterator[Shown]:
        if tag.kind == SCRIPT:
            self._read_script(tag.body)
            return
        if self._first_ms is None:
            self._first_ms = tag.timestamp
        if tag.kind != VIDEO:
            return
        video = parse_video(tag.body)
        if isinstance(video, VideoConfigRecord):
            self._decoder = _decoder(video)
        elif isinstance(video, VideoFrame) and video.data and self._decoder is not None:
            yield from self._decode(video, tag.timestamp, self._decoder)

    def _read_script(self, body: bytes) -> None:
        script = parse_script(body)
        if script.name != "onTimeline" or not script.values or not isinstance(script.values[0], dict):
            return
        base, epoch = script.values[0].get("base_ms"), script.values[0].get("epoch")
        if isinstance(base, float) and isinstance(epoch, str):
            self._base_ms, self.epoch = int(base), epoch

    def _decode(self, video: VideoFrame, timestamp: int, decoder: VideoCodecContext) -> Iterator[Shown]:
        packet = av.Packet(video.data)
        # The player's rule (docs/timeline.md): the first media tag is at base_ms, whatever its own timestamp says.
        packet.pts = (self._base_ms or 0) + timestamp - (self._first_ms or 0) + video.composition_ms
        for frame in decoder.decode(packet):
            luma: NDArray[np.uint8] = np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
            code = barcode.read(luma)
            if code is None or frame.pts is None:
                self.unreadable += 1
            else:
                yield Shown(frame.pts, *code)


def _decoder(config: VideoConfigRecord) -> VideoCodecContext:
    decoder = av.CodecContext.create({"h264": "h264", "h265": "hevc"}[config.codec], "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = config.record
    decoder.thread_count = 1
    return decoder


class SyncProbe:
    """Reads one FLV URL in a thread of its own until it is left. `ended` says why it stopped before."""

    def __init__(self, url: str) -> None:
        self._target = Target.parse(url)
        self._client = FlvClient(websocket=self._target.websocket)
        self._thread = threading.Thread(target=self._run, name="sync-probe", daemon=True)
        self._socket: socket.socket | None = None
        self._leaving = False
        self.reader = CodeReader()
        self.fits = Fits()
        self.ended: str | None = None

    def __enter__(self) -> SyncProbe:
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

    def wait_for(self, number: int, pictures: int, timeout: float) -> bool:
        """Until so many pictures of this host were seen; False when they do not come in time."""
        deadline = time.monotonic() + timeout
        while self.ended is None and time.monotonic() < deadline:
            fit = self.fits.by_number.get(number)
            if fit is not None and fit.pictures >= pictures:
                return True
            time.sleep(LOOK_S)
        return False

    def _run(self) -> None:
        assert self._socket is not None
        try:
            while data := self._socket.recv(1 << 16):
                for shown in self.reader.receive_data(self._client.receive_data(data)):
                    self.fits.add(shown)
            self.ended = "the server closed the connection"
        except (OSError, WireError, av.FFmpegError) as error:
            self.ended = "left" if self._leaving else str(error)

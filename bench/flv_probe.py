"""One viewer that reads everything: from response bytes to keyframes, picture sizes and latencies."""

from __future__ import annotations

from bench.flv_client import FlvClient
from bench.stamp import find_ns
from wire.flv import VIDEO, FlvHeader, FlvParser, FlvTag
from wire.flv_video import VideoFrame, parse_video

__all__ = ["FlvProbe"]

TAG_OVERHEAD = 15  # FLV 10.1, E.4.1: a tag's header and the PreviousTagSize behind it


class FlvProbe:
    """Feed what the socket gave; raises WireError when it is not FLV.

    While `measuring`, `latencies_ns` collects one value for each stamped picture and `pictures` the timestamp (ms)
    and the size of each picture with the sound since the one before: what a server that writes on the picture sends.
    """

    def __init__(self, *, websocket: bool) -> None:
        self.keyframe_seen = False
        self.measuring = False
        self.latencies_ns: list[int] = []
        self.pictures: list[tuple[int, int]] = []
        self._client = FlvClient(websocket=websocket)
        self._parser = FlvParser()
        self._unwritten = 0

    @property
    def pieces(self) -> int:
        """HTTP chunks or WebSocket messages so far."""
        return self._client.pieces

    def receive_data(self, data: bytes, now_ns: int) -> None:
        self._parser.receive_data(self._client.receive_data(data))
        while (event := self._parser.next_event()) is not None:
            if not isinstance(event, FlvHeader):
                self._tag(event, now_ns)

    def _tag(self, tag: FlvTag, now_ns: int) -> None:
        self._unwritten += len(tag.body) + TAG_OVERHEAD
        video = parse_video(tag.body) if tag.kind == VIDEO and tag.body else None
        if isinstance(video, VideoFrame) and video.data:
            self.keyframe_seen = self.keyframe_seen or video.keyframe
            self._picture(tag.timestamp, video, now_ns)

    def _picture(self, timestamp: int, video: VideoFrame, now_ns: int) -> None:
        if self.measuring:
            self.pictures.append((timestamp, self._unwritten))
            sent_ns = find_ns(video.data)
            if sent_ns is not None:
                self.latencies_ns.append(now_ns - sent_ns)
        self._unwritten = 0

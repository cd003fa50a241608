"""Two fields made into one picture. Only pictures that say they are interlaced are touched."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph

__all__ = ["Deinterlacer"]

FILTER = "bwdif=mode=send_frame:parity=auto:deint=interlaced"


class Deinterlacer:
    """`push` a picture, get those that are ready: it looks at the next one first, so it is one behind.

    Pictures keep their pts; a change of size or format begins anew by itself. av.FFmpegError.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None

    def push(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        shape = (frame.width, frame.height, frame.format.name)
        ready: list[av.VideoFrame] = []
        if self._graph is None or shape != self._shape:
            ready = self.flush()
            self._graph, self._shape = self._build(frame), shape
        self._graph.push(frame)
        return ready + self._pull(self._graph)

    def flush(self) -> list[av.VideoFrame]:
        """What it has held back. The next picture begins anew."""
        graph, self._graph = self._graph, None
        if graph is None:
            return []
        graph.push(None)
        return self._pull(graph)

    def _build(self, like: av.VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=self._time_base)
        name, _, arguments = FILTER.partition("=")
        middle, sink = graph.add(name, arguments), graph.add("buffersink")
        source.link_to(middle)
        middle.link_to(sink)
        graph.configure()
        return graph

    def _pull(self, graph: Graph) -> list[av.VideoFrame]:
        ready: list[av.VideoFrame] = []
        while True:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return ready
            assert isinstance(frame, av.VideoFrame)
            # the filter counts in halves of its input's time base
            frame.pts = round((frame.pts or 0) * (frame.time_base or self._time_base) / self._time_base)
            frame.time_base = self._time_base
            ready.append(frame)

"""The worker's pictures: what the node asks goes to the graph, and what the graph's threads make goes to the node."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from ingest.transcode_messages import (
    ForceKeyframe,
    LiveFrom,
    Message,
    SourceTrack,
    SourceUnit,
    StartRung,
    StopRung,
)
from ingest.video_graph import VideoGraph

__all__ = ["REPORT_INTERVAL", "PictureLane"]

Say = Callable[[Message], None]
NICE = 5
"""Sound and the node itself come first: this is a third of their share where all are busy."""
REPORT_INTERVAL = 1.0
"""Seconds between reports, while pictures come."""


class PictureLane:
    """`handle` never waits: the graph has threads of its own, and they call `say`.

    The graph begins with the first message about pictures. A worker that only makes sound has none.
    """

    def __init__(self, say: Say, new_graph: Callable[[Say], VideoGraph] = VideoGraph) -> None:
        self._say = say
        self._new_graph = new_graph
        self._graph: VideoGraph | None = None
        self._reported_at = float("-inf")

    def handle(self, message: Message) -> None:
        graph = self._graph = self._graph or self._begin()
        match message:
            case SourceUnit():
                self._report(graph)  # before it: a unit that has just come is not behind
                graph.feed(message)
            case SourceTrack():
                graph.source(message)
            case StartRung():
                graph.start(message)
            case StopRung():
                graph.stop(message.output)
            case ForceKeyframe():
                graph.force_keyframe()
            case LiveFrom():
                graph.live_from(message.pts)

    def close(self) -> None:
        """End all threads."""
        if self._graph is not None:
            self._graph.close()

    def _begin(self) -> VideoGraph:
        """Threads inherit how urgent they are from the one that starts them, so the graph is started by such a one."""
        graphs: list[VideoGraph] = []

        def begin() -> None:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
            graphs.append(self._new_graph(self._say))

        starter = threading.Thread(target=begin)
        starter.start()
        starter.join()
        return graphs[0]

    def _report(self, graph: VideoGraph) -> None:
        now = time.monotonic()
        if now - self._reported_at < REPORT_INTERVAL:
            return
        self._reported_at = now
        source, rungs = graph.report()
        self._say(source)
        for report in rungs:
            self._say(report)

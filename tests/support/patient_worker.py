"""The real worker with encoders that are never late: how busy the machine is does not show in what they make."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ingest.transcode_messages import Message
from ingest.transcode_worker import Lanes, main
from ingest.video_graph import GraphLimits, VideoGraph

LIMITS = GraphLimits(max_lag_ms=20_000)


class PatientLanes(Lanes):
    def __init__(self, send: Callable[[Message], None], say: Callable[[Message], None]) -> None:
        super().__init__(send, say, lambda emit: VideoGraph(emit, LIMITS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], PatientLanes))

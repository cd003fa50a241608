"""Which rooms are recorded: the patterns of the configuration, applied to streams as they come and as it changes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase

from media.hub import Hub
from media.stream import Stream
from relay.recorder import Recorder, Recording

__all__ = ["Recordings"]

_log = logging.getLogger(__name__)


class Recordings:
    """Records the rooms that `patterns` name: `*` stands for any letters, `?` for one."""

    def __init__(self, hub: Hub, recorder: Recorder, patterns: Sequence[str]) -> None:
        self.recorder = recorder
        self._hub = hub
        self._patterns = tuple(patterns)

    def consider(self, stream: Stream) -> None:
        """Record this stream, if its room is to be recorded. The same stream again changes nothing."""
        if not self._wants(stream.key):
            return
        try:
            self.recorder.record(stream)
        except (ValueError, RuntimeError) as exc:  # a name that is no file's, or the node is stopping
            _log.error("not recorded: %s", exc, extra={"room": stream.key})

    def set_patterns(self, patterns: Sequence[str]) -> None:
        """Begin and end recordings as these patterns have it."""
        self._patterns = tuple(patterns)
        for recording in self.recorder.recordings:
            if not self._wants(recording.stream.key):
                recording.stop()
        for stream in self._hub.streams:
            self.consider(stream)

    def of(self, stream: Stream) -> Recording | None:
        """The recording of this stream that is being written."""
        return next((r for r in self.recorder.recordings if r.stream is stream), None)

    def _wants(self, room: str) -> bool:
        return any(fnmatchcase(room, pattern) for pattern in self._patterns)

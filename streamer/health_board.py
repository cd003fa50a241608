"""The health of every stream: one monitor for each publisher, asked by the API, the pages and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ingest.health import HealthMonitor
from ingest.health_findings import by_severity
from ingest.health_values import Finding, Health, IngestCounters
from media.clock import Clock
from media.hub import Hub
from media.publisher import Publisher
from media.stream import Stream

__all__ = ["HealthBoard"]

MAX_AGE_S = 1.0
"""A report takes about a millisecond, and many may ask: within a second all get the same."""


@dataclass(slots=True)
class _Watched:
    stream: Stream
    monitor: HealthMonitor
    report: Health | None = None
    reported_at: float = 0.0


class HealthBoard:
    """`watch` each new publisher; `prune` about once a second. What it says stays while a publisher may come back.

    `more` finds what is wrong with a stream besides what its publisher sends.
    """

    def __init__(self, hub: Hub, clock: Clock, more: Callable[[Stream], Iterable[Finding]] = lambda stream: ()) -> None:
        self._hub = hub
        self._more = more
        self._clock = clock
        self._watched: dict[str, _Watched] = {}

    def watch(self, publisher: Publisher) -> None:
        """Observe what this publisher sends from now on."""
        monitor = HealthMonitor()
        self._watched[publisher.stream.key] = _Watched(publisher.stream, monitor)
        publisher.observe = monitor.observe

    def report(self, stream: Stream) -> Health | None:
        """At most MAX_AGE_S old. None for a stream that nobody watches."""
        watched = self._watched.get(stream.key)
        if watched is None or watched.stream is not stream:
            return None
        now = self._clock.now()
        if watched.report is None or now - watched.reported_at >= MAX_AGE_S:
            watched.monitor.declared_frame_rate = stream.declared_frame_rate
            report = watched.monitor.report(now, _counters(stream))
            watched.report = replace(report, findings=by_severity((*report.findings, *self._more(stream))))
            watched.reported_at = now
        return watched.report

    def prune(self) -> None:
        """Forget the streams that have ended."""
        self._watched = {key: w for key, w in self._watched.items() if self._hub.get(key) is w.stream}


def _counters(stream: Stream) -> IngestCounters:
    return IngestCounters(dict(stream.drops), stream.timeline.rebases, stream.oversized_gops)

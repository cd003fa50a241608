"""What the node tells about itself: plain counters of the lower floors, written in Prometheus' text format."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from media.histogram import Histogram

__all__ = ["LoopLag", "Metrics", "Sample", "histogram_samples", "process_samples"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' exposition format, text version."""
LAG_INTERVAL_S = 0.25
"""Four wake-ups a second cost nothing and catch any stall that a viewer could see."""
LAG_WINDOW_S = 15.0
"""The usual scrape interval: each stall is seen by at least one scrape."""
LAG_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds: from nothing to what no viewer's buffer hides."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One number. `name` is a Prometheus name in base units; a counter's ends in `_total`.

    `suffix` is for the parts of a histogram: `_bucket`, `_sum` or `_count`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


Source = Callable[[], Iterable[Sample]]


def histogram_samples(name: str, about: str, histogram: Histogram) -> Iterator[Sample]:
    """The parts of one histogram: how many values were at most each bound, all of them, and their sum."""
    below = 0
    for bound, count in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
        below += count
        yield Sample(name, "histogram", about, below, {"le": _number(bound)}, "_bucket")
    yield Sample(name, "histogram", about, histogram.sum, suffix="_sum")
    yield Sample(name, "histogram", about, below, suffix="_count")


class Metrics:
    """Asks its sources when somebody scrapes, and keeps nothing itself."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add_source(self, source: Source) -> None:
        """`source()` gives the samples of one part at this moment. It must not block."""
        self._sources.append(source)

    def render(self) -> str:
        """Everything, as text. Samples of one name stand together below one HELP and TYPE line, as the format wants."""
        families: dict[str, list[Sample]] = {}
        for source in self._sources:
            for sample in source():
                families.setdefault(sample.name, []).append(sample)
        return "".join(line + "\n" for samples in families.values() for line in _family(samples))


class LoopLag:
    """How late the event loop is: all wake-ups, and the worst in the last seconds."""

    def __init__(self) -> None:
        self.histogram = Histogram(LAG_BOUNDS)
        self._seen: deque[tuple[float, float]] = deque(maxlen=math.ceil(LAG_WINDOW_S / LAG_INTERVAL_S))

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            now = loop.time()
            self.note(now - due, now)

    def note(self, lag_s: float, now: float) -> None:
        """Add one measurement, made at monotonic time `now`."""
        self._seen.append((now, max(0.0, lag_s)))
        self.histogram.observe(max(0.0, lag_s))

    def worst_s(self, now: float) -> float:
        """The largest of the last LAG_WINDOW_S seconds."""
        return max((lag for at, lag in self._seen if now - at <= LAG_WINDOW_S), default=0.0)

    def samples(self) -> Iterator[Sample]:
        """For Metrics."""
        worst = self.worst_s(time.monotonic())
        yield Sample(
            "streamer_event_loop_lag_worst_seconds",
            "gauge",
            f"Worst event loop lag of the last {LAG_WINDOW_S:g} s",
            worst,
        )
        yield from histogram_samples(
            "streamer_event_loop_lag_seconds", "How late the event loop's wake-ups were", self.histogram
        )


def process_samples() -> Iterator[Sample]:
    """CPU time, memory, descriptors and garbage collection, under the names that Prometheus' own clients use."""
    used = os.times()
    yield Sample("process_cpu_seconds_total", "counter", "User and system CPU time", used.user + used.system)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Sample("process_max_fds", "gauge", "Limit on open file descriptors", limit)
    proc = Path("/proc/self")
    if proc.is_dir():  # Linux only
        pages = int((proc / "statm").read_text().split()[1])
        memory = pages * resource.getpagesize()
        yield Sample("process_resident_memory_bytes", "gauge", "Memory in RAM", memory)
        open_files = len(os.listdir(proc / "fd"))
        yield Sample("process_open_fds", "gauge", "Open file descriptors", open_files)
    yield from _collector_samples()


def _collector_samples() -> Iterator[Sample]:
    for generation, counts in enumerate(gc.get_stats()):
        labels = {"generation": str(generation)}
        yield Sample(
            "python_gc_collections_total", "counter", "Runs of the garbage collector", counts["collections"], labels
        )
        yield Sample(
            "python_gc_objects_collected_total", "counter", "Objects that it collected", counts["collected"], labels
        )


def _family(samples: list[Sample]) -> Iterator[str]:
    first = samples[0]
    yield f"# HELP {first.name} {_escape(first.help, quotes=False)}"
    yield f"# TYPE {first.name} {first.kind}"
    for sample in samples:
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels.items())
        yield f"{sample.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}"


def _escape(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN" if math.isnan(value) else repr(value))

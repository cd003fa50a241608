"""What the node tells about itself: plain counters of the lower floors, written in Prometheus' text format."""

from __future__ import annotations

import asyncio
import math
import os
import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["LoopLag", "Metrics", "Sample", "process_samples"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' exposition format, text version."""
LAG_INTERVAL_S = 0.25
"""Four wake-ups a second cost nothing and catch any stall that a viewer could see."""
LAG_WINDOW_S = 15.0
"""The usual scrape interval: each stall is seen by at least one scrape."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One number. `name` is a Prometheus name in base units; a counter's ends in `_total`."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


Source = Callable[[], Iterable[Sample]]


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
    """How late the event loop is: the worst wake-up in the last seconds."""

    def __init__(self) -> None:
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

    def worst_s(self, now: float) -> float:
        """The largest of the last LAG_WINDOW_S seconds."""
        return max((lag for at, lag in self._seen if now - at <= LAG_WINDOW_S), default=0.0)

    def samples(self) -> Iterator[Sample]:
        """For Metrics."""
        worst = self.worst_s(time.monotonic())
        yield Sample(
            "streamer_event_loop_lag_seconds", "gauge", f"Worst event loop lag of the last {LAG_WINDOW_S:g} s", worst
        )


def process_samples() -> Iterator[Sample]:
    """CPU time, memory and file descriptors of this process, under the names that Prometheus' own clients use."""
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


def _family(samples: list[Sample]) -> Iterator[str]:
    first = samples[0]
    yield f"# HELP {first.name} {_escape(first.help, quotes=False)}"
    yield f"# TYPE {first.name} {first.kind}"
    for sample in samples:
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels.items())
        yield f"{sample.name}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}"


def _escape(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN" if math.isnan(value) else repr(value))

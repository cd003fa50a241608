"""What a load bench does whatever its viewers speak: publish, start viewers, look at the server, and tell the costs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from typing import Any, Generic, Protocol, TypeVar

from bench.children import Child
from bench.clip import ClipOptions
from bench.kernel_drops import kernel_drops
from bench.node_metrics import Counts, scrape
from bench.process_figures import Memory, cpu_seconds, memory
from bench.publisher import run_publisher
from bench.viewers import REQUEST_TIMEOUT_S, START, STOP

__all__ = [
    "ANSWER_S",
    "FLOOR_S",
    "START_UP_S",
    "LoadFigures",
    "LoadOptions",
    "Look",
    "Measured",
    "MemoryAt",
    "Reported",
    "load_figures",
    "load_notes",
    "machine",
    "measure",
    "play_floor",
    "publishing",
    "shares",
]

START_UP_S = 60.0  # for a process to import, to encode a clip, to connect
ANSWER_S = 60.0
FLOOR_S = 10.0  # at most; a bare loop has no slow effects to wait for
LOOK_S = 15.0  # between two looks at the server in a long window; its worst loop lag is that of the last 15 s
BUSY = 90  # percent of a core from which a viewer process is the limit


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What every load bench is told. `pid` is the server's process; `ramp` is viewers that join in a second.

    `settle` is how many seconds to wait after publishing began, for a whole GOP to be there, and again after the last
    viewer joined, for the bursts that joiners get to be over.
    """

    url: str
    viewers: int
    seconds: float
    pid: int | None = None
    publish: str | None = None
    bitrate: int = 2_500_000
    audio: bool = True
    ramp: float = 50.0
    processes: int = 1
    settle: float = 5.0
    floor: bool = True


class Reported(Protocol):
    """What every viewer process reports of itself."""

    seconds: float
    cpu_seconds: float


Report = TypeVar("Report", bound=Reported)
Figure = TypeVar("Figure")


@dataclass(frozen=True, slots=True)
class Look:
    """The server `at` seconds of the window: processor time so far, memory, its metrics. None: that is not known.
    `own_cpu_seconds` and `own_memory` are its process alone, without children. `kernel_drops` are the machine's.
    """

    at: float
    cpu_seconds: float | None
    memory: Memory | None
    own_cpu_seconds: float | None
    own_memory: Memory | None
    counts: Counts | None
    kernel_drops: dict[str, int]


@dataclass(frozen=True, slots=True)
class Measured(Generic[Report]):
    """What the processes reported, and the server: `before` any viewer came, then from start to end of the window."""

    reports: list[Report]
    seconds: float
    before: Memory | None
    looks: list[Look]

    @property
    def cpu(self) -> float | None:
        """Percent of a core over the window."""
        first, last = self.looks[0].cpu_seconds, self.looks[-1].cpu_seconds
        return None if first is None or last is None else 100 * (last - first) / self.seconds

    @property
    def own_cpu(self) -> float | None:
        """The same of the process alone."""
        first, last = self.looks[0].own_cpu_seconds, self.looks[-1].own_cpu_seconds
        return None if first is None or last is None else 100 * (last - first) / self.seconds

    @property
    def memory(self) -> Memory | None:
        """At the end."""
        return self.looks[-1].memory

    @property
    def load(self) -> list[float]:
        """Percent of a core of each viewer process."""
        return [100 * report.cpu_seconds / report.seconds for report in self.reports]

    def growth(self, name: str, viewers: int) -> float | None:
        """Bytes of "rss" or "pss" a viewer, since before they came."""
        if self.before is None or self.memory is None:
            return None
        grown: int = getattr(self.memory, name) - getattr(self.before, name)
        return grown / viewers


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """What every load bench tells of the run, the server and the load. Processor shares are percent of one core.

    `server_own_...` is the server's process without its children, as transcode workers.
    """

    conditions: dict[str, Any]
    seconds: float
    viewers_watching: int
    viewers_lost: dict[str, int]
    server_cpu: float | None
    server_cpu_per_viewer: float | None
    server_own_cpu_per_viewer: float | None
    server_own_memory: Memory | None
    server_memory_before: Memory | None
    server_memory: Memory | None
    server_memory_series: list[MemoryAt]
    server_rss_per_viewer: float | None
    server_pss_per_viewer: float | None
    load_cpu: list[float]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MemoryAt:
    """Bytes, `at` seconds of the window."""

    at: float
    rss: int
    pss: int


def load_figures(measured: Measured[Any], viewers: int, watching: int, lost: Mapping[str, int]) -> dict[str, Any]:
    """The fields of `LoadFigures` that are measured; `watching` viewers saw the end."""
    cpu, own_cpu = measured.cpu, measured.own_cpu
    return {
        "seconds": measured.seconds,
        "viewers_watching": watching,
        "viewers_lost": dict(lost),
        "server_cpu": cpu,
        "server_cpu_per_viewer": None if cpu is None else cpu / max(1, watching),
        "server_own_cpu_per_viewer": None if own_cpu is None else own_cpu / max(1, watching),
        "server_own_memory": measured.looks[-1].own_memory,
        "server_memory_before": measured.before,
        "server_memory": measured.memory,
        "server_memory_series": [
            MemoryAt(look.at, look.memory.rss, look.memory.pss) for look in measured.looks if look.memory is not None
        ],
        "server_rss_per_viewer": measured.growth("rss", viewers),
        "server_pss_per_viewer": measured.growth("pss", viewers),
        "load_cpu": measured.load,
    }


@contextmanager
def publishing(options: LoadOptions) -> Iterator[None]:
    """The stamped stream, where one is asked for, and time for its first whole groups of pictures."""
    if options.publish is None:
        yield
        return
    clip = ClipOptions(bitrate=options.bitrate, audio=options.audio)
    with Child("publisher", run_publisher, options.publish, clip) as publisher:
        publisher.hear(START_UP_S)
        time.sleep(options.settle)
        yield


def measure(
    options: LoadOptions, start: Callable[[ExitStack], Sequence[Child]], metrics: str | None = None
) -> Measured[Any]:
    """`start` starts the viewers' processes. `metrics` is a URL to look at as well."""
    before = memory(options.pid) if options.pid else None
    with ExitStack() as stack:
        viewers = start(stack)
        patience = START_UP_S + options.viewers / options.ramp + REQUEST_TIMEOUT_S
        for child in viewers:
            child.hear(patience)
        time.sleep(options.settle)
        for child in viewers:
            child.tell(START)
        looks = list(_look_on(options, metrics))
        for child in viewers:
            child.tell(STOP)
        reports = [child.hear(ANSWER_S) for child in viewers]
    return Measured(reports, looks[-1].at, before, looks)


def play_floor(options: LoadOptions, floor: Child, readers: Sequence[Child]) -> tuple[Any, list[Any]]:
    """Let the floor's process serve its readers, as long as the window was. What it reports, and what each of them."""
    everybody = (*readers, floor)
    for child in everybody:
        child.hear(START_UP_S)
    for child in everybody:
        child.tell(START)
    time.sleep(min(options.seconds, FLOOR_S))
    floor.tell(STOP)
    report = floor.hear(ANSWER_S)
    for reader in readers:
        reader.tell(STOP)
    return report, [reader.hear(ANSWER_S) for reader in readers]


def _look_on(options: LoadOptions, metrics: str | None) -> Iterator[Look]:
    """At the start, in the middle and at the end of the window, and every `LOOK_S` of a long one."""
    pauses = 2 * ceil(options.seconds / (2 * LOOK_S))
    begun = time.monotonic()
    for number in range(pauses + 1):
        due = begun + options.seconds * number / pauses
        time.sleep(max(0.0, due - time.monotonic()))
        counts = scrape(metrics) if metrics else None
        pid = options.pid
        yield Look(
            time.monotonic() - begun,
            _if_alive(cpu_seconds, pid),
            _if_alive(memory, pid),
            _if_alive(partial(cpu_seconds, alone=True), pid),
            _if_alive(partial(memory, alone=True), pid),
            counts,
            kernel_drops(),
        )


def _if_alive(measure: Callable[[int], Figure], pid: int | None) -> Figure | None:
    """None without a process, and for one that ended during the run: then the viewers' figures are what counts."""
    if pid is None:
        return None
    try:
        return measure(pid)
    except (ProcessLookupError, FileNotFoundError):
        return None


def shares(total: int, processes: int) -> list[tuple[int, int]]:
    """(first, count) of near-equal shares, none of them empty."""
    bounds = [total * k // min(processes, total) for k in range(min(processes, total) + 1)]
    return [(bounds[k], bounds[k + 1] - bounds[k]) for k in range(len(bounds) - 1)]


def machine() -> dict[str, Any]:
    """The conditions of a run that are the machine's."""
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def load_notes(options: LoadOptions, measured: Measured[Any], lost: int) -> Iterator[str]:
    """What a reader of any load bench's figures must know before believing them."""
    if any(share > BUSY for share in measured.load):
        yield f"a viewer process used over {BUSY} % of a core: the load was the limit, use more --processes"
    if options.pid and (measured.cpu is None or measured.memory is None):
        yield f"the server's process {options.pid} ended during the run: its cost is not known"
    if lost:
        yield f"{lost} viewers were lost, figures are of those that watched to the end"

"""How many processors this process may use, and how many of them had nothing to do lately."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["IdleMeter", "own_groups", "usable_cores"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_STAT = Path("/proc/stat")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class _Reading:
    """Seconds: when it was read, what all usable processors had idled, and what `group` had used by then."""

    at: float
    idle: float
    group: Path | None
    used: float


def usable_cores() -> float:
    """Processors that this process may use, less where its container is granted less."""
    return min(float(len(os.sched_getaffinity(0))), _quota(own_groups())[0])


def own_groups(own: Path = _OWN_GROUP, root: Path = _GROUPS) -> tuple[Path, ...]:
    """The folders of this process' cgroup and those above it (cgroups(7), version 2). A container's own is its root."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            hierarchy, _, path = line.split(":", 2)
            group = Path(path.lstrip("/"))
            if hierarchy == "0" and ".." not in group.parts:
                return tuple(root / each for each in (group, *group.parents))
    return (root,)


class IdleMeter:
    """`read` now and then: idle cores since the last time. None the first time, and where nobody tells."""

    def __init__(self, stat: Path = _STAT, groups: Sequence[Path] | None = None) -> None:
        self._stat = stat
        self._groups = own_groups() if groups is None else groups
        self._before: _Reading | None = None

    @property
    def cores(self) -> float:
        """Processors that this process may use."""
        return min(float(len(os.sched_getaffinity(0))), _quota(self._groups)[0])

    def read(self, now: float) -> float | None:
        """`now` is seconds of a monotonic clock."""
        quota, group = _quota(self._groups)
        idle, used = self._idle_seconds(), _used_seconds(group)
        before, self._before = self._before, None if idle is None else _Reading(now, idle, group, used)
        if before is None or idle is None or now <= before.at or before.group != group:
            return None
        seconds = now - before.at
        left = quota - (used - before.used) / seconds
        return max(0.0, min(self.cores, (idle - before.idle) / seconds, left))

    def forget(self) -> None:
        """The next reading begins anew."""
        self._before = None

    def _idle_seconds(self) -> float | None:
        """proc(5): after the name of the processor: user, nice, system, idle, iowait."""
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        try:
            rows = [line.split() for line in self._stat.read_text().splitlines()]
        except OSError:
            return None
        values = [int(row[4]) + int(row[5]) for row in rows if row and row[0] in usable]
        return sum(values) / _TICKS_PER_SECOND if values else None


def _quota(groups: Sequence[Path]) -> tuple[float, Path | None]:
    """The narrowest quota in cores, and the group that has it. cpu.max: the quota or `max`, and the period."""
    found: tuple[float, Path | None] = (math.inf, None)
    for group in groups:
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            if quota != "max" and int(quota) / int(period) < found[0]:
                found = int(quota) / int(period), group
    return found


def _used_seconds(group: Path | None) -> float:
    """What all processes of the group have used."""
    if group is not None:
        with suppress(OSError, ValueError):
            for line in (group / "cpu.stat").read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "usage_usec":
                    return int(value) / 1_000_000
    return 0.0

"""What a server costs, from /proc: processor time and memory of a process and everything below it (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory", "cpu_seconds", "memory", "process_tree"]

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident and proportional set size, bytes. Socket buffers are the kernel's and in neither."""

    rss: int
    pss: int


def process_tree(pid: int) -> list[int]:
    """The process and its living descendants. ProcessLookupError when it does not run."""
    if not (PROC / str(pid)).is_dir():
        raise ProcessLookupError(f"no process {pid}")
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [pid]
    for member in tree:  # grows while it is walked
        tree += parents.get(member, [])
    return tree


def cpu_seconds(pid: int, *, alone: bool = False) -> float:
    """User and system time of the tree so far, in steps of 10 ms; children that ended and were waited for included.

    With `alone` of the process itself, without any child.
    """
    fields = [_stat(member) for member in _members(pid, alone=alone)]
    times = slice(11, 13) if alone else slice(11, 15)
    ticks = sum(int(value) for stat in fields if stat is not None for value in stat[times])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int, *, alone: bool = False) -> Memory:
    """Of the tree, or of the process itself. PermissionError for another user's process."""
    totals = {"Rss:": 0, "Pss:": 0}
    for member in _members(pid, alone=alone):
        for line in (PROC / str(member) / "smaps_rollup").read_text().splitlines():
            name, *rest = line.split()
            if name in totals:
                totals[name] += int(rest[0]) * 1024
    return Memory(totals["Rss:"], totals["Pss:"])


def _members(pid: int, *, alone: bool) -> list[int]:
    return process_tree(pid)[:1] if alone else process_tree(pid)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on: state, parent, ... None when it has just ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()

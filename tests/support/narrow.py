"""A wire from this machine to a network namespace, whose width a test sets."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Wire", "narrow_wire"]

_numbers = itertools.count(1)
BURST = 6000
"""Bytes that pass at once: a few packets."""
QUEUE_MS = 250
"""What a narrow wire keeps before it drops: as much as home routers."""


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@dataclass(frozen=True, slots=True)
class Wire:
    """`address` is this machine's end; a program with `prefix` before it runs at the other one."""

    name: str
    address: str
    prefix: tuple[str, ...]

    def limit(self, kbit: int | None) -> None:
        """So many kilobits a second from here on; None for as many as there are."""
        if kbit is None:
            subprocess.run(["tc", "qdisc", "del", "dev", self.name, "root"], check=False, capture_output=True)
            return
        rate = ["rate", f"{kbit}kbit", "burst", str(BURST), "latency", f"{QUEUE_MS}ms"]
        _run("tc", "qdisc", "replace", "dev", self.name, "root", "tbf", *rate)

    def program(self, executable: str, folder: Path) -> str:
        """A command that starts it at the other end."""
        script = folder / f"inside-{self.name}"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self.prefix)} {executable} "$@"\n')
        script.chmod(0o755)
        return str(script)


@contextmanager
def narrow_wire() -> Iterator[Wire]:
    """Skips where namespaces or traffic control are missing."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"):
        pytest.skip("a narrow wire needs root, ip and tc")
    number = next(_numbers)
    name, end = f"st{os.getpid()}n{number}"[:14], f"se{os.getpid()}n{number}"[:14]
    space = f"streamer-narrow-{os.getpid()}-{number}"
    subnet = f"10.{77 + os.getpid() % 100}.{number}"
    _run("ip", "netns", "add", space)
    try:
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", end, "netns", space)
        _run("ip", "addr", "add", f"{subnet}.1/24", "dev", name)
        _run("ip", "link", "set", name, "up")
        _run("ip", "-n", space, "addr", "add", f"{subnet}.2/24", "dev", end)
        _run("ip", "-n", space, "link", "set", end, "up")
        _run("ip", "-n", space, "link", "set", "lo", "up")
        _run("ip", "-n", space, "route", "add", "default", "via", f"{subnet}.1")
        yield Wire(name, f"{subnet}.1", ("ip", "netns", "exec", space))
    finally:
        _run("ip", "netns", "del", space)

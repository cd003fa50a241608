"""A network of its own for a test, and what is done to its wire."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.network import Network, NoNetwork

__all__ = ["limit", "or_skip", "program_inside"]

BURST = 6000
"""Bytes that pass at once: a few packets."""
QUEUE_MS = 250
"""What a narrow wire keeps before it drops: as much as home routers."""


@contextmanager
def or_skip(network: AbstractContextManager[Network]) -> Iterator[Network]:
    """The network; where there can be none, the test is skipped."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(network)
        except NoNetwork as exc:
            pytest.skip(str(exc))
        yield found


def program_inside(network: Network, executable: str, folder: Path) -> str:
    """A command that starts it in the namespace."""
    script = folder / f"inside-{network.name}"
    script.write_text(f'#!/bin/sh\nexec {" ".join(network.prefix)} {executable} "$@"\n')
    script.chmod(0o755)
    return str(script)


def limit(network: Network, kbit: int | None) -> None:
    """The wire carries so many kilobits a second to the namespace from here on; None for as many as there are."""
    if not shutil.which("tc"):
        pytest.skip("a narrow wire needs the program tc")
    where = ("dev", network.device, "root")
    if kbit is None:
        subprocess.run(["tc", "qdisc", "del", *where], check=True, capture_output=True)
        return
    rate = ("rate", f"{kbit}kbit", "burst", str(BURST), "latency", f"{QUEUE_MS}ms")
    subprocess.run(["tc", "qdisc", "replace", *where, "tbf", *rate], check=True, capture_output=True)

"""A path that loses packets: a network namespace for the server, and a firewall rule in front of it.

Needs root, `ip` and `nft`. The viewers stay outside, so that what they are sent passes the rule on any transport.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import AbstractContextManager
from types import TracebackType

__all__ = ["LossyNetwork", "NoNetwork"]

MIN_SIZE = 300
"""Bytes. Only pictures are lost, so that a run's loss is the loss that was asked for: what is smaller is sound and
answers.
"""
_RULE = """
table inet sync {{
    chain out {{
        type filter hook output priority 0;
        oifname "{device}" meta length > {size} numgen random mod 1000 < {loss} counter drop
    }}
}}
"""


class NoNetwork(OSError):
    """This machine or this user cannot make one. The sentence says why."""


class LossyNetwork(AbstractContextManager["LossyNetwork"]):
    """`host` is the address that servers inside bind to; `prefix` goes in front of the command that starts one."""

    def __init__(self, loss_percent: float) -> None:
        self._loss = round(10 * loss_percent)
        self._name = f"streamer-sync-{os.getpid()}"
        self._outer, self._inner = f"so{os.getpid()}", f"si{os.getpid()}"
        # RFC 2544, C.2.2: addresses for benchmarks; a pair for each process
        low = (os.getpid() << 2) & 0x1FFFC
        self.host = f"198.{18 + (low >> 16)}.{low >> 8 & 255}.{(low & 255) + 1}"
        self._gateway = f"198.{18 + (low >> 16)}.{low >> 8 & 255}.{(low & 255) + 2}"
        self.prefix = ("ip", "netns", "exec", self._name)

    def __enter__(self) -> LossyNetwork:
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
            raise NoNetwork("loss needs a network namespace with a firewall rule: root, ip and nft")
        _ip("netns", "add", self._name)
        try:
            self._connect()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._remove()

    def _connect(self) -> None:
        inside = ("-n", self._name)
        _ip("link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self._name)
        _ip("addr", "add", f"{self._gateway}/30", "dev", self._outer)
        _ip("link", "set", self._outer, "up")
        _ip(*inside, "addr", "add", f"{self.host}/30", "dev", self._inner)
        for device in ("lo", self._inner):
            _ip(*inside, "link", "set", device, "up")
        _ip(*inside, "route", "add", "default", "via", self._gateway)
        rule = _RULE.format(device=self._inner, size=MIN_SIZE, loss=self._loss)
        _run("ip", "netns", "exec", self._name, "nft", "-f", "-", text=rule)

    def _remove(self) -> None:
        _ip("netns", "del", self._name)  # the pair of devices goes with it


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str, text: str = "") -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNetwork(f"{' '.join(words)}: {done.stderr.strip() or f'exit code {done.returncode}'}")

"""A network of its own on this machine: a namespace at the far end of a wire, and one whose wire loses packets.

Needs root, `ip` and `nft`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

__all__ = ["MIN_LOST_SIZE", "Network", "NoNetwork", "lossy_network", "own_network"]

MIN_LOST_SIZE = 300
"""Bytes. Only pictures are lost, so that a run's loss is the loss that was asked for: what is smaller is sound and
answers.
"""
_LOSS = """
table inet {name} {{
    chain in {{
        type filter hook prerouting priority 0;
        iifname "{device}" meta length > {size} numgen random mod 1000 < {loss} counter drop
    }}
}}
"""
"""On this machine's side of the wire: where a packet is sent, one buffer may still be many."""


class NoNetwork(OSError):
    """This machine or this user cannot make one. The sentence says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """A program with `prefix` before its command runs in the namespace `name`. `inside` is the address there and
    `far_device` the wire's end, `outside` and `device` are this machine's.
    """

    name: str
    inside: str
    far_device: str
    outside: str
    device: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self.name


@contextmanager
def own_network(rules: str = "") -> Iterator[Network]:
    """`rules` are of a firewall inside, in the language of `nft`. One at a time for each process. Raises NoNetwork."""
    _need("ip", "nft")
    pid = os.getpid()
    # RFC 2544, C.2.2: addresses for benchmarks; a pair for each process
    low = (pid << 2) & 0x1FFFC
    subnet = f"198.{18 + (low >> 16)}.{low >> 8 & 255}"
    inside, outside = f"{subnet}.{(low & 255) + 1}", f"{subnet}.{(low & 255) + 2}"
    network = Network(f"streamer-{pid}", inside, f"si{pid}", outside, f"so{pid}")
    there = ("ip", "-n", network.name)
    with ExitStack() as made:
        _run("ip", "netns", "add", network.name)
        made.callback(_run, "ip", "netns", "del", network.name)
        _run(
            "ip",
            "link",
            "add",
            network.device,
            "type",
            "veth",
            "peer",
            "name",
            network.far_device,
            "netns",
            network.name,
        )
        # takes the far end along, at once; the namespace's own end would do so some time later
        made.callback(_run, "ip", "link", "del", network.device)
        _run("ip", "addr", "add", f"{outside}/30", "dev", network.device)
        _run("ip", "link", "set", network.device, "up")
        _run(*there, "addr", "add", f"{inside}/30", "dev", network.far_device)
        for device in ("lo", network.far_device):
            _run(*there, "link", "set", device, "up")
        _run(*there, "route", "add", "default", "via", outside)
        _run(*network.prefix, "nft", "-f", "-", text=rules)
        yield network


@contextmanager
def lossy_network(percent: float) -> Iterator[Network]:
    """What is sent from inside is lost with this chance, packet by packet. Raises NoNetwork."""
    with own_network() as network:
        # what the kernel was given as one buffer (UDP_SEGMENT, TSO) is cut up before the wire
        _run("ip", "-n", network.name, "link", "set", network.far_device, "gso_max_segs", "1")
        rule = _LOSS.format(name=network.name, device=network.device, size=MIN_LOST_SIZE, loss=round(10 * percent))
        _run("nft", "-f", "-", text=rule)
        try:
            yield network
        finally:
            _run("nft", "delete", "table", "inet", network.name)


def _need(*programs: str) -> None:
    if os.geteuid() != 0 or not all(map(shutil.which, programs)):
        raise NoNetwork(f"a network of its own needs root and the programs {' and '.join(programs)}")


def _run(*words: str, text: str = "") -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNetwork(f"{' '.join(words)}: {done.stderr.strip() or f'exit code {done.returncode}'}")

"""What the operating system must allow before thousands of sockets can be opened."""

from __future__ import annotations

import ipaddress
import resource

__all__ = ["allow_open_files", "source_address"]

SPARE_FILES = 256  # beside the viewers: libraries, pipes, logs
PER_ADDRESS = 20_000  # connections from one address to one port: Linux gives out 28,232 local ports by default


def allow_open_files(sockets: int) -> None:
    """Raise RLIMIT_NOFILE as needed; ValueError with both numbers when the hard limit is too low."""
    needed = sockets + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(f"{sockets} viewers need {needed} open files, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def source_address(host: str, number: int, total: int) -> str | None:
    """Where viewer `number` of `total` connects from; None lets the kernel choose.

    On loopback any 127.x.y.z is ours, so that a run over the port limit is spread over several addresses.
    """
    if total <= PER_ADDRESS or not _is_loopback(host):
        return None
    return f"127.0.0.{2 + number // PER_ADDRESS}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

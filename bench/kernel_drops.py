"""Where this machine's kernel lost datagrams, for all sockets of the network namespace (proc(5), udp(7))."""

from __future__ import annotations

from pathlib import Path

__all__ = ["kernel_drops"]

NET = Path("/proc/self/net")
_SNMP = {
    "receive buffer": "RcvbufErrors",
    "send buffer": "SndbufErrors",
    "memory": "MemErrors",  # udp_mem, the limit of all UDP sockets together
}
_DROPPED = 1  # column of softnet_stat: packets that a CPU's backlog (net.core.netdev_max_backlog) had no room for


def kernel_drops() -> dict[str, int]:
    """Counts since the namespace was made, of IPv4 and IPv6, by the place of the loss."""
    values = _snmp(NET / "snmp", "Udp") | {f"6{k}": v for k, v in _snmp6(NET / "snmp6").items()}
    drops = {place: values.get(name, 0) + values.get(f"6{name}", 0) for place, name in _SNMP.items()}
    return drops | {"backlog": _backlog_drops()}


def _snmp(path: Path, protocol: str) -> dict[str, int]:
    """Two lines for a protocol: the names, then the numbers."""
    lines = [line.split() for line in _lines(path) if line.startswith(f"{protocol}:")]
    return {name: int(value) for name, value in zip(lines[0][1:], lines[1][1:], strict=False)} if len(lines) > 1 else {}


def _snmp6(path: Path) -> dict[str, int]:
    pairs = [line.split() for line in _lines(path) if line.startswith("Udp6")]
    return {name.removeprefix("Udp6"): int(value) for name, value in pairs}


def _backlog_drops() -> int:
    return sum(int(line.split()[_DROPPED], 16) for line in _lines(NET / "softnet_stat"))


def _lines(path: Path) -> list[str]:
    """No lines where this kernel has no such file."""
    return path.read_text().splitlines() if path.exists() else []

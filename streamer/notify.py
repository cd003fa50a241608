"""Telling systemd how the node is (sd_notify(3)): ready, reloading, stopping."""

from __future__ import annotations

import logging
import os
import socket
import time

__all__ = ["notify"]

_log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send one state, such as `READY=1`, to the service manager. Nothing happens where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if state == "RELOADING=1":  # required with it since systemd 253, so that answers cannot be mixed up
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    # A name that begins with @ is in Linux's abstract namespace.
    path = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state.encode(), path)
    except OSError as exc:
        _log.warning("the service manager cannot be told %s: %s", state.partition("=")[0], exc.strerror)

"""The demo host as a process of its own beside the node: an ordinary publisher, started and ended with it."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Sequence

from streamer.address import Address
from streamer.config import LogSettings
from streamer.logs import set_up_logs

__all__ = ["SHOW_VARIABLES", "URL_VARIABLE", "DemoHost", "begin_as_child", "demo_show", "demo_url"]

URL_VARIABLE = "DEMO_HOST_URL"
"""The address travels in the environment: it holds a key, and every user of the machine can read command lines."""
PARENT_VARIABLE = "DEMO_HOST_PARENT"
"""The node's process id: a host whose node has died already must not begin."""
SHOW_VARIABLES = ("DEMO_SHOW_URL", "DEMO_SHOW_TOKEN")
"""The room for the demo's products and words, and a token of a back end."""
LOG_VARIABLES = ("DEMO_HOST_LOG_LEVEL", "DEMO_HOST_LOG_FORMAT")
PR_SET_PDEATHSIG = 1
"""prctl(2)."""
COMMAND = (sys.executable, "-m", "streamer", "demo")
RESTART_AFTER_S = 2.0
"""A host that cannot start must not spin."""
STOP_TIMEOUT_S = 5.0
"""Time to send its last words (FCUnpublish, deleteStream) before it is killed."""

_log = logging.getLogger(__name__)


def demo_url(rtmp: Address, room: str, secret: str) -> str:
    """Where the demo host publishes: `room` of the node that listens at `rtmp`, over loopback if it can."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(rtmp.host, rtmp.host)
    return f"rtmp://{Address(host, rtmp.port)}/live/{room}?key={secret}"


def demo_show(http: Address, room: str, token: str) -> tuple[str, str]:
    """Where the demo's show speaks to `room` of the node that listens at `http`, and with which token."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(http.host, http.host)
    return f"http://{Address(host, http.port)}/rooms/{room}", token


def begin_as_child() -> None:
    """In the demo host's process: end with the node, however that ends, and log as it does. Raises SystemExit."""
    level, style = (os.environ.get(name) for name in LOG_VARIABLES)
    if level and style:
        set_up_logs(LogSettings(level=level, format=style))
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the call above
        raise SystemExit("the node that this demo host belongs to is gone")


class DemoHost:
    """Keeps one demo host running, with its show if it is given one."""

    def __init__(
        self,
        url: str,
        *,
        log: LogSettings | None = None,
        command: Sequence[str] = COMMAND,
        show: tuple[str, str] | None = None,
    ) -> None:
        self._url = url
        self._show = dict(zip(SHOW_VARIABLES, show, strict=True)) if show else {}
        self._log_settings = log or LogSettings()
        self._command = command

    async def run(self) -> None:
        """Start it, and again when it ends, until cancelled; then end it."""
        while True:
            environment = {
                **os.environ,
                URL_VARIABLE: self._url,
                **self._show,
                PARENT_VARIABLE: str(os.getpid()),
                **dict(zip(LOG_VARIABLES, (self._log_settings.level, self._log_settings.format), strict=True)),
            }
            process = await asyncio.create_subprocess_exec(*self._command, env=environment)
            try:
                status = await process.wait()
            finally:
                await _end(process)
            _log.warning("the demo host ended with status %d; it starts again in %g s", status, RESTART_AFTER_S)
            await asyncio.sleep(RESTART_AFTER_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

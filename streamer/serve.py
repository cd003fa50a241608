"""`streamer serve`: the process around a node: its event loop, its signals, its exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

import uvloop

from streamer.config import Config, ConfigError
from streamer.http import ListenError
from streamer.keys import KeyFileError
from streamer.logs import set_up_logs
from streamer.node import Bound, Node
from streamer.notify import notify
from streamer.tls import TlsError

__all__ = ["serve"]

_log = logging.getLogger(__name__)


def serve(load: Callable[[], Config]) -> int:
    """Run a node until SIGINT or SIGTERM. Returns the exit status. Raises ConfigError before anything is served.

    `load` gives the configuration, and is called again for each SIGHUP. A second signal ends the process at once.
    """
    config = load()
    set_up_logs(config.log)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Process(config, load).run())
    except (ListenError, KeyFileError, TlsError) as exc:
        sys.stderr.write(f"streamer: {exc}\n")
        return 1
    return 0


class _Process:
    """A node and the signals that it gets."""

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        self._node = Node(config)
        self._load = load
        self._stop = asyncio.Event()
        self._deadline: threading.Timer | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            await self._node.run(self._stop, on_bound=self._announce)
        finally:
            if self._deadline:
                self._deadline.cancel()

    def _stopped(self, number: signal.Signals) -> None:
        settings = self._node.config.drain
        _log.info("stopping: %s", number.name)
        notify("STOPPING=1")
        self._stop.set()
        # A thread of its own: what hangs may be the event loop itself.
        self._deadline = threading.Timer(settings.timeout_s, _cut, (settings.timeout_s,))
        self._deadline.daemon = True
        self._deadline.start()
        # From now on the default action: whoever asks twice does not want to wait.
        for handled in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(handled)
            signal.signal(handled, signal.SIG_DFL)

    def _reload(self) -> None:
        notify("RELOADING=1")
        try:
            config = self._load()
        except ConfigError as exc:
            _log.error("the configuration is not reloaded: %s", exc)
        else:
            self._node.reload(config)
        notify("READY=1")

    def _announce(self, bound: Bound) -> None:
        """The addresses, on stdout, one a line: programs that started us with port 0 read them there."""
        demo = self._node.config.demo
        lines = list(bound.lines())
        if demo.enabled:
            lines.append(f"watch  http://127.0.0.1:{bound.http.port}/watch/{demo.room}")
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        notify("READY=1")


def _cut(timeout_s: float) -> None:
    """The stop has taken as long as it may. The status says that it was asked for."""
    _log.error("closed: not everything was closed within %g s", timeout_s)
    os._exit(0)

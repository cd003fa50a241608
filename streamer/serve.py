"""`streamer serve`: the process around a node: its event loop, its signals, its exit status."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvloop

from streamer.config import Config
from streamer.http import ListenError
from streamer.keys import KeyFileError
from streamer.logs import set_up_logs
from streamer.node import Bound, Node
from streamer.tls import TlsError

__all__ = ["serve"]

_log = logging.getLogger(__name__)


def serve(config: Config) -> int:
    """Run a node until SIGINT or SIGTERM. Returns the exit status. A second signal ends the process at once."""
    set_up_logs(config.log)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(config))
    except (ListenError, KeyFileError, TlsError) as exc:
        sys.stderr.write(f"streamer: {exc}\n")
        return 1
    return 0


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, number, stop)
    await Node(config).run(stop, on_bound=lambda bound: _announce(bound, config))


def _stop(number: signal.Signals, stop: asyncio.Event) -> None:
    _log.info("stopping: %s", number.name)
    stop.set()
    # From now on the default action: whoever asks twice does not want to wait.
    for handled in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(handled)
        signal.signal(handled, signal.SIG_DFL)


def _announce(bound: Bound, config: Config) -> None:
    """The addresses, on stdout, one a line: programs that started us with port 0 read them there."""
    lines = list(bound.lines())
    if config.demo.enabled:
        lines.append(f"watch  http://127.0.0.1:{bound.http.port}/watch/{config.demo.room}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()

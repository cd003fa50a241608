"""A node that a sync run starts for itself, on free ports, with a folder of its own."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from bench.children import ChildError

__all__ = ["OwnNode"]

START_S = 30.0
STOP_S = 10.0
_ADDRESS = re.compile(r"^(http|rtmp) +(\w+://\S+)$", re.MULTILINE)


class OwnNode(AbstractContextManager["OwnNode"]):
    """`http` and `rtmp` are its addresses without a slash at the end. It runs behind `prefix`, if there is one."""

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", prefix: Sequence[str] = (), flags: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._log = folder / "node.log"
        listen = [f"--{name}={host}:0" for name in ("http", "rtmp", "udp")]
        self._command = [*prefix, sys.executable, "-m", "streamer", "serve", "--open", *listen, "--data", str(folder)]
        self._command += flags
        self._process: subprocess.Popen[bytes] | None = None
        self.http = self.rtmp = ""

    def __enter__(self) -> OwnNode:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=_environment(), stdout=subprocess.PIPE, stderr=log)
        try:
            self._read_addresses(self._process)
        except BaseException:
            self._end(self._process)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._end(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def token(self, room: str) -> str:
        """A token with which to post a host's events."""
        command = [sys.executable, "-m", "streamer", "token", room, "--data", str(self._folder)]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChildError(f"the node gave no token: {done.stderr.strip()}")
        return done.stdout.strip()

    def _read_addresses(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        printed, deadline = "", time.monotonic() + START_S
        while not (self.http and self.rtmp):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(process.stdout.fileno(), 4096) if ready else b""
            if not data:
                raise ChildError(f"the node did not start: {self._last_words()}")
            printed += data.decode()
            found = dict(_ADDRESS.findall(printed))
            self.http, self.rtmp = found.get("http", "").rstrip("/"), found.get("rtmp", "").rstrip("/")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing for {START_S:.0f} s"

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _environment() -> dict[str, str]:
    """Without the settings of whoever runs the bench."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}

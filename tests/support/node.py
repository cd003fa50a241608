"""A real node as a process of its own, on free ports."""

from __future__ import annotations

import http.client
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ROOT", "RunningNode", "running_node", "streamer"]

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "streamer")
START_S = 20.0
STOP_S = 10.0
_ADDRESS = re.compile(r"^(https?|rtmps?) +\w+://127\.0\.0\.1:(\d+)/", re.MULTILINE)


def _environment() -> dict[str, str]:
    """Without the settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}


def streamer(*arguments: str | Path) -> str:
    """Run the command to its end; its output. Fails unless it says that it is done."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class RunningNode:
    """`ports` by scheme: http, https, rtmp, rtmps."""

    def __init__(self, folder: Path, *flags: str | Path, tls: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "node.log"
        listen = [f"--{scheme}=127.0.0.1:0" for scheme in ("http", "https", "rtmp", "rtmps", "udp")]
        arguments = [*COMMAND, "serve", *listen, "--data", str(folder), *map(str, flags)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                arguments, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=log
            )
        try:
            self.ports = self._read_ports("rtmps" if tls else "rtmp")
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything that it has logged so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def url(self, path: str, scheme: str = "http") -> str:
        """The address of a path; `ws` and `wss` are on the ports of http and https."""
        port = self.ports[scheme.replace("ws", "http")]
        return f"{scheme}://127.0.0.1:{port}{path}"

    def flv(self, room: str, scheme: str = "http") -> str:
        return self.url(f"/live/{room}.flv", scheme)

    def publish_url(self, room: str, key: str | None = None, scheme: str = "rtmp") -> str:
        return self.url(f"/live/{room}", scheme) + (f"?key={key}" if key else "")

    def get(self, path: str) -> tuple[int, http.client.HTTPMessage, str]:
        """Status, headers and body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = self.get("/metrics")[2].splitlines()
        samples = [line for line in lines if re.match(rf"{name}[{{ ]", line) and all(w in line for w in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def stop(self) -> float:
        """SIGTERM; the seconds that it took. Fails unless it ends in time, with status 0 and without a traceback."""
        begun = time.monotonic()
        self.terminate()
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired as exc:
            raise AssertionError(f"still there {STOP_S:g} s after SIGTERM; its log:\n{self.log}") from exc
        finally:
            self.kill()
        assert status == 0, f"ended with status {status}; its log:\n{self.log}"
        assert "Traceback" not in self.log, self.log
        return time.monotonic() - begun

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit status, negative for the signal that ended it."""
        return self._process.wait(STOP_S)

    def kill(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _read_ports(self, last: str) -> dict[str, int]:
        """The node prints its addresses in one go, once it listens on all of them."""
        assert self._process.stdout is not None
        printed, deadline = "", time.monotonic() + START_S
        while True:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            if not data:
                raise AssertionError(f"no addresses printed; its log:\n{self.log}")
            printed += data.decode()
            ports = {scheme: int(port) for scheme, port in _ADDRESS.findall(printed)}
            if last in ports:
                return ports


@contextmanager
def running_node(folder: Path, *flags: str | Path, tls: bool = False) -> Iterator[RunningNode]:
    """A node for the length of a block, which must end cleanly."""
    node = RunningNode(folder, *flags, tls=tls)
    try:
        yield node
    except BaseException:
        node.kill()
        raise
    if node.is_running:
        node.stop()
    else:
        node.kill()

"""The shop's load generator against real nodes: it finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import shop
from tests.support.shop_node import TOKEN_KEY
from tests.support.stores import free_port

ROOT = Path(__file__).parents[2]


class Nodes:
    """A node that is started again where it was when somebody kills it."""

    def __init__(self, folder: Path) -> None:
        self._command = [sys.executable, "-m", "tests.support.shop_node", str(folder), "", str(free_port())]
        self._ended = threading.Event()
        self.said: dict[str, Any] = {}
        self.started = 0
        self.process = self._start()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        self.said = json.loads(process.stdout.readline())
        process.stdout.close()
        self.started += 1
        return process

    def _keep(self) -> None:
        while True:
            self.process.wait()
            if self._ended.is_set():
                return
            self.process = self._start()

    def stop(self) -> None:
        self._ended.set()
        self.process.terminate()
        self._keeper.join()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    running = Nodes(tmp_path)
    yield running
    running.stop()


def test_nothing_is_oversold_or_lost_though_node_and_store_are_killed(
    nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    load = ["--buyers", "20", "--rate", "150", "--seconds", "2", "--token-key", TOKEN_KEY, "--json"]
    kills = ["--pid", str(nodes.process.pid), "--kill", "--valkey-pid", str(nodes.said["valkey"])]
    assert shop.main([nodes.said["url"], *load, *kills]) == 0
    report = json.loads(capsys.readouterr().out)
    assert nodes.started == 2
    assert (report["presses"], report["stock"], report["accepted"]) == (300, 150, 150)
    assert report["refused"] == {"1121 sold out": 150}
    assert (report["oversold"], report["lost"], report["twice"], report["wrong"]) == (0, 0, 0, 0)
    assert sum(report["retries"].values()) > 0


def test_the_audit_sees_what_is_wrong() -> None:
    class Forged(shop.Backend):
        """Books in which one order is lost, one is there twice, and more is sold than there was."""

        def __init__(self) -> None:
            super().__init__("http://x", "r", "t")

        async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
            item = {"type": "product", "product": "p", "left": 0, "reserved": 2, "sold": 0, "total": 2}
            return {"items": [item]}

        async def orders(self) -> AsyncIterator[dict[str, Any]]:  # type: ignore[override]
            for order in ("one", "one", "two"):
                yield {"type": "reserved", "product": "p", "order": order, "buyer": order, "request": "q"}

    found = asyncio.run(shop.audit(Forged(), "p", {"a": "one", "b": "three"}))
    assert (found["lost"], found["twice"], found["oversold"], found["wrong"]) == (1, 2, 1, 1)

"""The demo host's process: started again when it ends, ended with the node."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from streamer import demo
from streamer.demo import URL_VARIABLE, DemoHost

# Says that it is there and who it is for, then waits for the end.
WAITING = """
import os, signal, sys
path = sys.argv[1]
def stop(*_):
    open(path, "a").write("stopped ")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
open(path, "a").write(os.environ[sys.argv[2]] + " ")
signal.pause()
"""
ENDING = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(3)"


async def until(file: Path, text: str) -> None:
    while not file.exists() or not file.read_text().startswith(text):
        await asyncio.sleep(0.01)


def test_it_is_ended_with_the_node(tmp_path: Path) -> None:
    file = tmp_path / "said"

    async def scenario() -> None:
        host = DemoHost("rtmp://a?key=b", command=(sys.executable, "-c", WAITING, str(file), URL_VARIABLE))
        task = asyncio.create_task(host.run())
        await until(file, "rtmp://a?key=b ")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert file.read_text() == "rtmp://a?key=b stopped "

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_it_starts_again_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(demo, "RESTART_AFTER_S", 0.01)
    file = tmp_path / "said"

    async def scenario() -> None:
        task = asyncio.create_task(DemoHost("x", command=(sys.executable, "-c", ENDING, str(file))).run())
        await until(file, "xx")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert "ended with status 3" in caplog.text

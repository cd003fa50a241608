"""GStreamer's webrtcbin, driven as a process of Debian's own Python, which has the bindings."""

from __future__ import annotations

import json
import subprocess
import wave
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import barcode
from bench.cadence import FLASH_MS, Cadence
from bench.demo_picture import DemoPicture
from bench.demo_sound import SAMPLE_RATE, beeps
from tests.support.eventually import eventually

__all__ = ["GStreamerPeer", "needs_webrtcbin", "write_show"]

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("gstreamer_peer.py")
WIDTH, HEIGHT, FPS = 320, 180, 30
ELEMENTS = (
    "webrtcbin nicesrc dtlsdec srtpdec openh264dec opusdec x264enc opusenc rtph264pay h264parse rawvideoparse wavparse"
)
_PROBE = f"""
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC
Gst.init(None)
raise SystemExit(not all(map(Gst.ElementFactory.find, {ELEMENTS.split()!r})))
"""


@cache
def _is_there() -> bool:
    try:
        return subprocess.run([PYTHON, "-c", _PROBE], capture_output=True, check=False, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


def needs_webrtcbin() -> None:
    """Skip where GStreamer lacks something."""
    if not _is_there():
        pytest.skip("GStreamer has no webrtcbin for Python here")


class GStreamerPeer:
    """A viewer or a host, until the block ends. `events` are what it has said so far."""

    def __init__(self, log: Path, *arguments: str | Path | int) -> None:
        self._log = log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [PYTHON, str(SCRIPT), *map(str, arguments)], stdin=subprocess.PIPE, stdout=sink, stderr=sink
            )

    def __enter__(self) -> GStreamerPeer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        # the last line may not be whole yet, and GLib writes its own beside them
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [words for words in self.events if words["event"] == event]

    def wait_for(self, event: str, count: int = 1, *, within: float = 30.0) -> list[dict[str, Any]]:
        """That it has said this so often. Fails at once when it has ended."""
        eventually(lambda: len(self.said(event)) >= count or self._process.poll() is not None, event, within=within)
        said = self.said(event)
        assert len(said) >= count, f"{event} was said {len(said)} times:\n{self.log}"
        return said

    def finish(self) -> None:
        """It takes its leave, without a complaint."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0, self.log
        assert "CRITICAL" not in self.log, self.log
        assert [words["status"] for words in self.said("deleted")] == [200]

    def codes(self) -> list[tuple[int, int]]:
        """(publisher number, its own pts) of the pictures that a viewer kept. Fails on one without a readable code."""
        found = []
        for words in self.said("picture"):
            grey = np.fromfile(words["path"], np.uint8).reshape(words["height"], words["width"])
            code = barcode.read(grey)
            assert code is not None, f"picture {words['number']} has no readable bar code"
            found.append(code)
        return found


def write_show(folder: Path, seconds: int, *, number: int) -> tuple[str | Path | int, ...]:
    """The demo host's show as raw files; the arguments that tell a host about them."""
    cadence = Cadence(Fraction(FPS))
    picture = DemoPicture(WIDTH, HEIGHT, number)
    with (folder / "show.i420").open("wb") as file:
        for n in range(seconds * FPS):
            frame = picture.paint(cadence.pts_ms(n), "00:00:00.000", lit=cadence.is_lit(n))
            file.write(frame.to_ndarray().tobytes())
    samples = beeps(0, seconds * SAMPLE_RATE, cadence.flash_ms, FLASH_MS)
    with wave.open(str(folder / "show.wav"), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes((np.repeat(samples[:, np.newaxis], 2, 1) * 32_767).astype("<i2").tobytes())
    return folder / "show.i420", WIDTH, HEIGHT, FPS, folder / "show.wav"

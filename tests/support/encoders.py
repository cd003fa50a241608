"""Real publishers and readers: FFmpeg's command, PyAV, and the demo host."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

from bench import barcode
from tests.support.node import ROOT

__all__ = ["HEIGHT", "WIDTH", "DemoProcess", "Publisher", "ffmpeg", "film", "read_codes", "start_ffmpeg"]

WIDTH, HEIGHT = 320, 180
MS = Fraction(1, 1000)
NEVER_S = 3600
"""No test takes as long."""


@cache
def ffmpeg() -> str:
    """The path of FFmpeg's command."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


class Publisher:
    """A process that publishes. Its words are in `log`."""

    def __init__(self, arguments: Sequence[str | Path], log: Path) -> None:
        self._log = log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [str(a) for a in arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait(self, within: float = 30.0) -> int:
        """Its exit status."""
        return self._process.wait(within)

    def finish(self, within: float = 30.0) -> None:
        """Wait for an end without a complaint."""
        assert self.wait(within) == 0, self.log

    def freeze(self) -> None:
        """The host is there no more, but its connection is."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._process.kill()
        self._process.wait()


def start_ffmpeg(arguments: Sequence[str | Path], log: Path) -> Publisher:
    """FFmpeg's command with these arguments. Its output goes to `log` as well."""
    return Publisher([ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "warning", *arguments], log)


class DemoProcess(Publisher):
    """`streamer demo`: picture with a bar code, and a beep with each flash.

    It leaves no picture out, however late a busy machine makes it: what is missing is missing by somebody else's fault.
    """

    def __init__(self, url: str, log: Path, *, number: int = 1, fps: int = 30, options: Sequence[str] = ()) -> None:
        size = ["--width", str(WIDTH), "--height", str(HEIGHT), "--bitrate", "300000", "--keyint", "1"]
        command = [sys.executable, "-m", "streamer", "demo", "--url", url, "--number", str(number), "--fps", str(fps)]
        super().__init__([*command, *size, "--late", str(NEVER_S), *options], log)


def film(path: Path, times_ms: Sequence[int], *, number: int = 1) -> Path:
    """Uncompressed pictures at these times, each with its time in the bar code: what an encoder is given."""
    random = np.random.default_rng(number)
    background = random.integers(40, 200, (HEIGHT // 10, WIDTH // 10), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    with av.open(path, "w", format="nut") as container:
        stream = container.add_stream("rawvideo", rate=1000)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = MS
        for index, at in enumerate(times_ms):
            planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
            planes[:HEIGHT] = np.roll(background, 3 * index, axis=1)
            barcode.draw(planes[:HEIGHT], number, at)
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = at, MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@dataclass(frozen=True, slots=True)
class Shown:
    """One decoded picture: where the stream puts it, and what is burned into it."""

    pts_ms: float
    number: int
    code_ms: int

    @property
    def offset_ms(self) -> float:
        return self.pts_ms - self.code_ms


def read_codes(container: av.container.InputContainer) -> list[Shown]:
    """Every picture, in order. Fails on one without a valid code."""
    shown = []
    for frame in container.decode(video=0):
        luma = frame.to_ndarray()[: frame.height]
        code = barcode.read(luma)
        assert code is not None, f"the picture at {frame.time} has no readable bar code"
        assert frame.pts is not None
        assert frame.time_base is not None
        shown.append(Shown(float(frame.pts * frame.time_base * 1000), *code))
    return shown

"""`streamer demo`: an ordinary RTMP publisher whose moving picture proves what a viewer is shown, and when."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from types import FrameType
from typing import cast

import av
import av.logging
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from bench.barcode import MAX_NUMBER
from bench.cadence import FLASH_MS, Cadence
from bench.demo_picture import DemoPicture
from bench.demo_sound import SAMPLE_RATE, SAMPLES_PER_MS, beeps

__all__ = ["DemoHost", "DemoOptions", "OnCapture", "Start", "main", "x264_options"]

log = logging.getLogger(__name__)

OnCapture = Callable[[int, float], None]
"""Told of each frame before it is painted: its pts in milliseconds, and the Unix time in seconds."""

MS = Fraction(1, 1000)
AUDIO_BLOCK = 1024  # samples to an AAC frame
AUDIO_LEAD_MS = 85  # four AAC frames: the muxer holds a picture back until it has sound of the same time
LATE_S = 0.5
MAX_LATE_S = 3600.0
FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 8.0
STOP_S = 3.0  # for the trailer; a server that no longer reads must not keep us
OPEN_S = 5.0  # to reach a server


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to publish and where. `bitrate` is bits per second, `keyint` and `duration` seconds.

    Behind by more than `late_s`, frames are left out rather than sent in a burst.
    """

    url: str = "rtmp://127.0.0.1:1935/live/demo"
    width: int = 1280
    height: int = 720
    fps: Fraction = Fraction(30)
    bitrate: int = 2_500_000
    keyint: float = 2.0
    number: int = 1
    duration: float | None = None
    codec: str = "h264"
    bframes: int = 0
    audio: bool = True
    late_s: float = LATE_S


@dataclass(frozen=True, slots=True)
class Start:
    """Ties publisher time to the two other clocks: publisher time 0 was at `monotonic` and at `wall` seconds.

    Publisher time begins between one and two seconds, in step with the wall clock's full seconds, so that the clock
    in the picture turns with the flash and no timestamp is negative, whatever an encoder's delay.
    """

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> Start:
        monotonic, wall = time.monotonic(), time.time()
        elapsed = 1 + wall % 1
        return cls(monotonic - elapsed, wall - elapsed)

    def clock(self, pts_ms: int) -> str:
        """Local time of day, `HH:MM:SS.mmm`."""
        ms = round(self.wall) * 1000 + pts_ms
        return f"{time.strftime('%H:%M:%S', time.localtime(ms // 1000))}.{ms % 1000:03d}"


class DemoHost:
    """Publishes until it is stopped, and comes back when the server goes away."""

    def __init__(self, options: DemoOptions, on_capture: OnCapture | None = None) -> None:
        self._options = options
        self._on_capture = on_capture
        self._stop = threading.Event()
        self._cadence = Cadence(options.fps)
        self._picture = DemoPicture(options.width, options.height, options.number)
        self._ends_at = None if options.duration is None else time.monotonic() + options.duration

    def stop(self) -> None:
        """May be called from any thread, but by no signal handler: a second signal would find the event's lock held."""
        self._stop.set()

    def run(self) -> None:
        """Blocks. A server that cannot be reached is tried again after 0.5 s, 1 s, ... up to 8 s."""
        backoff = FIRST_BACKOFF_S
        while not self._finished():
            try:
                with self._open() as container:
                    publish = self._prepare(container)
                    container.start_encoding()  # connects: until here nothing was sent
                    log.info("publishing to %s", _without_key(self._options.url))
                    backoff = FIRST_BACKOFF_S
                    publish()
            except (av.FFmpegError, OSError) as error:
                log.warning("%s: %s; trying again in %.1f s", _without_key(self._options.url), error.strerror, backoff)
                self._stop.wait(backoff)
                backoff = min(2 * backoff, LAST_BACKOFF_S)

    def _finished(self) -> bool:
        return self._stop.is_set() or (self._ends_at is not None and time.monotonic() >= self._ends_at)

    def _open(self) -> OutputContainer:
        # flush_packets: each picture leaves when it is encoded, not when 32 KB have come together.
        return av.open(self._options.url, "w", format="flv", options={"flush_packets": "1"}, timeout=OPEN_S)

    def _prepare(self, container: OutputContainer) -> Callable[[], None]:
        video = _add_video(container, self._options)
        sound = _Sound(container, self._cadence) if self._options.audio else None
        return lambda: self._publish(container, video, sound)

    def _publish(self, container: OutputContainer, video: VideoStream, sound: _Sound | None) -> None:
        start = Start.now()
        n = self._cadence.first_frame_at(time.monotonic() - start.monotonic)
        while self._wait_for(n, start):
            n = max(n, self._cadence.first_frame_at(time.monotonic() - start.monotonic - self._options.late_s))
            pts = self._cadence.pts_ms(n)
            if self._on_capture:
                self._on_capture(pts, time.time())
            frame = self._picture.paint(pts, start.clock(pts), lit=self._cadence.is_lit(n))
            frame.pts, frame.time_base = pts, MS
            if sound:
                sound.publish_until(pts)
            container.mux(video.encode(frame))
            n += 1
        container.mux(video.encode(None))
        if sound:
            sound.end()

    def _wait_for(self, n: int, start: Start) -> bool:
        """Sleep until frame `n` is due; False when it is time to stop."""
        due = start.monotonic + float(n / self._options.fps)
        return not self._stop.wait(max(0.0, due - time.monotonic())) and not self._finished()


class _Sound:
    """The audio track: encoded a little ahead, and never asked for a sample twice."""

    def __init__(self, container: OutputContainer, cadence: Cadence) -> None:
        self._stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        self._stream.bit_rate = 128_000
        self._container = container
        self._cadence = cadence
        self._next: int | None = None

    def publish_until(self, pts_ms: int) -> None:
        """Everything up to the lead after this picture. The first call sets where sound begins: at the picture."""
        if self._next is None:
            self._next = pts_ms * SAMPLES_PER_MS
        while self._next < (pts_ms + AUDIO_LEAD_MS) * SAMPLES_PER_MS:
            samples = beeps(self._next, AUDIO_BLOCK, self._cadence.flash_ms, FLASH_MS)
            frame = av.AudioFrame.from_ndarray(np.vstack([samples, samples]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._next, Fraction(1, SAMPLE_RATE)
            # The encoder delays by one frame and says so: its first packet is 1024 samples before the first sample,
            # so that what is decoded at a pts is what was put in with that pts.
            self._container.mux(self._stream.encode(frame))
            self._next += AUDIO_BLOCK

    def end(self) -> None:
        self._container.mux(self._stream.encode(None))


def _add_video(container: OutputContainer, options: DemoOptions) -> VideoStream:
    encoder = {"h264": "libx264", "h265": "libx265"}[options.codec]
    stream = cast(VideoStream, container.add_stream(encoder, rate=options.fps))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = options.width, options.height, "yuv420p"
    context.time_base, context.framerate = MS, options.fps
    context.bit_rate = options.bitrate
    context.gop_size = max(1, ceil(options.keyint * options.fps))
    context.max_b_frames = options.bframes
    stream.options = dict(x264_options(options) if options.codec == "h264" else _x265(options))
    return stream


def x264_options(options: DemoOptions) -> dict[str, str]:
    """Constrained baseline without delay, unless B-frames are asked for: they need another profile and a look ahead."""
    rate = {"maxrate": str(options.bitrate), "bufsize": str(options.bitrate), "sc_threshold": "0", "threads": "1"}
    if options.bframes:
        return rate | {"preset": "superfast", "profile": "high", "rc-lookahead": "10"}
    return rate | {"preset": "superfast", "profile": "baseline", "tune": "zerolatency"}


def _x265(options: DemoOptions) -> dict[str, str]:
    tune = {} if options.bframes else {"tune": "zerolatency"}
    quiet = "log-level=error:scenecut=0:pools=1:frame-threads=1"
    rate = f"vbv-maxrate={options.bitrate // 1000}:vbv-bufsize={options.bitrate // 1000}"
    return tune | {"preset": "ultrafast", "x265-params": f"{quiet}:{rate}:bframes={options.bframes}"}


def _without_key(url: str) -> str:
    return url.partition("?")[0]


def main(argv: list[str]) -> int:
    """Publish until SIGINT or SIGTERM, or for `--duration`. 0 when it ended as asked."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    av.logging.set_level(av.logging.FATAL)
    host = DemoHost(options)

    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)  # no more than this: the kernel sends one signal for each thread of a node that dies

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    # A thread of its own, since a signal is not handled while this one waits inside a write to a stuck server.
    publishing = threading.Thread(target=host.run, name="demo-host", daemon=True)
    publishing.start()
    while publishing.is_alive() and not asked:
        publishing.join(timeout=0.2)
    host.stop()
    publishing.join(timeout=STOP_S)
    return 0


def _parse(argv: list[str]) -> DemoOptions:
    default = DemoOptions()
    parser = argparse.ArgumentParser(prog="streamer demo", description=__doc__)
    parser.add_argument("--url", default=default.url, help="where to publish, with the key (default %(default)s)")
    parser.add_argument("--width", type=int, default=default.width)
    parser.add_argument("--height", type=int, default=default.height)
    parser.add_argument("--fps", type=Fraction, default=default.fps, help="such as 30 or 30000/1001")
    parser.add_argument("--bitrate", type=int, default=default.bitrate, help="bits per second of video")
    parser.add_argument("--keyint", type=float, default=default.keyint, help="seconds between keyframes")
    parser.add_argument("--number", type=int, default=default.number, help="publisher number in the bar code")
    parser.add_argument("--duration", type=float, help="seconds; for ever without it")
    parser.add_argument("--codec", choices=["h264", "h265"], default=default.codec)
    parser.add_argument("--bframes", type=int, default=default.bframes)
    parser.add_argument("--audio", choices=["on", "off"], default="on")
    late = "seconds behind at which pictures are left out rather than sent in a burst (default %(default)s)"
    parser.add_argument("--late", dest="late_s", type=float, default=default.late_s, metavar="LATE", help=late)
    args = parser.parse_args(argv)
    _check(parser, args)
    return DemoOptions(**{**vars(args), "audio": args.audio == "on"})


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if not 0 <= args.number <= MAX_NUMBER:
        parser.error(f"--number {args.number} is outside 0 to {MAX_NUMBER}")
    if not 1 <= args.fps <= 240 or args.keyint <= 0 or args.bitrate < 50_000 or not 0 <= args.bframes <= 16:
        parser.error("--fps is 1 to 240, --keyint positive, --bitrate at least 50000, --bframes 0 to 16")
    if not 0 <= args.late_s <= MAX_LATE_S:
        parser.error(f"--late {args.late_s:g} is outside 0 to {MAX_LATE_S:g}")
    with suppress(ValueError):
        DemoPicture(args.width, args.height, args.number)
        return
    parser.error(f"--width {args.width} --height {args.height}: even sizes from 128x96, at most twice as high as wide")

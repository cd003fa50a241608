"""The demo host: its picture, its sound, and both as a real RTMP server receives them."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest

from bench import barcode
from bench.cadence import FLASH_MS, Cadence
from bench.demo_host import DemoHost, DemoOptions, Start, main
from bench.demo_picture import DemoPicture, lamp_is_lit
from bench.demo_sound import SAMPLE_RATE, beeps
from bench.glyphs import Digits

CLOCK = "14:03:27.433"


def luma(frame: av.VideoFrame) -> Any:
    return frame.to_ndarray(format="gray")


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (854, 480), (720, 1280), (128, 96)])
def test_picture_shows_its_pts_and_its_lamp_at_any_size(size: tuple[int, int]) -> None:
    picture = DemoPicture(*size, 9)
    for n in range(6):
        frame = picture.paint(1000 + 33 * n, CLOCK, lit=n < 3)
        assert (frame.width, frame.height) == size
        assert barcode.read(luma(frame)) == (9, 1000 + 33 * n)
        assert lamp_is_lit(luma(frame)) == (n < 3)


def test_picture_leaves_nothing_behind() -> None:
    used, fresh = DemoPicture(320, 180, 1), DemoPicture(320, 180, 1)
    for n in range(50):
        used.paint(97 * n, CLOCK, lit=bool(n % 2))
    assert (
        used.paint(12_345, CLOCK, lit=False).to_ndarray() == fresh.paint(12_345, CLOCK, lit=False).to_ndarray()
    ).all()


def test_picture_moves() -> None:
    picture = DemoPicture(320, 180, 1)
    first, second = (picture.paint(ms, CLOCK, lit=False).to_ndarray()[60:140] for ms in (500, 700))
    assert (first != second).any()


@pytest.mark.parametrize("size", [(641, 360), (640, 90), (100, 100), (360, 1280)])
def test_sizes_that_cannot_be_painted_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}"):
        DemoPicture(*size, 1)


def test_digits_differ_and_keep_their_place() -> None:
    digits = Digits(40)
    masks = [digits.line(str(n)) for n in range(10)]
    assert len({mask.shape for mask in masks}) == 1
    assert all((a != b).any() for i, a in enumerate(masks) for b in masks[:i])
    assert {digits.line(time).shape for time in ("00:00:00.000", "18:38:48.111")} == {digits.line(CLOCK).shape}


def test_beep_begins_on_the_sample_of_the_flash_whatever_the_blocks() -> None:
    cadence = Cadence(Fraction(30000, 1001))
    whole = beeps(SAMPLE_RATE, 3 * SAMPLE_RATE, cadence.flash_ms, FLASH_MS)
    blocks = [beeps(at, 1000, cadence.flash_ms, FLASH_MS) for at in range(SAMPLE_RATE, 4 * SAMPLE_RATE, 1000)]
    assert (np.concatenate(blocks) == whole).all()
    sounding = np.flatnonzero(abs(whole) > 0.01)
    starts = sounding[np.flatnonzero(np.diff(sounding, prepend=-SAMPLE_RATE) > SAMPLE_RATE // 2)]
    assert [int(s) // 48 + 1000 for s in starts] == [cadence.flash_ms(k) for k in (1, 2, 3)]


def test_publisher_time_is_in_step_with_the_wall_clock() -> None:
    start = Start(monotonic=100.0, wall=1_700_000_000.0)
    assert re.fullmatch(r"\d\d:\d\d:21\.033", start.clock(1033))
    now = Start.now()
    assert abs(now.wall - round(now.wall)) < 1e-3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--width", "641"],
        ["--number", "4096"],
        ["--fps", "0"],
        ["--bitrate", "10"],
        ["--codec", "vp8"],
        ["--bframes", "-1"],
    ],
)
def test_options_out_of_range_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_host_without_a_server_ends_when_its_time_is_up() -> None:
    host = DemoHost(DemoOptions(url=f"rtmp://127.0.0.1:{free_port()}/live/demo", duration=0.05))
    host.run()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def received(tmp_path: Path, options: dict[str, Any], seconds: float) -> Path:
    """What FFmpeg's RTMP server stored of a demo host; the host tries until FFmpeg listens."""
    url, stored = f"rtmp://127.0.0.1:{free_port()}/live/demo", tmp_path / "received.flv"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-listen", "1", "-i", url]
    with subprocess.Popen(
        [*command, "-t", str(seconds), "-c", "copy", str(stored)], stdin=subprocess.DEVNULL
    ) as ffmpeg:
        host = DemoHost(DemoOptions(url=url, duration=60, **options))
        publishing = threading.Thread(target=host.run)
        publishing.start()
        try:
            assert ffmpeg.wait(timeout=40) == 0
        finally:
            host.stop()
            publishing.join()
    return stored


@pytest.mark.e2e
@pytest.mark.parametrize(
    "options",
    [
        {"width": 640, "height": 360, "bitrate": 600_000},
        {"width": 640, "height": 360, "bframes": 2, "fps": Fraction(30000, 1001)},
        {"width": 320, "height": 180, "codec": "h265", "fps": Fraction(25)},
    ],
)
def test_flash_and_beep_arrive_together_and_the_code_is_the_pts(tmp_path: Path, options: dict[str, Any]) -> None:
    frames: list[tuple[int, int, bool]] = []
    onsets: list[float] = []
    quiet, heard_until = False, 0.0
    with av.open(str(received(tmp_path, {"number": 5, **options}, 3.2))) as container:
        for frame in container.decode():
            assert frame.pts is not None
            assert frame.time_base is not None
            if isinstance(frame, av.VideoFrame):
                code = barcode.read(luma(frame))
                assert code is not None
                assert code[0] == 5
                frames.append((round(frame.pts * frame.time_base * 1000), code[1], lamp_is_lit(luma(frame))))
            elif isinstance(frame, av.AudioFrame):
                heard_until = float(frame.pts * frame.time_base * 1000)
                loud = np.flatnonzero(abs(frame.to_ndarray()[0]) > 0.05)
                if len(loud) and quiet:
                    onsets.append(float(frame.pts * frame.time_base * 1000) + loud[0] / 48)
                quiet = not len(loud)
    assert len({pts - code for pts, code, _ in frames}) == 1
    # A picture that the machine was too slow for may have been the first of a flash; the sound is cut at the end.
    frame_ms = 1000 / options.get("fps", 30) + 1
    flashes = [
        pts
        for (earlier, _, before), (pts, _, now) in pairwise(frames)
        if now and not before and pts - earlier <= frame_ms and pts < heard_until
    ]
    assert flashes
    # FLV keeps whole milliseconds, and the threshold is passed within the beep's first wave.
    assert max(min(abs(flash - onset) for onset in onsets) for flash in flashes) < 2, (flashes, onsets)

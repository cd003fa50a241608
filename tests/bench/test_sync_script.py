"""The recorder in a real page: it reads the same codes as Python does, and windows can go into the background."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from bench import barcode
from bench.sync_browser import NoBrowser, Window, chromium
from bench.sync_figures import Drawn, Firing
from bench.sync_script import RECORDER, WATCH_ARRIVALS
from tests.support.chromium import until

pytestmark = pytest.mark.browser

PAINT = """([width, height, luma]) => {
  const canvas = window.canvas ??= document.createElement("canvas");
  [canvas.width, canvas.height, canvas.videoWidth, canvas.videoHeight] = [width, height, width, height];
  canvas.getVideoPlaybackQuality = () => ({ totalVideoFrames: 0, droppedVideoFrames: 0 });
  const pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
  Array.from(atob(luma)).forEach((pixel, at) => image.data.set([0, 1, 2].map(() => pixel.charCodeAt(0)), 4 * at));
  for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
  pen.putImageData(image, 0, 0);
}"""
SESSION = """() => {
  const heard = {};
  window.session = {
    on: (name, hear) => (heard[name] = hear), onEvent: (kind, hear) => (heard[kind] = hear), stats: { frames: 3 },
  };
  window.show = (frame) => heard.frame(frame);
  window.fire = (event, fired) => heard["*"](event, fired);
}"""


@asynccontextmanager
async def recorder(executable: str) -> AsyncIterator[Window]:
    async with chromium(executable) as opener:
        window = await opener.open()
        await window.page.evaluate(f"() => {{ {RECORDER}; window.recordSync = recordSync; }}")
        await window.page.evaluate(SESSION)
        yield window


async def paint(window: Window, luma: Any) -> None:
    height, width = luma.shape
    await window.page.evaluate(PAINT, [width, height, base64.b64encode(luma.tobytes()).decode()])


async def read(window: Window) -> tuple[int, int] | None:
    frame = {"t": 90, "presentedAt": 1, "expectedDisplayAt": 2, "presentedFrames": 5}
    taken = await window.page.evaluate("(frame) => (show(frame), recorder.take())", frame)
    (drawn,) = map(Drawn.of, taken["frames"])
    assert (drawn.t_ms, drawn.count) == (1, 5)
    assert drawn.display_ms - drawn.presented_ms == pytest.approx(1, abs=0.001), "one conversion of both times"
    assert len(taken["reads"]) == 1
    return drawn.code


async def test_the_page_reads_what_python_reads(chromium: str) -> None:
    random = np.random.default_rng(1)
    async with recorder(chromium) as window:
        started = False
        for size in ((640, 360), (320, 180), (1280, 720), (854, 480), (720, 1280), (256, 144), (426, 240)):
            for _ in range(3):
                width, height = size
                luma = np.full((height, width), 128, np.uint8)
                code = int(random.integers(0, 4096)), int(random.integers(0, 1 << 32))
                barcode.draw(luma, *code)
                luma = np.clip(luma.astype(int) + random.integers(-30, 30, luma.shape), 0, 255).astype(np.uint8)
                await paint(window, luma)
                if not started:
                    await window.page.evaluate("recorder = recordSync(session, canvas, { prefix: 'sync-', every: 1 })")
                    started = True
                assert await read(window) == code == barcode.read(luma)
        damaged = luma.copy()
        damaged[:, 100:160] = 255 - damaged[:, 100:160]
        for nothing in (damaged, np.full((360, 640), 128, np.uint8), np.zeros((360, 640), np.uint8)):
            await paint(window, nothing)
            assert await read(window) is None


async def test_an_event_is_recorded_with_the_code_on_the_screen(chromium: str) -> None:
    async with recorder(chromium) as window:
        luma = np.full((180, 320), 128, np.uint8)
        barcode.draw(luma, 4, 1234)
        await paint(window, luma)
        await window.page.evaluate("recorder = recordSync(session, canvas, { prefix: 'sync-', every: 1 })")
        event = {"kind": "product.show", "epoch": "e", "t": 180}
        fired = {"frameT": 270, "lateMs": 1, "by": "frame", "snapshot": False, "presentedAt": None}
        for event_id in ("other", "sync-7"):
            await window.page.evaluate("([event, fired]) => fire(event, fired)", [event | {"id": event_id}, fired])
        taken = await window.page.evaluate("recorder.take()")
        (firing,) = map(Firing.of, taken["events"])
        assert (firing.id, firing.t_ms, firing.frame_ms, firing.code) == ("sync-7", 2, 3, (4, 1234))
        assert (firing.arrived_ms, firing.is_background) == (None, False)
        assert await window.page.evaluate("recorder.take()") == {"frames": [], "events": [], "reads": []}


async def test_a_window_in_the_background_is_hidden_and_comes_back(chromium: str) -> None:
    async with recorder(chromium) as window:
        await window.page.evaluate(
            "requestAnimationFrame(function tick() { n = (window.n ?? 0) + 1; requestAnimationFrame(tick); })"
        )

        await until(window.page, "window.n > 5", 10)
        await window.hide()
        await until(window.page, "document.hidden", 10)
        frozen = await window.page.evaluate("n")
        await window.show()
        await until(window.page, f"!document.hidden && n > {frozen} + 5", 10)


async def test_without_a_browser_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoBrowser, match="apt-get install chromium"):
        async with chromium():
            pass
    with pytest.raises(OSError, match="nowhere"):
        async with chromium("/nowhere/chromium"):
            pass


def test_arrivals_are_looked_for_by_the_events_own_prefix() -> None:
    assert "/PREFIX[0-9]+/g" in WATCH_ARRIVALS

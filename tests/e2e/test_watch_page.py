"""The watch page in Chromium against a real node: what the page says it shows is what the picture says it is."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench import barcode
from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.encoders import HEIGHT, WIDTH, DemoProcess
from tests.support.eventually import eventually
from tests.support.flv_viewer import RawViewer
from tests.support.node import RunningNode

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

FRAME_MS = 34
LATENCY_SLACK_MS = 250
"""A few frames: a software decoder on a busy machine does not show each on time."""
MAX_DROPPED = 5
BAND = barcode.band_height(WIDTH)

LOOK = """([width, height, band]) => {
  const video = document.querySelector("#video");
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = band;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  window.seen = [];
  const look = () => {
    // The page asked for this frame before us, so that its position is the one of this frame already.
    context.drawImage(video, 0, height - band, width, band, 0, 0, width, band);
    const red = context.getImageData(0, 0, width, band).data.filter((_, index) => index % 4 === 0);
    const luma = btoa(Array.from(red, (value) => String.fromCharCode(value)).join(""));
    window.seen.push({ nowMs: window.streamer.nowMs, wallMs: Date.now(), luma });
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One displayed picture: where the page says it is, when it was shown, and what is burned into it."""

    now_ms: int
    wall_ms: float
    number: int
    code_ms: int


@pytest.fixture(scope="module")
def browser(chromium: str, built_pages: None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def demo(node: RunningNode, room: str, folder: Path, number: int) -> DemoProcess:
    return DemoProcess(node.publish_url(room), folder / f"demo{number}.log", number=number)


def open_page(page: Page, node: RunningNode, room: str, via: str) -> None:
    page.goto(node.url(f"/watch/{room}?via={via}"))
    eventually(lambda: stats(page)["frames"] > 15, "frames advance", within=30)
    page.evaluate(LOOK, [WIDTH, HEIGHT, BAND])


def stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.streamer?.stats ?? { frames: 0 }")
    return found


def look(page: Page, count: int, *, number: int | None = None) -> list[Seen]:
    """The next pictures that are shown, of this publisher."""
    found: list[Seen] = []

    def enough() -> bool:
        found.extend(s for s in map(_read, page.evaluate("window.seen.splice(0)")) if number in (None, s.number))
        return len(found) >= count

    eventually(enough, f"{count} pictures of {number}", within=30)
    return found


def _read(raw: dict[str, Any]) -> Seen:
    luma = np.frombuffer(base64.b64decode(raw["luma"]), np.uint8).reshape(BAND, WIDTH)
    code = barcode.read(luma)
    assert code is not None, "a displayed picture has no readable bar code"
    return Seen(raw["nowMs"], raw["wallMs"], *code)


def says_what_it_shows(seen: list[Seen]) -> None:
    offsets = [s.now_ms - s.code_ms for s in seen]
    assert max(offsets) - min(offsets) <= FRAME_MS, offsets
    exact = sorted(offsets)[len(offsets) // 2]
    # A canvas may be a frame ahead of what the callback tells; mostly it is not.
    assert sum(abs(offset - exact) <= 1 for offset in offsets) > 0.8 * len(offsets), offsets


def behind_ms(page: Page, live: RawViewer) -> float:
    """From the picture shown to the newest that a viewer could have."""
    return float(live.file.pictures[-1].timestamp - page.evaluate("window.streamer.nowMs"))


@pytest.mark.parametrize("via", ["ws", "http"])
def test_the_page_says_what_it_shows_and_plays_on_after_a_blip(
    node: RunningNode, page: Page, tmp_path: Path, via: str
) -> None:
    room = f"page-{via}"
    with RawViewer(node.flv(room)) as live:
        with demo(node, room, tmp_path, 1):
            live.wait_for_bytes()
            open_page(page, node, room, via)
            seen = look(page, 40)
            says_what_it_shows(seen)
            assert seen[-1].now_ms > seen[0].now_ms
            assert page.evaluate("window.streamer.transport") == via
            assert page.evaluate("window.streamer.epoch") == live.file.scripts("onTimeline")[0]["epoch"]
            before = behind_ms(page, live)
            assert stats(page)["dropped"] <= MAX_DROPPED
        published = len(live.file.pictures)
        eventually(lambda: "has stopped" in (page.text_content("#message") or ""), "the page explains the silence")
        with demo(node, room, tmp_path, 2):
            eventually(lambda: len(live.file.pictures) > published, "the host is back")
            back_ms = 1000 * time.time()
            seen = look(page, 40, number=2)
            says_what_it_shows(seen)
            assert seen[0].wall_ms - back_ms < 1000
            eventually(
                lambda: behind_ms(page, live) <= before + LATENCY_SLACK_MS,
                f"the former latency of {before:.0f} ms",
                within=5,
            )
            assert page.text_content("#message") == ""
            assert stats(page)["connections"] == 1
            assert stats(page)["dropped"] <= 2 * MAX_DROPPED

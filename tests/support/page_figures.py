"""What the watch page costs a viewer: its weight, how soon there is a picture, and what 50 danmaku a second do to it.

    python -m tests.support.page_figures [--opens 20] [--seconds 20]

Prints one JSON object. The node, its host and the browser share this machine.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response, sync_playwright

from bench.figures import Spread
from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node
from tests.support.shopkeeper import Shopkeeper
from tests.support.watching import DESKTOP, PHONE

ROOM = "figures"
FAST = ("rooms.user_rate=1000", "rooms.user_burst=1000", "rooms.danmaku_per_second=100")
DANMAKU_PER_S = 50
POSTS_PER_S = 10
LINES = ("主播好！", "How much is it?", "666", "Hello there from the desktop", "哈哈哈哈哈哈", "已经下单了 🎉", "Nice")
WATCH_FIRST_PICTURE = """() => addEventListener("DOMContentLoaded", () => {
    const video = document.querySelector("#video");
    const look = () => video.requestVideoFrameCallback(() => { window.firstPicture ??= performance.now(); });
    look();
})"""
WATCH_TASKS = """() => {
    window.longTasks = [];
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => window.longTasks.push(duration)))
        .observe({ type: "longtask" });
    window.frames = 0;
    const count = () => { window.frames++; requestAnimationFrame(count); };
    requestAnimationFrame(count);
}"""


def weight(browser: Browser, node: RunningNode) -> dict[str, int]:
    """Bytes of everything that the page loads for a picture by each transport, each file compressed by gzip."""
    found = {}
    for via in ("webrtc", "ws"):
        page = browser.new_page()
        sizes: dict[str, int] = {}
        page.on("response", lambda response, sizes=sizes: _weigh(response, sizes))
        _open(page, node, via)
        page.close()
        found[via] = sum(sizes.values())
    return found


def _weigh(response: Response, sizes: dict[str, int]) -> None:
    path = urlsplit(response.url).path
    if path.startswith(("/watch/", "/web/")):
        sizes[path] = len(gzip.compress(response.body()))


def first_pictures(browser: Browser, node: RunningNode, via: str, opens: int) -> dict[str, float]:
    """From the navigation to the first displayed picture, in ms; each time with an empty cache."""
    times = []
    for _ in range(opens):
        profile = browser.new_context(**PHONE)
        page = profile.new_page()
        page.add_init_script(f"({WATCH_FIRST_PICTURE})()")
        page.goto(node.url(f"/watch/{ROOM}?via={via}"), wait_until="commit")
        eventually(lambda page=page: page.evaluate("window.firstPicture ?? 0"), "a picture", within=20)
        times.append(page.evaluate("window.firstPicture") / 1000)
        profile.close()
    spread = Spread.of(times, 1000)
    return {"p50": round(spread.p50, 1), "p95": round(spread.p95, 1), "max": round(spread.max, 1)}


def under_danmaku(browser: Browser, node: RunningNode, density: str, seconds: float) -> dict[str, Any]:
    profile = browser.new_context(**{**DESKTOP, "viewport": {"width": 1920, "height": 1080}})
    page = profile.new_page()
    _open(page, node, "webrtc")
    page.evaluate(f"window.danmaku.density = '{density}'")
    tasks = profile.new_cdp_session(page)
    tasks.send("Performance.enable")
    with _talking(node):
        time.sleep(5)  # until as many are on the screen as will be
        page.evaluate(f"({WATCH_TASKS})()")
        before, drawn, begun = _task_seconds(tasks), page.evaluate("window.danmaku.drawn"), time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - begun
        found = page.evaluate("[window.longTasks, window.frames, window.danmaku.drawn, window.danmaku.onScreen]")
        busy = _task_seconds(tasks) - before
    profile.close()
    long_tasks, frames, now_drawn, on_screen = found
    return {
        "density": density,
        "long_tasks": len(long_tasks),
        "longest_ms": round(max(long_tasks, default=0.0)),
        "frames_per_s": round(frames / passed, 1),
        "drawn_per_s": round((now_drawn - drawn) / passed, 1),
        "on_screen": on_screen,
        "main_thread_busy": round(busy / passed, 3),
    }


def _task_seconds(tasks: Any) -> float:
    metrics = tasks.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


@contextmanager
def _talking(node: RunningNode) -> Iterator[None]:
    shop, stop, numbers = Shopkeeper(node, ROOM), threading.Event(), itertools.count()

    def talk() -> None:
        begun = time.monotonic()
        for beat in itertools.count(1):
            batch = [next(numbers) for _ in range(DANMAKU_PER_S // POSTS_PER_S)]
            events = [{"kind": "danmaku", "body": {"text": f"{LINES[n % len(LINES)]} {n}"}} for n in batch]
            shop.ask("POST", "events", {"events": events})
            if stop.wait(max(0.0, begun + beat / POSTS_PER_S - time.monotonic())):
                return

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _open(page: Page, node: RunningNode, via: str) -> None:
    page.goto(node.url(f"/watch/{ROOM}?via={via}"))
    eventually(lambda: page.evaluate("window.streamer?.state.media.phase") == "playing", "a picture", within=30)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opens", type=int, default=20, help="per transport (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of danmaku (default %(default)s)")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="(default %(default)s)")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp())
    settings = itertools.chain.from_iterable(("--set", setting) for setting in FAST)
    size = ("--width", "640", "--height", "360", "--bitrate", "1000000", "--keyint", "2")
    with (
        running_node(folder, "--open", *settings) as node,
        DemoProcess(node.publish_url(ROOM), folder / "demo.log", options=size),
        sync_playwright() as playwright,
    ):
        eventually(lambda: node.metric("streamer_stream_units_total", room=ROOM) > 60, "a host", within=20)
        browser = playwright.chromium.launch(executable_path=args.chromium, args=list(CHROMIUM_FLAGS))
        report = {
            "load_before": os.getloadavg()[0],
            "weight_gzip_bytes": weight(browser, node),
            "first_picture_ms": {via: first_pictures(browser, node, via, args.opens) for via in ("webrtc", "ws")},
            "danmaku_at_50_per_s": [under_danmaku(browser, node, density, args.seconds) for density in ("some", "all")],
            "load_after": os.getloadavg()[0],
        }
        browser.close()
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The watch page for everybody: axe-core finds nothing, what is pressed is large enough, letters may be larger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.node import ROOT, RunningNode, running_node
from tests.support.shopkeeper import Shopkeeper
from tests.support.watching import DESKTOP, PHONE, Watching, watching

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

ROOM = "access"
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
SMALLEST_TARGET = 44
"""CSS pixels, WCAG 2.2, 2.5.5."""
CHECK = """async () => {
    const rules = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
    const { violations } = await axe.run(document, rules);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}"""
SMALL = """smallest => [...document.querySelectorAll("button, input:not([type=radio]), select, .chip")]
    .filter(node => node.checkVisibility({ visibilityProperty: true }))
    .map(node => [node, node.getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && (box.width < smallest || box.height < smallest))
    .map(([node, box]) => `${node.id || node.className}: ${box.width}x${box.height}`)"""
PLACES = {
    "the page": "",
    "settings": "#settings-open",
    "the shelf": "#bag",
    "an order": "#card .buy",
}


@pytest.fixture(scope="module")
def browser(chromium: str, built_pages: None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A host on the air who explains tea; a cup is sold out; somebody talks."""
    folder = tmp_path_factory.mktemp("node")
    with (
        running_node(folder, "--open", "--set", "shop.anonymous=true") as node,
        DemoProcess(node.publish_url(ROOM), folder / "demo.log"),
    ):
        eventually(lambda: node.metric("streamer_stream_units_total", room=ROOM) > 60, "a host", within=20)
        shop = Shopkeeper(node, ROOM)
        shop.product("tea", limit=2)
        shop.product("cup", stock=0)
        shop.ask("PUT", "shop/coupons/five", {"title": "Five off", "off": 500, "currency": "CNY", "total": 10})
        shop.ask("PUT", "shop/lotteries/draw", {"title": "A draw"})
        shop.show("tea")
        shop.say("notice", text="Welcome", level="important")
        shop.say("danmaku", text="hello", name="Ann")
        yield node


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm --prefix web ci")
    return Path(AXE).read_text(encoding="utf-8")


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_axe_finds_nothing(browser: Browser, node: RunningNode, axe: str, lang: str, screen: dict[str, Any]) -> None:
    # Animations are off: a colour that is half way is nobody's contrast.
    with watching(browser, node, ROOM, **screen, reduced_motion="reduce") as viewer:
        viewer.open(f"?via=ws&lang={lang}")
        viewer.until_shown("#card")
        viewer.page.evaluate(axe)
        for place, way in PLACES.items():
            if way and not viewer.page.is_visible(way):
                continue
            if way:
                viewer.press(way)
            assert viewer.page.evaluate(CHECK) == [], place
            assert viewer.page.evaluate(SMALL, SMALLEST_TARGET) == [], place
            viewer.page.keyboard.press("Escape")
        buy(viewer)
        assert viewer.page.evaluate(CHECK) == [], "the answer"


def buy(viewer: Watching) -> None:
    viewer.press("#card .buy")
    viewer.press("#order .buy.wide")
    viewer.until_shown("#order .answer-mark")


def test_axe_finds_nothing_where_nobody_is_live(browser: Browser, node: RunningNode, axe: str) -> None:
    with watching(browser, node, "nobody", **PHONE) as viewer:
        viewer.open("", plays=False)
        viewer.until_text("#trouble", "Nobody is live")
        viewer.page.evaluate(axe)
        assert viewer.page.evaluate(CHECK) == []


@pytest.mark.parametrize(("width", "height"), [(320, 568), (195, 422), (844, 390), (1024, 768), (1920, 1080)])
def test_everything_can_be_reached_at_any_size(browser: Browser, node: RunningNode, width: int, height: int) -> None:
    """195 pixels are a phone whose letters are twice as large."""
    with watching(browser, node, ROOM, viewport={"width": width, "height": height}) as viewer:
        viewer.open("?via=ws")
        viewer.until_shown("#card")
        for selector in ("#card .buy", "#card .away", "#settings-open", "#like", "#say", "#unmute"):
            box = viewer.page.locator(selector).bounding_box()
            assert box is not None, selector
            inside = (box["x"], box["y"], width - box["x"] - box["width"], height - box["y"] - box["height"])
            assert min(inside) >= -1, (selector, box)
        wide = viewer.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "nothing is scrolled sideways"
        viewer.press("#settings-open")
        viewer.press("#settings .chip:last-child")
        viewer.page.keyboard.press("Escape")
        viewer.press("#card .buy")
        viewer.until_shown("#order .buy.wide")

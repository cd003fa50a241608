"""What the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.embedder import ROOM, ask_room, embedding_site
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that anyone may publish to. Each test takes rooms of its own."""
    with running_node(tmp_path_factory.mktemp("node"), "--open", "--set", "flv.join_wait_s=15") as node:
        yield node


@pytest.fixture(scope="module")
def browser(chromium: str, built_pages: None) -> Iterator[Browser]:
    """Chromium, whose WebRTC may use the loopback."""
    flags = [*CHROMIUM_FLAGS, "--allow-loopback-in-peer-connection"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The origin of a site that embeds rooms."""
    with embedding_site() as origin:
        yield origin


@pytest.fixture(scope="module")
def show(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """The node with a host on the air, and tea in its shop."""
    with DemoProcess(node.publish_url(ROOM), tmp_path_factory.mktemp("demo") / "demo.log"):
        eventually(lambda: node.metric("streamer_stream_units_total", room=ROOM) > 60, "a host on the air", within=20)
        tea = {"title": "Tea", "amount": 999, "currency": "CNY", "stock": 3, "limit": 2}
        ask_room(node, "PUT", "/shop/products/tea", tea)
        yield node

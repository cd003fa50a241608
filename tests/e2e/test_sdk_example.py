"""The SDK in Chromium against a real node: on the node's own example page, and on a page of another site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from streamer.http_static import BUILT_PAGES
from tests.support.embedder import ROOM, ask_room, embedding_site, enter, heard, plays, room_token
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

TICKS_PER_MS = 90
SAY_HERE = """async () => {
    const before = session.nowT, { t } = await session.danmaku("here");
    return [before, t, session.nowT];
}"""


def test_the_example_shows_the_card_talks_and_buys(show: RunningNode, page: Page) -> None:
    assert len((BUILT_PAGES.parents[2] / "web/sdk/example.ts").read_text().splitlines()) <= 30
    page.goto(show.url(f"/web/sdk/example.html?room={ROOM}#{room_token(show, 'viewer', 'ann')}"))
    eventually(lambda: "playing" in (page.text_content("#state") or ""), "a picture", within=30)
    assert "webrtc" in (page.text_content("#state") or "")
    ask_room(show, "POST", "/shop/products/tea/show", {})
    page.wait_for_selector("#card:not([hidden])")
    assert page.text_content("#title") == "Tea"
    page.fill("#talk input", "你好")
    page.keyboard.press("Enter")
    page.wait_for_selector("#said li")
    assert page.locator("#said li").all_text_contents() == ["你好"]
    page.click("#buy")
    eventually(lambda: (page.text_content("#answer") or "").startswith("Yours: "), "a yes")
    page.keyboard.press("Tab")
    page.click("#buy")
    eventually(lambda: page.evaluate("session.shelf.products.get('tea').left") == 1, "the count")
    page.click("#buy")
    eventually(lambda: "as many as one may have" in (page.text_content("#answer") or ""), "a no in plain words")


@pytest.mark.parametrize("transport", ["webrtc", "ws", "http"])
def test_another_site_plays_and_events_fire_on_their_frame(
    show: RunningNode, page: Page, site: str, transport: str
) -> None:
    enter(page, show, site, transport=transport)
    plays(page, transport)
    now_t = page.evaluate("session.nowT")
    for number in range(5):
        ahead = {"t": now_t + 90 * (1500 + 150 * number)}
        ask_room(show, "POST", "/events", {"kind": "notice", "body": {"text": f"{transport} {number}"}, "at": ahead})

    def mine() -> list[dict[str, Any]]:
        return [event for event in heard(page, "notice") if event["body"]["text"].startswith(f"{transport} ")]

    eventually(lambda: len(mine()) == 5, "five notices")
    assert [event["body"]["text"] for event in mine()] == [f"{transport} {number}" for number in range(5)]
    frames = page.evaluate("heard.frames")
    for event in mine():
        assert event["epoch"] == page.evaluate("session.epoch")
        assert event["fired"]["by"] == "frame"
        assert event["fired"]["lateMs"] >= -1
        reached = next(t for t in frames if t > event["t"] - TICKS_PER_MS)  # FLV knows whole milliseconds
        assert event["fired"]["frameT"] == reached, "the first picture that the browser has shown of its time or later"
    before, said, after = page.evaluate(SAY_HERE)
    assert before <= said <= after
    assert page.evaluate("session.wallBoundMs") < 1000
    assert page.evaluate("Math.abs(session.nowWallMs - Date.now())") < 1000


def test_without_a_route_for_webrtc_the_picture_comes_by_websocket(show: RunningNode, page: Page, site: str) -> None:
    def nowhere(route: Route) -> None:
        answer = route.fetch()
        lines = [line for line in answer.text().splitlines() if not line.startswith("a=candidate")]
        route.fulfill(response=answer, body="\r\n".join(lines) + "\r\n")

    page.route("**/whep/*", nowhere)
    enter(page, show, site)
    plays(page, "ws")
    assert page.evaluate("heard.transports") == ["webrtc", "ws"]
    assert "no-route" in page.evaluate("heard.states.map(state => state.media.code)")
    before = page.evaluate("session.nowT")
    page.evaluate("session.setTransport('http')")
    plays(page, "http")
    eventually(lambda: page.evaluate("session.nowT") > before, "the position goes on")


def test_without_websockets_the_room_is_polled_and_the_picture_comes_by_http(
    show: RunningNode, page: Page, site: str
) -> None:
    page.add_init_script(
        "delete window.RTCPeerConnection; window.WebSocket = class { constructor() { "
        "setTimeout(() => this.onclose?.({ code: 1006 })); } close() {} };"
    )
    enter(page, show, site, token=room_token(show, "viewer", "bob"))
    plays(page, "http")
    eventually(lambda: page.evaluate("session.state.room.phase") == "polling", "the room", within=10)
    ask_room(show, "POST", "/events", {"kind": "notice", "body": {"text": "polled"}})
    eventually(lambda: any(e["body"]["text"] == "polled" for e in heard(page, "notice")), "the notice")
    bought = page.evaluate("session.buy({ product: 'tea', amount: 1, currency: 'CNY' })")
    assert (bought["ok"], bought["refusal"]["code"]) == (False, 1125)


def test_a_purchase_outlives_its_connection(show: RunningNode, page: Page, site: str) -> None:
    """The socket swallows the answer and breaks: the same key is sent again, and there is one order."""
    page.add_init_script(
        """window.WebSocket = class extends WebSocket {
          send(data) {
            super.send(data);
            if (data.includes('"buy"') && !window.broken) { window.broken = true; this.onmessage = null;
              setTimeout(() => { this.close(); this.onclose({ code: 1006 }); }, 300); }
          } };"""
    )
    enter(page, show, site, transport="ws", token=room_token(show, "viewer", "eve"))
    plays(page, "ws")
    bought = page.evaluate("session.buy({ product: 'tea', amount: 999, currency: 'CNY' })")
    assert bought["ok"]
    assert bought["order"]["duplicate"]
    attempts = page.evaluate("heard.notices.filter(n => n.name === 'buying').map(n => n.notice)")
    assert attempts[-1] == {**attempts[0], "phase": "answered", "attempts": 2}
    left = page.evaluate("order => session.order(order)", bought["order"]["order"])
    assert left["state"] == "reserved"
    assert page.evaluate("order => session.cancel(order)", bought["order"]["order"])["state"] == "released"


def test_only_the_sites_that_are_named_may_embed(chromium: str, browser: Browser, site: str, tmp_path: Path) -> None:
    with running_node(tmp_path / "node", "--open", "--set", f"http.origins={site}") as node:
        status, headers, _ = node.get("/web/sdk.js")
        assert status == 200
        assert headers.get("Access-Control-Allow-Origin") is None
        page = browser.new_page()
        with DemoProcess(node.publish_url(ROOM), tmp_path / "demo.log"):
            enter(page, node, site, transport="ws")
            plays(page, "ws")
        page.close()
        with embedding_site() as other:
            page = browser.new_page()
            page.goto(other)
            page.wait_for_function("() => 'enter' in window")
            refused = page.evaluate(
                "origin => enter(origin, 'shop', {}).then(() => 'entered', error => String(error))", node.url("")
            )
            assert "Failed to fetch" in refused
            opened = page.evaluate(
                """url => new Promise((resolve) => { const socket = new WebSocket(url);
                   socket.onopen = () => resolve("open"); socket.onclose = () => resolve("refused"); })""",
                node.url(f"/rooms/{ROOM}/ws", "ws"),
            )
            assert opened == "refused"
            page.close()


@pytest.mark.parametrize("transport", ["webrtc", "ws"])
def test_a_rung_is_chosen_from_the_menu_and_one_that_is_not_there_is_given_up(
    show: RunningNode, page: Page, site: str, transport: str
) -> None:
    enter(page, show, site, transport=transport)
    plays(page, transport)
    best = page.evaluate("session.renditions()")[0]
    assert (best["name"], best["width"], best["height"], best["codec"][:4]) == ("source", 320, 180, "avc1")
    before = page.evaluate("session.nowT")
    page.evaluate("session.setRendition('source')")
    eventually(lambda: page.evaluate("session.nowT") > before, "the position goes on", within=20)
    assert page.evaluate("session.rendition") == "source"
    page.evaluate("session.setRendition('none of this name')")
    eventually(lambda: page.evaluate("session.rendition") is None, "the rung is given up", within=20)
    plays(page, transport)

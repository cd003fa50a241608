"""The watch page as people use it: real clicks and keys in Chromium, against a real node with a host and a shop."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, WebSocketRoute, sync_playwright

from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.encoders import DemoProcess
from tests.support.eventually import eventually
from tests.support.node import RunningNode, running_node
from tests.support.shopkeeper import Shopkeeper
from tests.support.watching import DESKTOP, PHONE, Watching, watching

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

ROOM = "story"
BUY = "#order .buy.wide"
KEPT = "#order .done"
PRESS_AN_HOUR_LATER = """button => {
    const later = Date.now() + 3_600_000;
    Object.defineProperty(streamer, "nowWallMs", { configurable: true, get: () => later });
    document.querySelector(button).click();
}"""
"""Nothing is drawn in between."""


@pytest.fixture(scope="module")
def browser(chromium: str, built_pages: None) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """Whoever opens the page may buy."""
    folder = tmp_path_factory.mktemp("node")
    settings = ("--set", "shop.anonymous=true", "--set", "shop.pay_s=119")
    with (
        running_node(folder, "--open", *settings) as node,
        DemoProcess(node.publish_url(ROOM), folder / "demo.log"),
    ):
        eventually(lambda: node.metric("streamer_stream_units_total", room=ROOM) > 60, "a host", within=20)
        yield node


@pytest.fixture(scope="module")
def shop(node: RunningNode) -> Shopkeeper:
    return Shopkeeper(node, ROOM)


@pytest.fixture
def viewer(browser: Browser, node: RunningNode) -> Iterator[Watching]:
    with watching(browser, node, ROOM, **DESKTOP) as viewer:
        yield viewer


@contextmanager
def on_show(shop: Shopkeeper, **fields: Any) -> Iterator[str]:
    """A product of its own, explained by the host for the length of a block."""
    name = f"tea-{uuid.uuid4().hex[:6]}"
    shop.product(name, **fields)
    shop.show(name)
    try:
        yield name
    finally:
        shop.ask("POST", f"shop/products/{name}/hide")


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("via", ["webrtc", "ws", "http"])
def test_the_whole_story(
    browser: Browser, node: RunningNode, shop: Shopkeeper, via: str, screen: dict[str, Any]
) -> None:
    with watching(browser, node, ROOM, **screen) as viewer:
        viewer.open(f"?via={via}")
        assert viewer.ask("streamer.transport") == via
        viewer.press("#unmute")
        assert viewer.page.evaluate("document.querySelector('#video').muted") is False
        words = f"你好 🎉 {uuid.uuid4().hex[:6]}"
        viewer.say(words)
        eventually(lambda: viewer.page.locator(".saying.own", has_text=words).count() == 1, "one's own words")
        eventually(lambda: viewer.ask("danmaku.drawn") >= 1, "they cross the picture")
        likes = viewer.ask("streamer.totals.likes")
        for _ in range(3):
            viewer.press("#like")
        eventually(lambda: viewer.ask("streamer.totals.likes") == likes + 3, "the likes are counted")
        with on_show(shop, stock=3, limit=2) as tea:
            viewer.until_text("#card", tea.title())
            assert "CN¥9.99" in viewer.text("#card")
            buy_and_give_back(viewer, shop, tea)
            buy_too_many(viewer, shop, tea)
        viewer.until_gone("#card")


def buy_and_give_back(viewer: Watching, shop: Shopkeeper, tea: str) -> None:
    buy_two(viewer)
    bought = [order for order in shop.orders() if order["product"] == tea]
    assert len(bought) == 1, "pressed twice, bought once"
    assert bought[0]["order"] in viewer.text("#order .answer")
    assert (int(bought[0]["quantity"]), bought[0]["type"]) == (2, "reserved")
    assert "Pay within 1:5" in viewer.text("#order .answer-time")
    viewer.until_text("#card", "1 left")
    viewer.press("#order .act")
    viewer.until_text("#order .answer", "Given back")
    viewer.press(KEPT)
    viewer.until_text("#card", "3 left")


def buy_two(viewer: Watching) -> None:
    viewer.press("#card .buy")
    viewer.press("#order [aria-label='One more']")
    assert "CN¥19.98" in viewer.text(BUY)
    viewer.page.locator(BUY).dblclick()
    viewer.until_text("#order .answer", "It is yours")


def buy_too_many(viewer: Watching, shop: Shopkeeper, tea: str) -> None:
    buy_two(viewer)
    viewer.press(KEPT)
    viewer.press("#card .buy")
    viewer.press(BUY)
    viewer.until_text("#order .answer", "Not bought")
    assert "as many as one buyer may have" in viewer.text("#order .answer")
    viewer.press(KEPT)
    shop.product(tea, stock=2, limit=2, version=2)
    eventually(lambda: viewer.text("#card .buy") == "Sold out", "there is none left")
    assert viewer.page.get_attribute("#card .buy", "aria-disabled") == "true"


def test_a_double_tap_does_not_give_back_what_it_has_bought(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    with on_show(shop) as tea:
        viewer.press("#card .buy")
        viewer.page.evaluate(TAP_WHERE_THE_ANSWER_IS)
        viewer.press(BUY)
        viewer.until_text("#order .answer", "It is yours")
        assert viewer.ask("tapped") == "Give it back"
        viewer.press("#order .act")
        viewer.until_text("#order .answer", "Given back")
    assert [order["type"] for order in shop.orders() if order["product"] == tea] == ["reserved", "released"]


TAP_WHERE_THE_ANSWER_IS = """() => {
    const sheet = document.querySelector("#order");
    new MutationObserver((_, watch) => {
        if (sheet.dataset.step !== "yes") return;
        watch.disconnect();
        const act = sheet.querySelector(".act");
        act.click();
        window.tapped = act.textContent;
    }).observe(sheet, { attributes: true });
}"""


def test_the_keyboard_alone_is_enough(viewer: Watching, shop: Shopkeeper) -> None:
    keys = viewer.page.keyboard
    viewer.open("?via=ws")
    keys.press("m")
    assert viewer.page.evaluate("document.querySelector('#video').muted") is False
    keys.press("k")
    assert viewer.page.evaluate("document.querySelector('#video').paused")
    keys.press(" ")
    eventually(lambda: not viewer.page.evaluate("document.querySelector('#video').paused"), "it plays on")
    keys.press("c")
    assert viewer.focused() == "say"
    keys.type("by keyboard")
    keys.press("Enter")
    eventually(lambda: viewer.page.locator(".saying.own", has_text="by keyboard").count() == 1, "it was said")
    keys.press("Escape")
    with on_show(shop):
        viewer.until_shown("#card")
        keys.press("b")
        viewer.until_shown("#order")
        assert "buy" in viewer.focused()
        keys.press("Enter")
        viewer.until_text("#order .answer", "It is yours")
        assert "done" in viewer.focused()
        keys.press("Escape")
        viewer.until_gone("#order")
    keys.press("d")
    assert viewer.page.is_hidden("#danmaku")
    keys.press("d")


def test_the_keys_can_be_turned_off_and_stay_off(viewer: Watching) -> None:
    keys, muted = viewer.page.keyboard, "document.querySelector('#video').muted"
    viewer.open("?via=ws")
    for other in ("Shift+M", "Alt+m"):
        keys.press(other)
        assert viewer.page.evaluate(muted), other
    turn_keys(viewer, "off")
    for _ in range(2):
        for key in "mkc ":
            viewer.page.evaluate("document.activeElement.blur()")  # a focused button takes the space bar
            keys.press(key)
        assert viewer.page.evaluate(muted)
        assert not viewer.page.evaluate("document.querySelector('#video').paused")
        assert viewer.focused() != "say"
        viewer.open("?via=ws")
    turn_keys(viewer, "on")
    keys.press("c")
    keys.type("mm")
    assert viewer.page.evaluate(muted), "it is typed"
    assert viewer.page.input_value("#say") == "mm"
    keys.press("Escape")
    assert viewer.focused() != "say"
    keys.press("m")
    assert not viewer.page.evaluate(muted)


def turn_keys(viewer: Watching, value: str) -> None:
    viewer.press("#settings-open")
    viewer.press(f"#settings .chip:has([name=shortcuts][value={value}])")
    viewer.page.keyboard.press("Escape")
    viewer.until_gone("#settings")


def test_tab_goes_through_everything_in_order_and_stays_in_a_sheet(viewer: Watching) -> None:
    viewer.open("?via=ws")
    seen = []
    while "say" not in seen and len(seen) < 100:
        viewer.page.keyboard.press("Tab")
        seen.append(viewer.focused())
    assert seen[:6] == ["unmute", "play", "sound", "danmaku-switch", "full", "settings-open"]
    assert seen[-1] == "say"
    viewer.press("#settings-open")
    inside = "document.querySelector('#settings').contains(document.activeElement)"
    for _ in range(30):
        viewer.page.keyboard.press("Tab")
        assert viewer.page.evaluate(f"{inside} || document.activeElement === document.body")
    viewer.page.keyboard.press("Escape")
    viewer.until_gone("#settings")
    assert viewer.focused() == "settings-open", "the focus is given back"


def test_the_language_changes_while_it_plays_and_is_remembered(viewer: Watching) -> None:
    viewer.open("?via=ws")
    connections = viewer.ask("streamer.stats.connections")
    viewer.press("#settings-open")
    viewer.press("#settings .chip:has-text('中文')")
    viewer.until_text("#settings .sheet-title", "设置")
    assert viewer.page.evaluate("document.documentElement.lang") == "zh-CN"
    assert viewer.page.get_attribute("#say", "placeholder") == "说点什么"
    assert viewer.ask("streamer.stats.connections") == connections
    viewer.open("")
    assert viewer.page.get_attribute("#say", "placeholder") == "说点什么"
    viewer.open("?lang=en")
    assert viewer.page.get_attribute("#say", "placeholder") == "Say something"


def test_the_connection_is_chosen_by_hand_and_the_picture_does_not_blink(viewer: Watching) -> None:
    viewer.open("?via=webrtc")
    viewer.page.evaluate("""() => {
        window.blinks = 0;
        const [video, still] = [document.querySelector('#video'), document.querySelector('#still')];
        const look = () => {
            if (video.readyState < 2 && still.hidden) window.blinks++;
            requestAnimationFrame(look);
        };
        look();
    }""")
    viewer.press("#settings-open")
    viewer.press("#settings .chip:has-text('WebSocket')")
    eventually(lambda: viewer.ask("streamer.transport") == "ws", "the other way")
    viewer.plays()
    viewer.until_text("#settings .facts", "WebSocket")
    eventually(lambda: viewer.page.is_hidden("#still"), "the picture itself")
    assert viewer.ask("blinks") <= 1


def test_a_flash_sale_counts_down_opens_and_ends(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    with on_show(shop, listed=False) as tea:
        sale = {"product": tea, "amount": 100, "total": 5, "sync": "frame", "opens_in_ms": 8500, "duration_ms": 9000}
        shop.ask("PUT", f"shop/sales/{tea}", sale)
        viewer.until_text("#card", "Opens in 0:0")
        assert viewer.page.get_attribute("#card .buy", "aria-disabled") == "true"
        eventually(lambda: viewer.text("#card .buy") == "Buy", "it opens", within=20)
        viewer.until_text("#card", "Ends in 0:0")
        viewer.press("#card .buy")
        viewer.press(BUY)
        viewer.until_text("#order .answer", "It is yours")
        assert "CN¥1.00" in viewer.text("#order .answer")
        viewer.press(KEPT)
        eventually(lambda: viewer.text("#card .buy") == "Sale over", "it ends", within=15)


def test_a_press_just_after_a_sale_does_not_buy_at_a_price_that_was_not_shown(
    viewer: Watching, shop: Shopkeeper
) -> None:
    viewer.open("?via=ws")
    with on_show(shop) as tea:
        sale = {"product": tea, "amount": 100, "total": 5, "sync": "frame", "duration_ms": 60_000}
        shop.ask("PUT", f"shop/sales/{tea}", sale)
        viewer.until_text("#card", "CN¥1.00")
        viewer.press("#card .buy")
        viewer.until_text(BUY, "CN¥1.00")
        viewer.page.evaluate("window.sent = []; streamer.on('buying', (buying) => sent.push(buying))")
        viewer.page.evaluate(PRESS_AN_HOUR_LATER, BUY)
        viewer.until_text(BUY, "CN¥9.99")
        assert viewer.ask("sent.length") == 0
        assert [order for order in shop.orders() if order["product"] == tea] == []

        def bought() -> bool:
            viewer.page.evaluate("button => document.querySelector(button).click()", BUY)
            return "It is yours" in (viewer.page.text_content("#order .answer") or "")

        eventually(bought, "the price that is shown now wants a press of its own")
    (order,) = [order for order in shop.orders() if order["product"] == tea]
    assert (int(order["total"]), order.get("sale", "")) == (999, "")


def test_a_coupon_is_taken_and_used(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    coupon = f"five-{uuid.uuid4().hex[:6]}"
    fields = {"title": "Five off", "off": 500, "currency": "CNY", "total": 10}
    with on_show(shop) as tea:
        shop.ask("PUT", f"shop/coupons/{coupon}", {**fields, "product": tea})
        viewer.press(".extra .button")
        viewer.until_text(".extra", "You have it")
        viewer.press("#card .buy")
        viewer.page.select_option("#order select", coupon)
        viewer.until_text(BUY, "CN¥4.99")
        viewer.press(BUY)
        viewer.until_text("#order .answer", "CN¥4.99")


def test_a_draw_is_entered_and_won(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    draw = f"draw-{uuid.uuid4().hex[:6]}"
    shop.ask("PUT", f"shop/lotteries/{draw}", {"title": draw})
    row = f".extra:has-text('{draw}')"
    viewer.press(f"{row} .button")
    viewer.until_text(row, "You take part")
    shop.ask("POST", f"shop/lotteries/{draw}/close")
    viewer.until_text(row, "Closed, not drawn yet")
    shop.ask("POST", f"shop/lotteries/{draw}/draw")
    viewer.until_text(row, "You have won!")


def test_what_is_said_is_text_and_never_markup(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    evil = "<img src=x onerror=alert(1)><b>bold</b>"
    shop.say("danmaku", text=evil, name="<i>eve</i>")
    shop.say("notice", text=evil)
    viewer.until_text(".chat-log", evil)
    viewer.until_text("#notice", evil)
    assert viewer.page.locator(".chat-log :is(img, i), .chat-log b b, #notice *").count() == 0


def test_a_refusal_is_said_in_plain_words_and_the_words_come_back(viewer: Watching) -> None:
    viewer.open("?via=ws")
    words = uuid.uuid4().hex[:8]
    viewer.say(words)
    eventually(lambda: viewer.page.locator(".saying.own", has_text=words).count() == 1, "said once")
    viewer.say(words)
    viewer.until_text("#say-note", "You have just said that.")
    assert viewer.page.input_value("#say") == words


def test_who_is_quicker_than_the_answer_is_heard(viewer: Watching) -> None:
    held: list[str | bytes] = []

    def hold_back(page: WebSocketRoute) -> None:
        node = page.connect_to_server()

        def forward(message: str | bytes) -> None:
            if json.loads(message).get("type") == "ack":
                held.append(message)
            else:
                page.send(message)

        node.on_message(forward)

    viewer.page.route_web_socket("**/rooms/**", hold_back)
    viewer.open("?via=ws")
    first, second = uuid.uuid4().hex[:8], uuid.uuid4().hex[:8]
    viewer.say(first)
    viewer.say(second)
    eventually(lambda: viewer.page.locator(".saying.own").count() == len(held) == 2, "both are said")
    assert viewer.page.locator(".saying.own").all_inner_texts() == [f"You {first}", f"You {second}"]


def test_likes_of_a_muted_viewer_are_taken_back_and_it_is_said_why(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    shop.say("mute", sender=viewer.ask("streamer.you.sender"), until_ms=round(1000 * (time.time() + 60)))

    def refused() -> bool:
        viewer.press("#like")
        return "turned messages and likes off" in viewer.text("#say-note")

    eventually(refused, "it is said why")
    shown = "document.querySelector('#like .number').textContent === String(streamer.totals.likes || '')"
    eventually(lambda: viewer.page.evaluate(shown), "what the server has counted")


def test_words_that_the_connection_was_lost_on_come_back(viewer: Watching) -> None:
    lost: list[str | bytes] = []

    def cut(page: WebSocketRoute) -> None:
        node = page.connect_to_server()

        def forward(message: str | bytes) -> None:
            if not lost and json.loads(message).get("type") == "send":
                lost.append(message)
                page.close()
            else:
                node.send(message)

        page.on_message(forward)

    viewer.page.route_web_socket("**/rooms/**", cut)
    viewer.open("?via=webrtc")
    viewer.say("hello?")
    viewer.until_text("#say-note", "The connection was lost.")
    assert viewer.page.input_value("#say") == "hello?"


def test_words_that_a_moderator_takes_away_are_gone(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    words = uuid.uuid4().hex[:8]
    said = shop.say("danmaku", text=words)
    viewer.until_text(".chat-log", words)
    shop.say("delete", event=said["id"])
    eventually(lambda: words not in viewer.text(".chat-log"), "it is taken away")


def test_a_gift_and_a_notice_are_told(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    shop.say("notice", text="Back in five minutes", level="important")
    shop.say("gift", gift="rose", count=9, giver="ann", name="Ann")
    viewer.until_text("#gifts", "Ann gives rose ×9")
    viewer.until_text("#notice", "Back in five minutes")


def test_less_motion_is_a_quiet_list(browser: Browser, node: RunningNode, shop: Shopkeeper) -> None:
    with watching(browser, node, ROOM, **PHONE, reduced_motion="reduce") as viewer:
        viewer.open("?via=ws")
        words = uuid.uuid4().hex[:8]
        shop.say("danmaku", text=words)
        viewer.until_text("#ticker", words)
        assert viewer.page.is_hidden("#danmaku")
        viewer.press("#like")
        assert viewer.ask("danmaku.drawn") == 0


def test_without_websockets_the_room_is_polled(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.page.route_web_socket("**/*", lambda socket: socket.close())
    viewer.open("")
    assert viewer.ask("streamer.state.room.phase") == "polling"
    with on_show(shop):
        viewer.until_shown("#card", within=20)
        viewer.press("#card .buy")
        viewer.press(BUY)
        viewer.until_text("#order .answer", "It is yours", within=20)
    viewer.complaints.clear()  # the browser's own words on each socket that was closed


def test_offline_is_said_after_a_while_and_online_again_needs_no_press(viewer: Watching) -> None:
    sockets: list[WebSocketRoute] = []

    def through(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    viewer.page.route_web_socket("**/*", through)
    viewer.open("?via=ws")
    viewer.page.context.set_offline(True)
    for socket in sockets.copy():
        socket.close()
    viewer.until_text("#trouble", "You are offline")
    eventually(lambda: viewer.page.is_visible("#still"), "the last picture stays")
    viewer.page.context.set_offline(False)
    viewer.plays()
    eventually(lambda: viewer.page.is_hidden("#trouble"), "nothing in front of the picture")
    own = [said for said in viewer.complaints if "ERR_INTERNET_DISCONNECTED" not in said]
    viewer.complaints[:] = own


def test_an_expired_link_is_said_and_the_picture_plays(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open(f"?via=ws#token={shop.token('viewer', 'ann', hours=-1)}", plays=False)
    viewer.until_text("#trouble", "Your link has expired", within=20)
    eventually(lambda: viewer.ask("streamer.state.media.phase") == "playing", "the picture", within=20)
    assert viewer.page.is_disabled("#say")
    assert "token" not in viewer.page.url
    viewer.complaints.clear()


def test_another_link_in_the_same_tab_is_taken(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open(f"?via=ws#token={shop.token('viewer', 'ann', hours=-1)}", plays=False)
    viewer.until_text("#trouble", "Your link has expired", within=20)
    viewer.complaints.clear()
    viewer.page.evaluate("token => (location.hash = `token=${token}`)", shop.token("viewer", "bea"))
    viewer.plays()
    assert viewer.ask("streamer.you.sender") == "bea"
    assert "token" not in viewer.page.url
    eventually(lambda: viewer.page.is_hidden("#trouble"), "nothing in front of the picture")
    viewer.open("?via=ws")
    assert viewer.ask("streamer.you.sender") == "bea", "kept for this tab"


def test_a_token_behind_the_address_is_who_buys(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open(f"?via=ws#token={shop.token('viewer', 'ann')}")
    assert viewer.ask("streamer.you.sender") == "ann"
    assert "token" not in viewer.page.url
    viewer.open("?via=ws")
    assert viewer.ask("streamer.you.sender") == "ann", "kept for this tab"
    with on_show(shop) as tea:
        viewer.until_shown("#card")
        viewer.press("#card .buy")
        viewer.press(BUY)
        viewer.until_text("#order .answer", "It is yours")
    (order,) = [order for order in shop.orders() if order["product"] == tea]
    assert order["buyer"] == "ann"


def test_orders_of_this_visit_outlive_a_reload(viewer: Watching, shop: Shopkeeper) -> None:
    viewer.open("?via=ws")
    with on_show(shop) as tea:
        viewer.until_shown("#card")
        viewer.press("#card .buy")
        viewer.press(BUY)
        viewer.until_text("#order .answer", "It is yours")
    (order,) = [order["order"] for order in shop.orders() if order["product"] == tea]
    viewer.open("?via=ws")
    viewer.press(".order-row")
    viewer.until_text("#order .answer", order)
    shop.ask("POST", f"shop/orders/{order}/confirm")
    viewer.until_text("#order .answer", "is paid and confirmed", within=15)


def test_a_purchase_whose_answer_a_reload_has_cut_off_is_asked_for_again_and_not_bought_twice(
    viewer: Watching, shop: Shopkeeper
) -> None:
    lost: list[str | bytes] = []

    def lose_orders(page: WebSocketRoute) -> None:
        node = page.connect_to_server()

        def forward(message: str | bytes) -> None:
            if not lost and json.loads(message).get("type") == "order":
                lost.append(message)
            else:
                page.send(message)

        node.on_message(forward)

    viewer.page.route_web_socket("**/rooms/**", lose_orders)
    viewer.open("?via=webrtc")
    with on_show(shop) as tea:
        viewer.until_shown("#card")
        viewer.press("#card .buy")
        viewer.press("#order [aria-label='One more']")
        viewer.press(BUY)
        eventually(lambda: viewer.page.is_visible(BUY) and lost, "the answer is lost")
        viewer.open("?via=webrtc")
        viewer.until_text("#order .answer", "you will not buy twice")
        viewer.until_text("#order .answer", f"{tea.title()} ×2 · CN¥19.98")
        assert "act" in viewer.focused()
        viewer.press("#order .act")
        viewer.until_text("#order .answer", "It is yours")
        (order,) = [order for order in shop.orders() if order["product"] == tea]
        assert order["order"] in viewer.text("#order .answer")
        assert int(order["quantity"]) == 2
        viewer.open("?via=webrtc")
        viewer.until_text(".order-row", "Reserved")
        assert viewer.page.is_hidden("#order"), "it was answered"


def test_what_else_stands_where_a_purchase_is_kept_does_no_harm(viewer: Watching) -> None:
    viewer.page.add_init_script(f"sessionStorage.setItem('streamer.buying.{ROOM}', '{{\"key\": 7')")
    viewer.open("?via=ws")
    assert viewer.page.is_hidden("#order")


def test_a_room_without_a_host_says_so_and_begins_by_itself(browser: Browser, node: RunningNode) -> None:
    with watching(browser, node, "early", **PHONE) as viewer:
        viewer.open("?via=webrtc", plays=False)
        viewer.until_text("#trouble", "Nobody is live in this room yet")
        with DemoProcess(node.publish_url("early"), node.folder / "early.log"):
            viewer.plays()
            eventually(lambda: viewer.page.is_hidden("#trouble"), "nothing in front of the picture")
            assert viewer.text("#badge") == "Live"
        viewer.until_text("#trouble", "The host's picture has stopped", within=15)
        assert viewer.text("#badge") == "Waiting"

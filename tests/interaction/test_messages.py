"""Messages and bodies from peers: they parse, or are refused by number; nothing else ever escapes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interaction.body import schema
from interaction.broker import Opened, Position
from interaction.framing import JSON_SSE, JSON_WS, MSGPACK_WS
from interaction.intake import Intake
from interaction.kinds import KINDS, Role, kind_for
from interaction.packing import Format, pack, unpack, unpack_map
from interaction.placement import place
from interaction.record import RecordError, pack_event, to_client, unpack_event
from interaction.refusal import MALFORMED, TOKEN, TOO_LARGE, UNKNOWN_COMMAND, Refused
from interaction.room import Room
from interaction.session import COMMANDS, Session, known_position
from interaction.settings import RoomSettings
from interaction.spread import Spread, tick_s
from interaction.timelines import HostDelay, anchor, remote_timeline
from interaction.tokens import Identity, Tokens
from interaction.viewer import Viewer
from media.event import Event, Lane
from media.reasons import IDLE, TOO_SLOW
from media.ticks import Ticks
from tests.support.rooms import LocalTimelines, RealClock, RunningTimeline
from wire.websocket import CLOSE, PING, WsParser

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63) + 1, (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
ANYTHING = st.binary(max_size=200) | PLAIN.map(msgpack.packb) | PLAIN.map(lambda value: json.dumps(value).encode())


@given(ANYTHING, st.sampled_from(Format))
@settings(max_examples=400)
def test_a_message_unpacks_or_is_refused(data: bytes, form: Format) -> None:
    refused = message = None
    try:
        message = unpack_map(data, form, limit=150)
    except Refused as exc:
        refused = exc.refusal
    if message is None:
        assert refused in (MALFORMED, TOO_LARGE)
    else:
        assert unpack(pack(message, form), form, limit=1000) == message


MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["send", "ping", "time", "calibrate", "join"]) | PLAIN,
        "kind": st.sampled_from(sorted(KINDS)) | PLAIN,
        "body": PLAIN | st.dictionaries(st.sampled_from(["text", "product", "amount", "count", "mode"]), PLAIN),
        "at": PLAIN | st.just("now") | st.fixed_dictionaries({"t": PLAIN}) | st.fixed_dictionaries({"wall_ms": PLAIN}),
        "epoch": PLAIN,
        "id": PLAIN,
        "ref": PLAIN,
        "samples": PLAIN,
        "host_delay_ms": PLAIN,
    },
)


class _Pipe:
    """A transport that keeps what is written, and can be told how much of it is still owed."""

    def __init__(self) -> None:
        self.owed = 0
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.owed

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class _Intake:
    """Everything of taking an event in but the store."""

    def __init__(self) -> None:
        self.intake = Intake(None, clock=RealClock())  # type: ignore[arg-type]

    async def take(self, room: Room, identity: Identity, *, address: str, message: Any) -> dict[str, Any]:
        kind = kind_for(message.get("kind"))
        event, _ = self.intake._check(room, identity, kind, message, address=address)
        return {"type": "ack", "id": event.id}

    async def calibrate(self, room: Room, identity: Identity, message: Any) -> dict[str, Any]:
        raise Refused(UNKNOWN_COMMAND)


def _session(role: Role) -> Session:
    opened = Opened(Position("log", 0), 0, {}, (), ())
    quick = RoomSettings(user_rate=1e4, user_burst=1e4, address_rate=1e5, address_burst=1e5)
    timelines = LocalTimelines(r=RunningTimeline())
    room = Room("r", opened, settings=quick, clock=RealClock(), timelines=timelines, choose=random.Random(1))
    viewer = Viewer(_Pipe(), MSGPACK_WS, Identity("s", role), address="", now=0)
    return Session(room, viewer, None, _Intake(), RealClock(), COMMANDS)  # type: ignore[arg-type]


@given(st.lists(MESSAGES.map(msgpack.packb) | st.binary(max_size=60), min_size=1, max_size=5), st.sampled_from(Role))
@settings(max_examples=300)
def test_whatever_a_client_sends_is_answered_or_numbered(messages: list[bytes], role: Role) -> None:
    session = _session(role)
    for message in messages:
        before = len(session.viewer.transport.written)  # type: ignore[attr-defined]
        asyncio.run(session.receive(message))
        assert len(session.viewer.transport.written) > before  # type: ignore[attr-defined]


@given(PLAIN, st.sampled_from(sorted(KINDS)), st.sampled_from(Role))
@settings(max_examples=200)
def test_a_body_is_right_or_refused(body: Any, kind: str, role: Role) -> None:
    try:
        found = KINDS[kind].parse(body, role)
    except Refused:
        return
    assert KINDS[kind].parse(found, role) == found
    assert len(pack(found)) <= KINDS[kind].max_bytes + 100


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("product.show", {"product": "a", "image": "javascript:alert(1)"}),
        ("product.show", {"product": "a", "image": "//evil.example/x"}),
        ("product.show", {"product": "a", "amount": 1.5}),
        ("product.show", {"product": "a", "amount": True}),
        ("price", {"product": "a", "amount": -1, "currency": "CNY"}),
        ("price", {"product": "a", "amount": 10**13, "currency": "CNY"}),
        ("stock", {"product": "a b", "left": 1}),
        ("danmaku", {"text": "a\x00b"}),
        ("danmaku", {"text": "x", "mode": "sideways"}),
        ("like", {"count": 51}),
        ("sync", {"mode": None}),
    ],
)
def test_bodies_out_of_bounds_are_refused(kind: str, body: dict[str, Any]) -> None:
    with pytest.raises(Refused) as raised:
        KINDS[kind].parse(body, Role.BACKEND)
    assert raised.value.refusal.code == 1104


def test_every_kind_has_a_schema() -> None:
    for kind in KINDS.values():
        described = schema(kind.body)
        assert described["additionalProperties"] is False
        assert set(described["required"]) <= set(described["properties"])


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_a_stored_record_reads_or_is_called_corrupt(data: bytes) -> None:
    try:
        unpack_event(data, Lane.COMMERCE, position="1-0", at_ms=0)
    except (RecordError, ValueError):
        return


def test_a_record_comes_back_as_it_was_stored() -> None:
    event = Event("i", "e", Ticks(7), 3, "notice", Lane.COMMERCE, None, "s", {"text": "你"})
    record = unpack_event(pack_event(event, 12), Lane.COMMERCE, position="3-0", at_ms=5)
    assert (record.event, record.bound_ms, to_client(record)["seq"]) == (event, 12, 3)


@given(st.text(max_size=60) | st.binary(max_size=40) | st.none())
@settings(max_examples=200)
def test_a_forged_token_is_refused(token: Any) -> None:
    with pytest.raises(Refused) as raised:
        Tokens(["key"]).verify(token, room="r", wall=0)
    assert raised.value.refusal is TOKEN


def test_a_token_holds_for_its_room_its_time_and_any_of_the_keys() -> None:
    old = Tokens(["old"]).sign(Identity("u", Role.HOST, "名"), room="r", expires=100)
    both = Tokens(["new", "old"])
    assert both.verify(old, room="r", wall=99) == Identity("u", Role.HOST, "名")
    for room, wall, tokens in (("r", 100, both), ("other", 0, both), ("r", 0, Tokens(["new"]))):
        with pytest.raises(Refused):
            tokens.verify(old, room=room, wall=wall)
    with pytest.raises(Refused):
        both.verify(old[:-2], room="r", wall=0)


def test_a_clock_of_another_node_places_events_as_its_owner_would() -> None:
    fields = {
        b"epoch": b"e",
        b"t": b"900000",
        b"edge": b"890000",
        b"at": b"50000",
        b"host_delay": b"300",
        b"bound": b"20",
    }
    timeline, delay = remote_timeline(fields, store_ms=51_000, wall_s=1_000.0)
    assert timeline is not None
    assert timeline.to_media(1_000.0) == 900_000 + 90_000
    assert (timeline.live_edge(), delay) == (890_000, HostDelay(300, 20))
    stale, _ = remote_timeline(fields, store_ms=56_000, wall_s=1_000.0)
    assert stale is None


def test_an_anchor_is_the_same_in_every_process() -> None:
    timeline = RunningTimeline("epoch")
    found = anchor(timeline)
    assert found is not None
    origin = int.from_bytes(hashlib.sha256(b"epoch").digest()[:4], "big")
    assert (found["rtp"] - found["t"]) % (1 << 32) == origin


def test_before_the_show_events_are_shown_on_arrival() -> None:
    placed = place("now", role=Role.HOST, epoch=None, timeline=None, delay=HostDelay(), wall_s=0)
    assert (placed.epoch, placed.t) == (None, None)


def test_what_a_client_says_it_has_is_checked() -> None:
    assert known_position({"log": "a", "seq": 3, "id": 7}) == Position("a", 3, None)
    for since in ("a", {"log": "a"}, {"log": 3, "seq": 3}, {"log": "a", "seq": True}):
        with pytest.raises(Refused):
            known_position(since)


def _events(count: int) -> dict[str, Any]:
    return {"type": "events", "events": [{"n": number} for number in range(count)]}


def test_a_slow_viewer_loses_ambient_first_and_then_its_connection() -> None:
    async def test() -> None:
        rules = RoomSettings(ambient_backlog_bytes=1024, commerce_backlog_bytes=4096)
        spread = Spread(rules)
        pipes = [_Pipe(), _Pipe(), _Pipe()]
        pipes[1].owed, pipes[2].owed = 2_000, 5_000
        viewers = [Viewer(pipe, MSGPACK_WS, Identity("s"), address="", now=0) for pipe in pipes]
        await spread.events(viewers, _events(2), _events(3))
        counts = []
        for pipe in pipes[:2]:
            parser = WsParser()
            parser.receive_data(pipe.written)
            frames = iter(parser.next_event, None)
            counts.append([len(msgpack.unpackb(frame.payload)["events"]) for frame in frames])
        assert counts == [[2, 3], [2]]
        assert viewers[2].closed is TOO_SLOW
        assert spread.dropped == {"slow": 3, "too slow": 1}
        assert spread.deliveries == 7

    asyncio.run(test())


def test_the_same_bytes_go_to_everybody_of_a_transport() -> None:
    async def test() -> None:
        spread = Spread(RoomSettings())
        viewers = [Viewer(_Pipe(), framing, Identity("s"), address="", now=0) for framing in (JSON_WS, JSON_SSE) * 300]
        await spread.events(viewers, _events(0), _events(1))
        assert len({viewer.transport.written for viewer in viewers}) == 2  # type: ignore[attr-defined]
        assert spread.writes == 600

    asyncio.run(test())


def test_a_silent_viewer_is_closed_and_the_others_are_pinged() -> None:
    async def test() -> None:
        spread = Spread(RoomSettings(heartbeat_s=20))
        silent = Viewer(_Pipe(), JSON_WS, Identity("s"), address="", now=0)
        lively = Viewer(_Pipe(), JSON_WS, Identity("s"), address="", now=40)
        await spread.heartbeat([silent, lively], 51.0)
        assert silent.closed is IDLE
        parser = WsParser()
        parser.receive_data(lively.transport.written)  # type: ignore[attr-defined]
        frame = parser.next_event()
        assert frame is not None
        assert (frame.opcode, CLOSE) == (PING, 8)

    asyncio.run(test())


def test_the_tick_grows_with_the_room() -> None:
    assert [tick_s(viewers, RoomSettings()) for viewers in (1, 500, 501, 2_000, 2_001)] == [0.05, 0.05, 0.1, 0.1, 0.2]
    assert tick_s(1, RoomSettings(tick_ms=100)) == 0.1

"""The extension by itself: what it refuses, and that the node does without it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from relay import fanout
from relay.native import load_native

HEADER = bytes(12)


@pytest.fixture
def native() -> Any:
    module = load_native()
    if module is None:
        pytest.skip("relay._fanout was not built: it needs a C compiler and OpenSSL's headers")
    return module


@pytest.mark.parametrize(
    ("headers", "payloads", "ends"),
    [
        ((), (), ()),
        ((HEADER,), (), (1,)),
        ((HEADER,), (b"x",), ()),
        ((HEADER,), (b"x",), (2,)),
        ((HEADER,), (b"x",), (0,)),
        ((HEADER, HEADER), (b"x", b"y"), (2, 1)),
        ((HEADER, HEADER), (b"x", b"y"), (1,)),
        ((HEADER[:11],), (b"x",), (1,)),
        ((HEADER,), (bytes(1600),), (1,)),
        ((HEADER,) * 65, (b"x",) * 65, (65,)),
        ((HEADER,) * 60, (bytes(1160),) * 60, (60,)),
        ((HEADER,) * 5000, (b"",) * 5000, tuple(range(1, 5001))),
    ],
)
def test_packets_that_cannot_be_sent_are_refused(native: Any, headers: Any, payloads: Any, ends: Any) -> None:
    with pytest.raises(ValueError):
        native.Packets(headers, payloads, ends)


def test_what_is_not_bytes_is_refused(native: Any) -> None:
    with pytest.raises(TypeError):
        native.Packets((bytearray(12),), (b"x",), (1,))
    with pytest.raises(TypeError):
        native.Packets((HEADER,), (b"x",), ("1",))
    with pytest.raises(OverflowError):
        native.Packets((HEADER,), (b"x",), (-1,))


def test_sessions_check_their_sizes(native: Any) -> None:
    with pytest.raises(ValueError, match="15"):
        native.Session(bytes(15), bytes(12))
    with pytest.raises(ValueError, match="11"):
        native.Session(bytes(16), bytes(11))
    session = native.Session(bytes(16), bytes(12))
    with pytest.raises(ValueError, match="200"):
        session.route(None, -1, bytes(200), 0, 0, b"")
    with pytest.raises(ValueError, match="65"):
        session.route(None, -1, b"", 0, 0, bytes(65))


def _target(module: Any, **attributes: Any) -> Any:
    """What the extension reads of a target, with a route that its session knows, to a socket that there is not."""
    session = module.Session(bytes(16), bytes(12))
    session.route("here", -1, b"", 0, 0, b"")
    known = {"native": session, "route": "here", "header": "plain", "next": 0, "base": -1}
    return SimpleNamespace(**{**known, "packets": 0, "octets": 0, "errors": 0, **attributes})


def test_targets_are_checked(native: Any) -> None:
    packets = {"plain": native.Packets((HEADER,), (b"x",), (1,))}
    target = _target(native)
    with pytest.raises(ValueError, match="targets"):
        native.send(packets, 0, 1, [target] * (native.MAX_JOBS + 1), False)
    with pytest.raises(TypeError, match="not added"):
        native.send(packets, 0, 1, [_target(native, native=None)], False)
    with pytest.raises(TypeError):
        native.send(packets, 0, 1, [_target(native, next="0")], False)
    with pytest.raises(TypeError):
        native.send(packets, 0, 1, [_target(native, header=[])], False)
    with pytest.raises(AttributeError):
        native.send(packets, 0, 1, [object()], False)
    assert (target.next, target.errors) == (0, 0), "nothing was sent to the others"
    assert native.send(packets, 0, 1, [], False) == (0, 0)


def test_targets_are_told_what_has_left(native: Any) -> None:
    packets = {"plain": native.Packets((HEADER, HEADER), (b"x", b"y"), (1, 2))}
    for done in (_target(native, next=7), _target(native, next=1 << 40)):
        before = vars(done).copy()
        assert native.send(packets, 5, 7, [done], True) == (0, 1), "nothing is left to send"
        assert vars(done) == before
    lost = _target(native, next=6, packets=10, octets=20)
    assert native.send(packets, 5, 7, [lost], True) == (0, 1), "a bad socket is this viewer's loss"
    assert (lost.next, lost.packets, lost.octets, lost.errors) == (7, 11, 21, 1)
    gone = _target(native, route=None)
    assert native.send(packets, 5, 7, [gone], True) == (0, 1)
    assert (gone.next, gone.packets, gone.errors) == (7, 0, 1)


def test_packets_for_a_new_header_are_asked_for_before_anything_is_sent(native: Any) -> None:
    packets: dict[str, Any] = {"plain": native.Packets((HEADER,), (b"x",), (1,))}
    first, other = _target(native), _target(native, header="another")
    assert native.send(packets, 0, 1, [first, other], True) == (native.NEW_HEADER, 1)
    assert native.send({"plain": b"no packets"}, 0, 1, [first], True) == (native.NEW_HEADER, 0)
    assert (first.next, other.next) == (0, 0)
    packets["another"] = packets["plain"]
    assert native.send(packets, 0, 1, [first, other], True) == (0, 2)


def test_a_new_route_is_asked_for_before_anything_is_sent(native: Any) -> None:
    packets = {"plain": native.Packets((HEADER,), (b"x",), (1,))}
    first, moved = _target(native), _target(native, route="elsewhere")
    assert native.send(packets, 0, 1, [first, moved], True) == (native.NEW_ROUTE, 1)
    assert (first.next, moved.next) == (0, 0)
    moved.native.route("elsewhere", -1, b"", 0, 0, b"")
    assert native.send(packets, 0, 1, [first, moved], True) == (0, 2)


def test_the_node_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "load_native", lambda: None)
    assert fanout.native_fan_out(segmentation=True) is None
    assert fanout.choose_fan_out().name.startswith("Python")


def test_it_is_used_where_it_is(native: Any) -> None:
    assert fanout.choose_fan_out().name.startswith("C, ")

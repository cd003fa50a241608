"""The extension by itself: what it refuses, and that the node does without it."""

from __future__ import annotations

from typing import Any

import pytest

from relay import fanout
from relay.native_fanout import load_native

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
        session.route(bytes(200), 0, 0, b"")
    with pytest.raises(ValueError, match="65"):
        session.route(b"", 0, 0, bytes(65))


def test_jobs_are_checked(native: Any) -> None:
    session, packets = native.Session(bytes(16), bytes(12)), native.Packets((HEADER,), (b"x",), (1,))
    with pytest.raises(ValueError, match="jobs"):
        native.send(-1, [(session, packets, 0, 1)] * (native.MAX_JOBS + 1), False)
    with pytest.raises(TypeError):
        native.send(-1, [(packets, session, 0, 1)], False)
    assert native.send(-1, [(session, packets, 1, 1)], False) == (0, [(1, 0)]), "nothing is left to send"
    assert native.send(-1, [(session, packets, 9, 1)], True) == (0, [(9, 0)])
    assert native.send(-1, [(session, packets, 0, 1)], True) == (0, [(1, 1)]), "a bad socket is this viewer's loss"


def test_the_node_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "load_native", lambda: None)
    assert fanout.native_fan_out(segmentation=True) is None
    assert fanout.choose_fan_out().name.startswith("Python")


def test_it_is_used_where_it_is(native: Any) -> None:
    assert fanout.choose_fan_out().name.startswith("C, ")

"""Waiting in tests: who waits looks once more when the time has run out, and says what never came."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.eventually import eventually, soon


class Stalled:
    """A condition that comes true while the whole machine stands still for a minute."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self._stood_s = 0.0
        clock = time.monotonic
        monkeypatch.setattr("time.monotonic", lambda: clock() + self._stood_s)  # the event loop's clock too

    def look(self) -> bool:
        self.looks += 1
        self._stood_s = 60.0
        return self.looks > 1

    async def look_later(self) -> bool:
        return self.look()


def test_a_stall_past_the_deadline_leaves_a_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert eventually(Stalled(monkeypatch).look, "it")


@pytest.mark.parametrize("probe", [Stalled.look, Stalled.look_later])
async def test_in_a_loop_too(monkeypatch: pytest.MonkeyPatch, probe: Callable[[Stalled], Any]) -> None:
    stalled = Stalled(monkeypatch)
    assert await soon(lambda: probe(stalled), "it")
    assert stalled.looks == 2


async def test_what_never_comes_is_named_with_the_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"^not within 0 s: the end \(last answer: 0\)$"):
        await soon(lambda: 0, "the end", within=0)
    with pytest.raises(AssertionError, match=r"^not within 0 s: the end \(last answer: 0\)$"):
        eventually(lambda: 0, "the end", within=0)

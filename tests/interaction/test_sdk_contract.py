"""The SDK knows what the server says: every refusal has words, every kind and every field of a body has a type."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from interaction import refusal
from interaction.kinds import KINDS
from interaction.refusal import Refusal
from interaction.session import COMMANDS
from interaction.shop_commands import BUYER_REQUESTS
from media import reasons
from media.reasons import Reason

SDK = Path(__file__).parents[2] / "web" / "sdk"
SENT_ONLY = {"like"}
"""Counted by the server, which tells the totals."""


def test_every_refusal_has_words() -> None:
    known = re.findall(r'^  (\d+): \["([^"]+)", "[^"]+", "[^"]+"\],$', (SDK / "refusal.ts").read_text(), re.M)
    found = [value for value in vars(refusal).values() if isinstance(value, Refusal)]
    assert {(int(code), name) for code, name in known} == {(one.code, one.name) for one in found}


def test_every_kind_has_its_fields() -> None:
    text = (SDK / "types.ts").read_text()
    bodies = text[text.index("export interface Bodies {") : text.index("export interface Removed")]
    for kind in KINDS.values():
        if kind.name in SENT_ONLY:
            continue
        found = re.search(rf'readonly "?{re.escape(kind.name)}"?: \{{(.*?)\}}', bodies, re.S)
        assert found, kind.name
        fields = {field.name for field in dataclasses.fields(kind.body)}
        assert set(re.findall(r"readonly (\w+)\??:", found[1])) == fields, kind.name


def test_every_request_of_a_buyer_can_be_made() -> None:
    text = "".join((SDK / name).read_text() for name in ("desk.ts", "room_socket.ts", "session.ts"))
    asked = set(BUYER_REQUESTS) | {"send", "ping"}
    assert {name for name in asked if f'"{name}"' in text} == asked
    assert asked <= set(BUYER_REQUESTS) | set(COMMANDS)


def test_every_reason_that_a_viewer_can_be_closed_for_is_known() -> None:
    text = (SDK / "connection.ts").read_text() + (SDK / "room.ts").read_text()
    known = {int(code) for code in re.findall(r"^  (4\d{3}):", text, re.M)}
    others = {reasons.VANISHED, reasons.DISPLACED, reasons.KEY_REFUSED}
    told = {one for one in vars(reasons).values() if isinstance(one, Reason)} - others
    assert known == {reason.code for reason in told}

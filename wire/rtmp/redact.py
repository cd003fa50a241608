"""Names as they may appear in logs and reprs: without stream keys."""

from __future__ import annotations

__all__ = ["redact"]

# A room's name fits; a key that was pasted without its room does not.
_WHOLE = 16
_ROOM = 64


def redact(name: str) -> str:
    """`ROOM?key=SECRET` becomes `ROOM?...`.

    A long name without a query may be a bare key, so only its first characters and its length are kept. What cannot be
    printed on one line is replaced.
    """
    room, mark, _ = name.partition("?")
    shown = "".join(character if character.isprintable() else "\ufffd" for character in room[:_ROOM])
    if mark:
        return f"{shown}?..."
    return shown if len(room) <= _WHOLE else f"{shown[:4]}...({len(room)} characters)"

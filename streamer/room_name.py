"""What a room may be called."""

from __future__ import annotations

import re

__all__ = ["MAX_ROOM_NAME", "RoomNameError", "check_room_name"]

MAX_ROOM_NAME = 64
"""Characters. Long enough for a slug or a UUID, short enough for log lines, metrics and Redis keys."""

_ROOM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


class RoomNameError(ValueError):
    """The name cannot be a room's. The message says why."""


def check_room_name(name: str) -> str:
    """Return `name`, or raise RoomNameError.

    A name stands in addresses, file names and keys, so it has letters, digits, `-`, `_` and `.` only, and does not
    begin with `-` (an option) or `.` (a hidden file, or the folder above).
    """
    if not name:
        raise RoomNameError("a room needs a name")
    if len(name) > MAX_ROOM_NAME:
        raise RoomNameError(f"a room name has at most {MAX_ROOM_NAME} characters, this one has {len(name)}")
    if not _ROOM_NAME.fullmatch(name):
        raise RoomNameError(
            f"a room name has letters, digits, - _ and . only, and begins with none of - and .: {name!r}"
        )
    return name

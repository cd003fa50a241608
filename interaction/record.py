"""An event as it is stored: in one field of a Redis stream entry, and as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack  # type: ignore[import-untyped]

from media.event import Event, Lane
from media.ticks import Ticks

__all__ = ["Record", "RecordError", "pack_event", "to_client", "unpack_event"]

FIELDS = 8


class RecordError(Exception):
    """What the store holds is no record of ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """A stored event. `position` is its entry's id in its lane's stream, `at_ms` the store's wall clock when it was
    taken, `bound_ms` how exactly its `t` is known where a host's delay went into it, else None.
    `state_key` names the state that it replaces."""

    event: Event
    position: str
    at_ms: int
    bound_ms: int | None = None
    state_key: str | None = None


def pack_event(event: Event, bound_ms: int | None) -> bytes:
    """All but `seq` and the lane, which the entry's id and stream say."""
    row = [event.id, event.epoch, event.t, event.kind, event.ttl, event.sender, dict(event.body), bound_ms]
    return bytes(msgpack.packb(row, use_bin_type=True))


def unpack_event(data: bytes, lane: Lane, *, position: str, at_ms: int, state_key: str | None = None) -> Record:
    """Raises RecordError."""
    try:
        row = msgpack.unpackb(data, raw=False)
    except (ValueError, msgpack.UnpackException) as exc:
        raise RecordError(f"entry {position} of {len(data)} bytes cannot be read") from exc
    if not isinstance(row, list) or len(row) != FIELDS:
        raise RecordError(f"entry {position} is no record of {FIELDS} fields")
    id_, epoch, t, kind, ttl, sender, body, bound_ms = row
    if not (isinstance(id_, str) and isinstance(kind, str) and isinstance(body, dict) and isinstance(t, int | None)):
        raise RecordError(f"entry {position} has fields of the wrong types")
    seq = int(position.partition("-")[0]) if lane is Lane.COMMERCE else None
    media_time = None if t is None else Ticks(t)
    event = Event(id_, epoch, media_time, seq, kind, lane, ttl, sender, body)
    return Record(event, position, at_ms, bound_ms, state_key)


def to_client(record: Record) -> Mapping[str, Any]:
    """The map that clients get, the same on every transport."""
    event = record.event
    return {
        "id": event.id,
        "epoch": event.epoch,
        "t": event.t,
        "seq": event.seq,
        "kind": event.kind,
        "lane": event.lane.value,
        "ttl": event.ttl,
        "sender": event.sender,
        "at_ms": record.at_ms,
        "body": dict(event.body),
    }

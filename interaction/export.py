"""Everything that happened in a room, by `t`, to be replayed over a recording."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from interaction.broker import Broker
from interaction.packing import Format, pack
from interaction.record import Record, to_client
from media.event import Lane
from media.ticks import TICKS_PER_SECOND

__all__ = ["EXPORTS", "Export", "export"]

MODES = {"scroll": 1, "bottom": 4, "top": 5}
"""The modes of the danmaku XML that players read."""


@dataclass(frozen=True, slots=True)
class Export:
    """A format: what comes before, how an event looks, what comes after."""

    content_type: str
    event: Callable[[Record], bytes]
    head: bytes = b""
    tail: bytes = b""


async def export(
    broker: Broker, room: str, name: str, *, lane: Lane | None = None, epoch: str | None = None
) -> AsyncIterator[bytes]:
    """The stored events of `room` in the format `name`, in the order of broadcast and `t`; None means all.

    The events of a room are held at once, to be put in order. Raises KeyError for an unknown format, Unreachable.
    """
    form = EXPORTS[name]
    records = [record for each in ((lane,) if lane else Lane) async for record in broker.history(room, each)]
    yield form.head
    for record in _in_order(records, epoch):
        if piece := form.event(record):
            yield piece
    yield form.tail


def _in_order(records: list[Record], epoch: str | None) -> Iterator[Record]:
    """Broadcasts in the order in which they began; what was placed on none of them where it was taken."""
    began: dict[str | None, int] = {}
    for record in records:
        began.setdefault(record.event.epoch, record.at_ms)
        began[record.event.epoch] = min(began[record.event.epoch], record.at_ms)

    def place(record: Record) -> tuple[int, int, int]:
        event = record.event
        start = record.at_ms if event.epoch is None else began[event.epoch]
        return (start, event.t or 0, record.at_ms)

    kept = (record for record in records if epoch is None or record.event.epoch == epoch)
    yield from sorted(kept, key=place)


def _row(record: Record) -> Mapping[str, Any]:
    return {**to_client(record), "bound_ms": record.bound_ms}


def _json_line(record: Record) -> bytes:
    return pack(_row(record), Format.JSON) + b"\n"


def _xml(record: Record) -> bytes:
    """`<d p="seconds,mode,size,colour,unix time,pool,sender hash,id">`: danmaku that have a place, and nothing else."""
    event = record.event
    if event.kind != "danmaku" or event.t is None:
        return b""
    body = event.body
    places = (
        f"{event.t / TICKS_PER_SECOND:.5f}",
        MODES.get(body.get("mode", "scroll"), 1),
        body.get("size", 25),
        body.get("color", 0xFFFFFF),
        record.at_ms // 1000,
        0,
        f"{crc32((event.sender or '').encode()):08x}",
        record.position.replace("-", ""),
    )
    return f'<d p="{",".join(map(str, places))}">{_escape(str(body["text"]))}</d>\n'.encode()


def _escape(text: str) -> str:
    """XML 1.0, 2.2 and 2.4: what may not stand in character data, and what may not stand at all."""
    allowed = (char for char in text if char in "\t\n" or (char >= " " and char not in "\ufffe\uffff"))
    return "".join(allowed).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


EXPORTS: Mapping[str, Export] = {
    "jsonl": Export("application/x-ndjson", _json_line),
    "msgpack": Export("application/msgpack", lambda record: pack(_row(record))),
    "xml": Export("application/xml", _xml, b'<?xml version="1.0" encoding="UTF-8"?>\n<i>\n', b"</i>\n"),
}

"""What a newcomer is told, so that nobody sees the next product early (docs/interaction.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from interaction.record import Record
from media.ticks import Ticks

__all__ = ["Snapshot", "order_of", "snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`state` holds per key; `after` are the commerce events that follow, which the client applies by its own now_t."""

    state: Sequence[Record]
    after: Sequence[Record]


def snapshot(
    state: Mapping[str, Sequence[Record]], commerce: Iterable[Record], *, epoch: str | None, cut: Ticks | None
) -> Snapshot:
    """The latest event per state key that is settled, and all commerce events that are not.

    An event is settled when every viewer's picture is past it: `t <= cut`. So is one of another broadcast or without a
    place; and everything, where there is no broadcast now (`epoch` or `cut` None).
    """
    settled = [_latest(records, epoch, cut) for records in state.values()]
    after = [record for record in commerce if not _is_settled(record, epoch, cut)]
    found = sorted((record for record in settled if record is not None), key=lambda record: order_of(record, epoch))
    return Snapshot(found, after)


def order_of(record: Record, epoch: str | None) -> tuple[int, int, int]:
    """The order in which a client's picture meets events: by `t` in this broadcast, by `seq` before it and within."""
    event = record.event
    seq = event.seq or 0
    if epoch is None or event.epoch != epoch or event.t is None:
        return (0, 0, seq)
    return (1, event.t, seq)


def _latest(records: Sequence[Record], epoch: str | None, cut: Ticks | None) -> Record | None:
    settled = [record for record in records if _is_settled(record, epoch, cut)]
    return max(settled, key=lambda record: order_of(record, epoch), default=None)


def _is_settled(record: Record, epoch: str | None, cut: Ticks | None) -> bool:
    event = record.event
    return epoch is None or cut is None or event.t is None or event.epoch != epoch or event.t <= cut

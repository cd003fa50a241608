"""The event layer in the node: the streams are its timelines, its secrets are kept, its counts become metrics."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from interaction.layer import InteractionLayer
from interaction.settings import RoomSettings
from media.event import Event
from media.hub import Hub
from media.stream import Stream
from media.ticks import Ticks
from streamer.observe import Sample

__all__ = ["VALKEY_FOLDER", "HubTimelines", "event_samples", "with_token_key"]

TOKEN_KEY_FILE = "token_key"
VALKEY_FOLDER = "valkey"
TOKEN_KEY_BYTES = 32
"""What HMAC-SHA-256 can use (RFC 2104, 3)."""


class StreamTimeline:
    """A stream as its room sees it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def epoch(self) -> str:
        return self._stream.epoch

    def live_edge(self) -> Ticks:
        return self._stream.live_edge

    def to_media(self, wall_s: float) -> Ticks:
        return self._stream.timeline.to_media(wall_s)

    def announce(self, event: Event) -> None:
        self._stream.announce(event)


class HubTimelines:
    """The broadcasts of this node that have begun."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def timeline(self, room: str) -> StreamTimeline | None:
        stream = self._hub.get(room)
        return StreamTimeline(stream) if stream is not None and stream.timeline.position is not None else None

    def rooms(self) -> Iterable[str]:
        return [stream.key for stream in self._hub.streams if stream.timeline.position is not None]


def with_token_key(settings: RoomSettings, data: Path) -> RoomSettings:
    """Without keys in the configuration, the node makes one and keeps it: tokens outlive a restart. Raises OSError."""
    if settings.token_keys:
        return settings
    path = data / TOKEN_KEY_FILE
    data.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return replace(settings, token_keys=path.read_text(encoding="ascii").strip())
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        key = secrets.token_urlsafe(TOKEN_KEY_BYTES)
        file.write(f"{key}\n")
    return replace(settings, token_keys=key)


def event_samples(layer: InteractionLayer) -> Iterator[Sample]:
    """Rooms, deliveries, refusals and the store."""
    rooms = layer.rooms.open_rooms.values()
    yield Sample("streamer_rooms_open", "gauge", "Rooms open on this node", len(rooms))
    yield Sample(
        "streamer_room_viewers", "gauge", "Viewers of all open rooms", sum(len(room.viewers) for room in rooms)
    )
    yield Sample("streamer_event_deliveries_total", "counter", "Events handed to viewers", layer.rooms.deliveries)
    for kind, count in sorted(layer.intake.taken.items()):
        yield Sample("streamer_events_taken_total", "counter", "Events taken, by kind", count, {"kind": kind})
    for reason, count in sorted(layer.intake.refused.items()):
        yield Sample("streamer_events_refused_total", "counter", "Events refused", count, {"reason": str(reason)})
    store = layer.store
    yield Sample("streamer_store_calls_total", "counter", "Calls of the event store", store.calls)
    yield Sample("streamer_store_failures_total", "counter", "Calls that the store did not answer", store.failures)
    yield Sample("streamer_store_ready", "gauge", "1 while rooms can be opened", layer.ready.is_set())
    for what, count in sorted(layer.shop.ledger.counts.items()):
        yield Sample("streamer_shop_steps_total", "counter", "Purchases and what became of them", count, {"what": what})
    yield Sample(
        "streamer_shop_lost_rooms", "gauge", "Rooms whose sales are closed by a loss", len(layer.shop.ledger.lost)
    )
    for what, count in sorted(layer.webhooks.counts.items()):
        yield Sample("streamer_webhooks_total", "counter", "Webhooks by outcome", count, {"what": what})
    if layer.server is not None:
        yield Sample(
            "streamer_valkey_restarts_total", "counter", "Restarts of the embedded Valkey", layer.server.restarts
        )

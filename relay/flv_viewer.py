"""One remote player: what it still has to be sent, and what happens when it cannot keep up."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from media.histogram import Histogram
from media.reasons import TOO_SLOW, VANISHED, Reason
from media.ticks import TICKS_PER_MS
from relay.batch import BEFORE_ALL, Batch, Framing
from relay.outlet import MAX_BUFFERS, Outlet, TcpPath

__all__ = ["FlvViewer", "ViewerCounters", "ViewerLimits"]

FINISH_TIMEOUT = 2.0
"""Seconds a viewer has to take what is queued when its stream ends."""


@dataclass(frozen=True, slots=True)
class ViewerLimits:
    """`backlog` is media milliseconds, `max_bytes` what may be queued, `stalled` seconds to take one whole buffer.

    Whole, because a peer that reads a byte a second is as good as gone and yet always makes progress.
    """

    backlog: int = 1500
    stalled: float = 10.0
    max_bytes: int = 32 * 1024 * 1024


@dataclass(slots=True)
class ViewerCounters:
    """Plain counts over all viewers of a relay. `join_times`: seconds from a request to its first byte of media."""

    skips: int = 0
    skipped_batches: int = 0
    too_slow: int = 0
    join_times: Histogram = field(default_factory=Histogram)


class _Queued:
    """What is left of one framed buffer. `dts` is None for what must not be skipped.

    `batch` is the shared one that it was made of, as far as it was. `is_first` says that it was so for a joiner.
    """

    __slots__ = ("batch", "dts", "is_control", "is_first", "view", "whole")

    def __init__(
        self,
        data: bytes,
        dts: int | None,
        batch: Batch | None = None,
        *,
        is_control: bool = False,
        is_first: bool = False,
    ) -> None:
        self.view = memoryview(data)
        self.whole = len(data)
        self.dts = dts
        self.batch = batch
        self.is_control = is_control
        self.is_first = is_first

    @property
    def newest_t(self) -> int:
        return BEFORE_ALL if self.batch is None else self.batch.newest_t


class FlvViewer:
    """Takes batches and never blocks. `done` gets the reason when this viewer is over.

    `has_begun`: it was sent the header, and what it gets from now on is its continuation.

    `was_cut` then says that bytes were left unsent, so that the connection cannot end in good order.
    """

    __slots__ = (
        "_asked_at",
        "_closing",
        "_counters",
        "_lead",
        "_limits",
        "_now",
        "_outlet",
        "_progress_at",
        "_queue",
        "_queued_bytes",
        "_skipped_t",
        "_skipping",
        "bytes_sent",
        "done",
        "first_group",
        "framing",
        "has_begun",
        "id",
        "joined_at",
        "peer",
        "skips",
        "was_cut",
    )

    def __init__(
        self,
        outlet: Outlet,
        framing: Framing,
        *,
        now: Callable[[], float],
        limits: ViewerLimits,
        counters: ViewerCounters,
        peer: str = "",
        id: str = "",
        asked_at: float | None = None,
    ) -> None:
        self.framing = framing
        self.peer = peer
        self.id = id
        self.done: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.was_cut = False
        self.first_group = -1
        self.has_begun = False
        self.joined_at = now()
        self._asked_at = self.joined_at if asked_at is None else asked_at
        self.bytes_sent = 0
        self.skips = 0
        self._outlet = outlet
        self._now = now
        self._limits = limits
        self._counters = counters
        self._queue: deque[_Queued] | None = None  # None: the socket takes everything at once
        self._queued_bytes = 0
        self._lead = 0
        self._progress_at = 0.0
        self._skipping = False
        self._skipped_t = BEFORE_ALL
        self._closing: Reason | None = None

    def __repr__(self) -> str:
        return f"<FlvViewer {self.peer} {self.framing.name} queued={self._queued_bytes} skips={self.skips}>"

    @property
    def queued_bytes(self) -> int:
        """Bytes that its socket has not taken yet."""
        return self._queued_bytes

    @property
    def is_skipping(self) -> bool:
        """It is too far behind, and nothing is queued before the next group."""
        return self._skipping

    @property
    def skipped_t(self) -> int:
        """The latest picture before the hole, while it skips."""
        return self._skipped_t

    @property
    def path(self) -> TcpPath | None:
        """How its connection does; None where that cannot be seen."""
        return None if self.done.done() else self._outlet.path

    def queued_ticks(self, dts: int) -> int:
        """How far the oldest queued media is behind `dts`. A group that a joiner was given does not count."""
        queue = self._queue
        if not queue:
            return 0
        oldest = next((q.dts for q in queue if q.dts is not None), dts)
        return max(0, dts - oldest - self._lead)

    def expect_rate(self, bits_per_second: int) -> None:
        """What it is sent from now on: the kernel need not hold more than a moment of it."""
        if not self.done.done():
            self._outlet.set_rate(bits_per_second)

    def start(self, group: int, prelude: bytes, batches: Sequence[Batch]) -> None:
        """Begin with group number `group`: the prelude, then what there is of the group.

        The first batch is never skipped, because the prelude's base is its time. The group is no backlog that this
        viewer is to blame for: until it has caught up once, it may be as far behind as it began, and then some.
        """
        if self._closing is not None:
            return
        self.first_group = group
        self.has_begun = True
        queue = [_Queued(self.framing.frame(prelude), None)]
        queue += [
            _Queued(data, b.dts, b, is_first=True) for b in batches if (data := b.framed_for_joiners(self.framing))
        ]
        if len(queue) > 1:
            queue[1].dts = None
            self._lead = batches[-1].dts - batches[0].dts
        self._enqueue(queue)
        self._drain()

    def deliver(self, batch: Batch, group: int) -> None:
        """The next batch, of group number `group`. The usual case is one call into the kernel and no more."""
        framing = self.framing
        data = batch.framed(framing) if group != self.first_group else batch.framed_for_joiners(framing)
        if self._queue is not None or self._closing is not None:
            self._deliver_late(data, batch, is_first=group == self.first_group)
            return
        try:
            sent = self._outlet.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close(VANISHED)
            return
        self.bytes_sent += sent
        if sent < len(data):
            rest = _Queued(data, batch.dts, batch, is_first=group == self.first_group)
            rest.view = rest.view[sent:]
            self._enqueue([rest])

    def control(self, frame: bytes) -> None:
        """A WebSocket control frame, between two messages.

        While the last one still waits at the end of the queue another says nothing new (RFC 6455, 5.5.3), and a peer
        that pings without reading must not fill our memory.
        """
        if self._closing is None and not (self._queue and self._queue[-1].is_control):
            self._enqueue([_Queued(frame, None, is_control=True)])
            self._drain()

    # A change of rung: pictures come from another packager from a keyframe on.

    def append(self, tags: bytes, dts: int) -> None:
        """Tags for this viewer alone. Nothing while it skips, as everybody's batches."""
        if tags and self._closing is None and not self._skipping:
            self._enqueue([_Queued(self.framing.frame(tags), dts)])
            self._drain()

    def resume(self, configs: bytes, batches: Sequence[Batch]) -> None:
        """End a skip with this group, which lies behind the hole."""
        if self._closing is not None or not self._skipping:
            return
        self._skipping = False
        queue = [_Queued(self.framing.frame(configs), batches[0].dts)] if configs else []
        self._enqueue([*queue, *(_Queued(b.framed(self.framing), b.dts, b) for b in batches)])
        self._drain()

    def cross(self, t: int, pictures: Sequence[tuple[bytes, int]]) -> bool:
        """Put these pictures, with the dts of each, in the place of the queued ones from media time `t` on.

        False, and nothing is done, where one of those has been sent already, or would be lost because the queued
        pictures are in disorder there. Sound stays as it is.
        """
        queue = list(self._queue or ())
        at = next((n for n, item in enumerate(queue) if item.newest_t >= t), None)
        if at is None or self._skipping or self._closing is not None:
            return False
        first = queue[at]
        if first.batch is None or len(first.view) < first.whole or first.batch.t_before >= t:
            return False
        kept = [item for item in map(self._without_pictures(t), queue[at:]) if item is not None]
        kept += [_Queued(self.framing.frame(tags), dts) for tags, dts in pictures]
        kept.sort(key=lambda item: BEFORE_ALL if item.dts is None else item.dts)
        self._queue = deque([*queue[:at], *kept])
        self._queued_bytes = sum(len(item.view) for item in self._queue)
        return True

    def _without_pictures(self, t: int) -> Callable[[_Queued], _Queued | None]:
        is_cut = False

        def strip(item: _Queued) -> _Queued | None:
            nonlocal is_cut
            batch = item.batch
            if batch is None:
                return item
            # everything of the old rendition goes from the first such picture on, whatever its own time
            tags = batch.before_picture(BEFORE_ALL if is_cut else t, for_joiner=item.is_first)
            is_cut = True
            return _Queued(self.framing.frame(tags), item.dts) if tags else None

        return strip

    def finish(self, reason: Reason) -> None:
        """Send what is queued, for as long as that is reasonable, then be done."""
        if self._closing is None:
            self._closing = reason
            if not self._queue:
                self.close(reason)
            else:
                asyncio.get_running_loop().call_later(FINISH_TIMEOUT, self.close, reason)

    def close(self, reason: Reason) -> None:
        """Be done now, whatever is queued. Only the first reason counts."""
        self.was_cut = self.was_cut or bool(self._queue)
        self._queue, self._queued_bytes = None, 0
        self._closing = self._closing or reason
        self._outlet.close()
        if not self.done.done():
            self.done.set_result(self._closing)

    def set_limits(self, limits: ViewerLimits) -> None:
        """Other limits from now on."""
        self._limits = limits

    def check_stalled(self) -> None:
        """Give up on a peer that takes next to nothing any more."""
        if self._queue and self._now() - self._progress_at > self._limits.stalled:
            self._counters.too_slow += 1
            self.close(TOO_SLOW)

    def give_up(self) -> None:
        """It cannot follow even the smallest rung."""
        self._counters.too_slow += 1
        self.close(TOO_SLOW)

    def _deliver_late(self, data: bytes, batch: Batch, *, is_first: bool) -> None:
        """Behind: queue, or skip to the next group when too far behind."""
        self.check_stalled()
        if self._closing is not None or not data:
            return
        if not self._skipping:
            self._enqueue([_Queued(data, batch.dts, batch, is_first=is_first)])
            if self._is_too_far_behind(batch.dts):
                self._skip(batch)
        elif batch.starts_group:
            self._skipping = False
            self._enqueue(self._restart(batch))
            self._drain()
        else:
            self._counters.skipped_batches += 1

    def _restart(self, batch: Batch) -> list[_Queued]:
        """A group to go on with after a hole, in which a configuration may have changed."""
        queue = [_Queued(batch.framed(self.framing), batch.dts, batch)]
        return [_Queued(self.framing.frame(batch.configs), batch.dts), *queue] if batch.configs else queue

    def _is_too_far_behind(self, dts: int) -> bool:
        oldest = next((q.dts for q in self._queue or () if q.dts is not None), dts)
        allowed = self._limits.backlog * TICKS_PER_MS + self._lead
        return dts - oldest > allowed or self._queued_bytes > self._limits.max_bytes

    def _skip(self, batch: Batch) -> None:
        """Drop whole buffers, never part of one: what is half sent must be finished, and control frames stay."""
        queue = self._queue or deque()
        head = queue[0]
        head.dts = None  # its rest must go out, but it says no more about how far behind this viewer is
        keep = [q for q in itertools.islice(queue, 1, None) if q.dts is None]
        restart = self._restart(batch) if batch.starts_group else []
        self._counters.skips += 1
        self._counters.skipped_batches += len(queue) - 1 - len(keep) - batch.starts_group
        self.skips += 1
        self._skipping = not restart
        self._skipped_t = head.newest_t
        self._lead = 0
        self._queue = deque([head, *keep, *restart])
        self._queued_bytes = sum(len(q.view) for q in self._queue)

    def _enqueue(self, items: Sequence[_Queued]) -> None:
        if not self._queue:
            self._queue = deque()
            self._progress_at = self._now()
            self._outlet.when_writable(self._drain)
        self._queue.extend(items)
        self._queued_bytes += sum(len(item.view) for item in items)

    def _drain(self) -> None:
        """Send what the socket takes now; when nothing is left, go back to the quick way, if no keyframe is awaited."""
        while self._queue:
            buffers = [q.view for q in itertools.islice(self._queue, MAX_BUFFERS)]
            try:
                sent = self._outlet.send_many(buffers)
            except OSError:
                self.close(VANISHED)
                return
            if not sent:
                return
            self._take(sent)
        self._finish_draining()

    def _take(self, sent: int) -> None:
        if not self.bytes_sent:
            self._counters.join_times.observe(self._now() - self._asked_at)
        self.bytes_sent += sent
        self._queued_bytes -= sent
        queue = self._queue
        while queue and sent >= len(queue[0].view):
            sent -= len(queue.popleft().view)
            self._progress_at = self._now()
        if queue and sent:
            queue[0].view = queue[0].view[sent:]

    def _finish_draining(self) -> None:
        self._outlet.stop_waiting()
        self._queue = deque() if self._skipping else None
        self._lead = 0
        if self._closing is not None:
            self.close(self._closing)

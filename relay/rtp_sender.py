"""The one sender of a rendition: walks its viewers with each new picture, and leads joiners up to the others.

Viewers that have everything are *live*: each batch of new packets goes to all of them. Those that are behind, because
they join or have to see a group of pictures again, are *followers*: they are led through the history in paced steps
until they are live. Those without a picture to start from *wait* for the next keyframe. There are no queues: a viewer's
backlog is the distance between its `next` and the newest packet, and it is bounded by the history.

The sender of a stream's sound can be the *rider* of the picture's: what it has next is lent to the picture's batch, and
when it is woken itself, it serves those who did not get it that way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from relay.fanout import FanOut
from relay.rtp_batch import RtpBatch, SharedPacket
from relay.rtp_target import History, RtpTarget
from wire.rtp.history import DEFAULT_CAPACITY
from wire.srtp import GcmSender

__all__ = ["MAX_REPLAY_PACKETS", "FanOuts", "RtpSender", "Scheduler"]

VIEWERS_PER_TURN = 64
"""Viewers that are served before the event loop gets a turn: one millisecond in C, two in Python."""
PACE_INTERVAL = 0.005
"""Seconds between two steps of what is paced. 5 ms of a burst fits the queue of every home router."""
BURST = 40
"""Packets of one picture that a viewer gets at once: 46 KB. Only keyframes and very high bit rates are cut."""
STEPS_PER_PICTURE = 3
"""A picture is spread over at most this many steps, so that it is out before the next one comes."""
REPLAY_STEPS = 24
"""A joiner gets its group of pictures in this many steps, 120 ms."""
MIN_REPLAY_STEP = 16
MAX_REPLAY_PACKETS = 2000
"""A group of pictures larger than this is not replayed: half of the history, and 2.3 MB at once."""
MAX_BEHIND = DEFAULT_CAPACITY - 512
"""Packets. Whoever is further behind skips to a keyframe: the history ends soon."""
MAX_LIVE_BEHIND = 2048
"""Packets. When the machine cannot send as fast as the picture comes, everyone skips to the newest keyframe."""


class Scheduler(Protocol):
    """What is needed of an event loop."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> Any: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any: ...


class FanOuts:
    """The two ways to a viewer: `shared` for AES-GCM over UDP, `single` for everything else."""

    def __init__(self, shared: FanOut, single: FanOut) -> None:
        self.shared = shared
        self.single = single

    def choose(self, target: RtpTarget) -> FanOut:
        fast = target.route is not None and isinstance(target.sender, GcmSender)
        return self.shared if fast else self.single


class RtpSender:
    """Sends the packets of `history` up to its newest; `wake` after each picture.

    `on_full(callback)` calls back once when the socket is writable again. `now` is monotonic seconds.
    """

    def __init__(
        self,
        history: History,
        fan_outs: FanOuts,
        *,
        scheduler: Scheduler,
        now: Callable[[], float],
        on_full: Callable[[Callable[[], object]], None],
    ) -> None:
        self.history = history
        self.keyframe: int | None = None
        self.batches = 0
        self.full = 0
        self.skips = 0
        self._fan_outs = fan_outs
        self._scheduler = scheduler
        self._now = now
        self._on_full = on_full
        self._targets: dict[RtpTarget, FanOut] = {}
        self._live: dict[RtpTarget, None] = {}
        self._followers: dict[RtpTarget, None] = {}
        self._waiting: dict[RtpTarget, None] = {}
        self._departing: dict[RtpTarget, tuple[int, Callable[[], None]]] = {}
        self._live_next = history.newest + 1
        self._batch: RtpBatch | None = None
        self._rider: RtpSender | None = None
        self._walk: deque[RtpTarget] = deque()
        self._follow_walk: deque[RtpTarget] = deque()
        self._live_due = 0.0
        self._follow_due = 0.0
        self._is_scheduled = False
        self._is_closed = False

    def __repr__(self) -> str:
        counts = f"live={len(self._live)} followers={len(self._followers)} waiting={len(self._waiting)}"
        return f"<RtpSender {counts} next={self._live_next} newest={self.history.newest}>"

    @property
    def head(self) -> int:
        """The index that the next packet will have."""
        return self.history.newest + 1

    def join(self, target: RtpTarget, start: int | None) -> None:
        """Send to this target from shared packet `start` on, which is in the history; None: from the next keyframe."""
        fan_out = self._fan_outs.choose(target)
        fan_out.add(target)
        self._targets[target] = fan_out
        self._place(target, start)

    def leave(self, target: RtpTarget) -> None:
        """Never send to it again. Nothing happens when it has left already."""
        fan_out = self._targets.pop(target, None)
        if fan_out is not None:
            fan_out.remove(target)
            self._take_out(target)
            self._departing.pop(target, None)

    def leave_at(self, target: RtpTarget, index: int, then: Callable[[], None]) -> None:
        """Send to it up to shared packet `index`, that one left out; then it has left, and `then` is called.

        At once where it has got these packets, or waits for a keyframe.
        """
        if target not in self._targets:
            return
        if target in self._waiting or target.next >= index:
            self.leave(target)
            then()
            return
        self._departing[target] = (index, then)
        if self._live.pop(target, 0) is None:
            self._followers[target] = None
        self.wake()

    def stay(self, target: RtpTarget) -> None:
        """It does not leave after all."""
        self._departing.pop(target, None)

    def reroute(self, target: RtpTarget) -> None:
        """The target's route has changed, perhaps from UDP to TCP."""
        old, new = self._targets.get(target), self._fan_outs.choose(target)
        if old is not None and old is not new:
            old.remove(target)
            new.add(target)
            self._targets[target] = new

    def replay(self, target: RtpTarget, start: int) -> None:
        """Send from `start` on once more, under new indices."""
        if target in self._targets:
            self._take_out(target)
            self._place(target, start)

    def wait(self, target: RtpTarget) -> None:
        """Send nothing more before the next keyframe."""
        if target in self._targets:
            self._take_out(target)
            self._place(target, None)

    def note_keyframe(self, index: int) -> None:
        """The packet with this index begins a keyframe: who has waited starts here."""
        self.keyframe = index
        waiting, self._waiting = self._waiting, {}
        for target in waiting:
            self._place(target, index)

    def wake(self, rider: RtpSender | None = None) -> None:
        """There are new packets, and perhaps a rider with more."""
        self._rider = rider
        if not self._is_scheduled and not self._is_closed and self._targets:
            self._is_scheduled = True
            self._scheduler.call_soon(self._step)
        elif not self._targets:
            self._live_next = self.head

    def lend(self) -> RtpBatch | None:
        """For a rider: what its live viewers get next. It is to be woken soon, for those who do not get it that way."""
        has_batch = not self._is_closed and (self._batch is not None or self._next_batch())
        return self._batch if has_batch else None

    def close(self) -> None:
        """Send nothing more to anybody."""
        self._is_closed = True
        for target in tuple(self._targets):
            self.leave(target)

    def _place(self, target: RtpTarget, start: int | None) -> None:
        if start is None:
            self._waiting[target] = None
            return
        first = self.history.get(start)
        if first is not None:  # sound begins with what is still to come
            target.lead(first, self._now())
        target.move(start, self.history)
        self._followers[target] = None
        self.wake()

    def _take_out(self, target: RtpTarget) -> None:
        for group in (self._live, self._followers, self._waiting):
            group.pop(target, None)

    def _step(self) -> None:
        self._is_scheduled = False
        if self._is_closed or not (self._serve_live() and self._serve_followers()):
            return
        due = [self._live_due] if self._live_next < self.head else []
        due += [self._follow_due] if self._followers else []
        if due:
            self._again(min(due) - self._now())

    def _again(self, delay: float = 0.0) -> None:
        if self._is_scheduled:
            return
        self._is_scheduled = True
        if delay > 0:
            self._scheduler.call_later(delay, self._step)
        else:
            self._scheduler.call_soon(self._step)

    def _wait_for_socket(self) -> None:
        self.full += 1
        self._is_scheduled = True
        self._on_full(self._step)

    def _serve_live(self) -> bool:
        """Send what is new to the live viewers. False when the rest comes in a later step."""
        if self._batch is None and not self._next_batch():
            return True
        batch = self._batch
        assert batch is not None
        fan_out, turn = self._next_turn(batch)
        if turn:
            done = fan_out.send(batch, turn)
            for target in turn[:done]:
                if target.next < batch.end:
                    self._fall_behind(target)
            self._walk.extendleft(reversed(turn[done:]))
            if done < len(turn):
                self._wait_for_socket()
                return False
        if self._walk:
            self._again()
            return False
        self._batch = None
        self._live_next = batch.end
        return True

    def _next_turn(self, batch: RtpBatch) -> tuple[FanOut, list[RtpTarget]]:
        """The next viewers in the walk that share a fan-out and have not got the batch with a picture."""
        turn: list[RtpTarget] = []
        chosen = self._fan_outs.shared
        walk = self._walk
        while walk and len(turn) < VIEWERS_PER_TURN:
            target = walk[0]
            if target.next >= batch.end or target not in self._live:
                walk.popleft()  # it has it already, has left, or has to see the group again
                continue
            fan_out = self._targets[target]
            if turn and fan_out is not chosen:
                break
            chosen = fan_out
            turn.append(walk.popleft())
        return chosen, turn

    def _next_batch(self) -> bool:
        now = self._now()
        if self._live_next >= self.head or now < self._live_due:
            return False
        if not self._live:
            self._live_next = self.head
            return False
        if self.head - self._live_next > MAX_LIVE_BEHIND:
            self._skip_all()
            if not self._live:
                return False
        pending = self.head - self._live_next
        size = min(pending, max(BURST, -(-pending // STEPS_PER_PICTURE)))
        self._batch = self._make_batch(self._live_next, self._live_next + size, now)
        rider, self._rider = self._rider, None
        self._batch.rider = None if rider is None else rider.lend()
        self._walk = deque(self._live)
        self._live_due = now + (PACE_INTERVAL if size < pending else 0.0)
        self.batches += 1
        return True

    def _skip_all(self) -> None:
        """The machine is too slow for what it has to send."""
        self._live_next = self.head
        for target in tuple(self._live):
            self._skip(target)

    def _fall_behind(self, target: RtpTarget) -> None:
        if self._live.pop(target, 0) is None:
            self._followers[target] = None

    def _serve_followers(self) -> bool:
        """Lead those who are behind one step on. False when the rest comes in a later step."""
        now = self._now()
        if not self._follow_walk:
            if not self._followers or now < self._follow_due:
                return True
            self._follow_walk = deque(self._followers)
            self._follow_due = now + PACE_INTERVAL
        batches: dict[tuple[int, int], RtpBatch] = {}
        for _ in range(min(VIEWERS_PER_TURN, len(self._follow_walk))):
            target = self._follow_walk[0]
            if target in self._followers and not self._lead(target, batches, now):
                self._wait_for_socket()
                return False
            self._follow_walk.popleft()
        if self._follow_walk:
            self._again()
        return not self._follow_walk

    def _lead(self, target: RtpTarget, batches: dict[tuple[int, int], RtpBatch], now: float) -> bool:
        """One step for one follower. False when the socket is full."""
        until = self._departing[target][0] if target in self._departing else self._live_next
        if target.next < until:
            if self.head - target.next > MAX_BEHIND:
                self._skip(target)
                return True
            span = (target.next, min(until, target.next + self._replay_step()))
            batch = batches.get(span)
            if batch is None:
                batch = batches[span] = self._make_batch(*span, now)
            if not self._targets[target].send(batch, (target,)):
                return False
        if target in self._departing:
            self._depart(target)
        elif target.next >= self._live_next:
            del self._followers[target]
            self._live[target] = None
        return True

    def _depart(self, target: RtpTarget) -> None:
        index, then = self._departing[target]
        if target.next >= index:
            self.leave(target)
            then()

    def _skip(self, target: RtpTarget) -> None:
        """It is too far behind: it goes on with a keyframe."""
        self.skips += 1
        target.skips += 1
        self._take_out(target)
        keyframe = self.keyframe
        usable = keyframe is not None and keyframe > target.next and self.head - keyframe <= MAX_REPLAY_PACKETS
        self._place(target, keyframe if usable else None)

    def _replay_step(self) -> int:
        group = 0 if self.keyframe is None else self.head - self.keyframe
        return max(MIN_REPLAY_STEP, -(-group // REPLAY_STEPS))

    def _make_batch(self, start: int, end: int, now: float) -> RtpBatch:
        return RtpBatch(list(self._packets(start, end)), now)

    def _packets(self, start: int, end: int) -> Iterator[SharedPacket]:
        for index in range(start, end):
            packet = self.history.get(index)
            assert packet is not None, f"packet {index} is not in {self.history}"
            yield packet

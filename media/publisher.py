"""The sole writer of a stream, for as long as its generation lasts."""

from __future__ import annotations

from collections.abc import Callable

from media.clock import Clock
from media.reasons import Reason
from media.stream import Kinds, Stream, StreamState
from media.unit import AccessUnit

__all__ = ["Publisher"]


class Publisher:
    """Comes from `Hub.claim`. Once displaced or released, whatever it publishes is ignored and counted."""

    def __init__(self, stream: Stream, clock: Clock, peer: str, on_displaced: Callable[[Reason], None]) -> None:
        self.stream = stream
        self.peer = peer
        self.is_active = True
        self.since = clock.now()
        self.observe: Callable[[AccessUnit, float], None] | None = None
        """Shown each unit as the publisher sent it, on its own clock, with the monotonic time of its arrival."""
        self._clock = clock
        self._on_displaced = on_displaced
        self._needs_keyframe = True

    def __repr__(self) -> str:
        return f"<Publisher of {self.stream.key} from {self.peer} active={self.is_active}>"

    def expect(self, kinds: Kinds, *, frame_rate: float | None = None) -> None:
        """What the publisher says of itself before it sends media."""
        if self.is_active:
            self.stream.expect(kinds)
            self.stream.declared_frame_rate = frame_rate

    def on_keyframe_wanted(self, callback: Callable[[], None]) -> None:
        """This publisher can make a keyframe when `callback` is called."""
        if self.is_active:
            self.stream.on_keyframe_wanted = callback

    def publish(self, unit: AccessUnit) -> None:
        """A unit on the publisher's own clock: it gets its `t` and goes to every reader."""
        if not self.is_active:
            self.stream.drops["displaced"] += 1
            return
        if self.observe is not None:
            self.observe(unit, self._clock.now())
        if unit.is_video and self._needs_keyframe:
            if not unit.keyframe:
                self.stream.drops["before keyframe"] += 1
                return
            self._needs_keyframe = False
        for placed in self.stream.timeline.place(unit, self._clock.wall()):
            self.stream.deliver(placed)

    def release(self, *, clean: bool) -> None:
        """The publisher is gone. `clean` says whether it took leave; either way it may resume for a while."""
        if self.is_active:
            self.is_active = False
            self.stream.timeline.wall_map.close()
            self.stream.on_keyframe_wanted = None
            self.stream.set_state(StreamState.STOPPED if clean else StreamState.WAITING)

    def displace(self, reason: Reason) -> None:
        """Somebody else writes from now on, or nobody may."""
        if self.is_active:
            self.is_active = False
            self._on_displaced(reason)

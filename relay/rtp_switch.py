"""One WebRTC viewer's way from one rendition to another: one RTP stream, whose time only goes forward.

The same three ways as for FLV (see `relay.flv_switch`), without a queue: what was sent is under way. Sequence numbers
are the target's own and go on by themselves; RTP time is the picture's place on the timeline in every rendition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from media.reasons import Reason
from media.ticks import TICKS_PER_SECOND
from media.track import SOURCE
from relay.crossing import HOLD, MAX_FORCED, STALLED, Step, at_old_keyframe
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import Scheduler
from relay.rtp_target import RtpTarget

__all__ = ["RtpSwitch"]


@dataclass(slots=True)
class _Held:
    """The target leaves the old packets at `index`. It goes on with the keyframe at `t`; or, with one asked for, with
    the first one after `t`, or with old packet `index` when that takes too long.

    `has_left` once all before `index` was sent; `asks_later`: the keyframe is only asked for when the rung is at `t`.
    """

    t: int
    index: int
    is_asked: bool
    asks_later: bool
    timer: Any = None
    has_left: bool = False
    found_t: int | None = None


class RtpSwitch:
    """`start` it; then `on_over(switch, moved)` is called once. `cancel` leaves the target where it is.

    With `old` ended the target waits for the next keyframe of `new`.
    """

    def __init__(
        self,
        target: RtpTarget,
        old: RtpPackager,
        new: RtpPackager,
        *,
        wants_keyframe: bool,
        scheduler: Scheduler,
        on_over: Callable[[RtpSwitch, bool], None],
    ) -> None:
        self.target = target
        self.old = old
        self.new = new
        self._wants_keyframe = wants_keyframe
        self._scheduler = scheduler
        self._on_over = on_over
        self._held: _Held | None = None
        self._forced = 0
        self._is_orphan = False
        self._is_over = False

    def __repr__(self) -> str:
        return f"<RtpSwitch {self.old.track.rendition} -> {self.new.track.rendition} held={self._held}>"

    @property
    def is_orphan(self) -> bool:
        """Has the old packager ended, and the new one shown nothing yet?"""
        return self._is_orphan and not self._is_over

    def start(self) -> None:
        self.new.arrivals[self] = None
        if self.old.is_ended:
            self.orphan()
        else:
            self.old.departures[self] = None

    def orphan(self) -> None:
        """The old packager has ended: the first new keyframe behind it is waited for."""
        if self._held is not None:
            self._stop_timer(self._held)
        self._held = None
        self._is_orphan = True
        self.insist()

    def retarget(self, new: RtpPackager) -> None:
        """An orphan's new packager has ended as well."""
        self.new.arrivals.pop(self, None)
        self.new = new
        new.arrivals[self] = None
        self.insist()

    def insist(self) -> None:
        """Ask for the keyframe that an orphan waits for. To be repeated."""
        if self.is_orphan:
            self.new.stream.request_keyframe(self.new.track.rendition)

    def cancel(self) -> None:
        """Stay where it is. Nothing happens when it is over, or where there is no place to stay."""
        if not self._is_over and not self._is_orphan:
            self._release()
            self._end(moved=False)

    def close(self) -> None:
        """The viewer is gone."""
        if self._held is not None:
            self._stop_timer(self._held)
        self._is_over = True
        self.old.departures.pop(self, None)
        self.new.arrivals.pop(self, None)
        self.new.stop_if_idle()

    def before_keyframe(self, t: int, index: int) -> None:
        """Departure."""
        if self._held is not None or self._is_orphan:
            return
        new = self.new
        newest = new.last_t if new.keyframe_t is not None else -STALLED
        step = at_old_keyframe(t, new_keyframe=new.keyframe_t, new_newest=newest)
        if step is not Step.GO_ON:
            held = _Held(t, index, is_asked=False, asks_later=False)
            self._hold(held)
            if step is Step.MOVE:
                self._go_over(held, t)

    def after_picture(self, t: int) -> None:
        """Departure. The next common keyframe is not waited for: all rungs make one when they are asked. The source
        does not, so from there stop here, for the one that the rung makes now."""
        old, new, stream = self.old, self.new, self.old.stream
        if self._held is not None or not self._wants_keyframe or self._forced >= MAX_FORCED:
            return
        if new.keyframe_t is None or t - new.last_t > HOLD * TICKS_PER_SECOND:
            return
        rendition = new.track.rendition
        if old.track.rendition != SOURCE:
            self._forced += stream.may_request_keyframe(rendition)
            stream.request_keyframe(rendition)
            return
        if t != stream.live_edge:
            return
        if not stream.may_request_keyframe(rendition) and stream.rung_keyframe_asked_t != t:
            return
        if not new.is_hasty:
            stream.request_keyframe(rendition)
        self._forced += 1
        self._hold(_Held(t, old.sender.head, is_asked=True, asks_later=new.is_hasty))

    def notice(self, t: int, *, keyframe: bool) -> None:
        """Arrival."""
        held = self._held
        if held is not None and held.asks_later and t >= held.t:
            held.asks_later = False
            self.new.stream.request_keyframe(self.new.track.rendition)
        if not keyframe or self._is_over:
            return
        if self._is_orphan:
            if t > self.old.last_t:
                self._join(t)
        elif held is not None:
            self._use_keyframe(held, t)
        elif t - self.old.last_t > STALLED:
            self.old.sender.leave(self.target)
            self._join(t)

    def abandon(self, reason: Reason) -> None:
        """Arrival: the new packager has ended. An orphan stays one: its owner sees it, and calls `retarget`."""
        self.cancel()

    def _use_keyframe(self, held: _Held, t: int) -> None:
        if held.found_t is not None:
            return
        if t > held.t if held.is_asked else t == held.t:
            self._go_over(held, t)
        elif held.is_asked and not held.asks_later:
            self.new.is_hasty = True
            self._release()

    def _hold(self, held: _Held) -> None:
        self._held = held
        held.timer = self._scheduler.call_later(HOLD, lambda: self._time_out(held))
        self.old.sender.leave_at(self.target, held.index, lambda: self._has_left(held))

    def _has_left(self, held: _Held) -> None:
        held.has_left = True
        if held is self._held and held.found_t is not None:
            self._go_over(held, held.found_t)

    def _go_over(self, held: _Held, t: int) -> None:
        """The new keyframe at `t` is there. What was held back of the old pictures before it is shown first."""
        held.found_t = t
        if not held.has_left:
            return
        index = self.old.start_of(t) if held.is_asked else held.index
        if index > held.index:
            rest = _Held(t, index, is_asked=False, asks_later=False, timer=held.timer, found_t=t)
            self._held = rest
            self.old.sender.join(self.target, held.index)
            self.old.sender.leave_at(self.target, index, lambda: self._has_left(rest))
            return
        self._stop_timer(held)
        self._held = None
        self._join(t)

    def _join(self, t: int) -> None:
        """The new packets from the keyframe at `t` on."""
        self.new.sender.join(self.target, self.new.start_of(t))
        self._end(moved=True)

    def _time_out(self, held: _Held) -> None:
        if held is self._held and held.found_t is None:
            self._release()

    def _release(self) -> None:
        """It took too long: on with the old pictures."""
        held, self._held = self._held, None
        if held is None:
            return
        self._stop_timer(held)
        if held.has_left and not self.old.is_ended:
            known = self.old.history.get(held.index) is not None or held.index == self.old.sender.head
            self.old.sender.join(self.target, held.index if known else None)
        else:
            self.old.sender.stay(self.target)

    def _stop_timer(self, held: _Held) -> None:
        if held.timer is not None:
            held.timer.cancel()

    def _end(self, *, moved: bool) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.old.departures.pop(self, None)
        self.new.arrivals.pop(self, None)
        self._on_over(self, moved)
        if not moved:
            self.new.stop_if_idle()

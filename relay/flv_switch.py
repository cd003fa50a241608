"""One viewer's way from one packager to another: no picture and no sound is lost, repeated or out of order.

Renditions have their keyframes at the same media times, so a viewer gets the old pictures up to such a time `t` and the
new ones from there on. A rung is some tens of milliseconds behind the source, hence three ways:

- the new packager has `t` when the old one comes to it: go over at once;
- it does not have it yet: hold the old pictures back until it does, or go on with them when that takes too long;
- the old pictures from `t` on wait in the viewer's queue, because its connection is slow: replace them.

Sound is the same in both. It comes from the old packager up to the moment of the move, and from the new one after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from media.reasons import Reason
from media.ticks import TICKS_PER_SECOND, to_ms
from media.track import SOURCE
from relay.batch import BEFORE_ALL, Batch, Mark
from relay.crossing import HOLD, MAX_FORCED, STALLED, Step, at_old_keyframe
from relay.flv_packager import FlvPackager
from relay.flv_viewer import FlvViewer
from wire.flv_tag import AUDIO

__all__ = ["FlvSwitch"]


@dataclass(slots=True)
class _Held:
    """Old pictures from a keyframe at `t` on; or, with a keyframe asked for, everything after `t`.

    `asks_later`: the keyframe is only asked for when the rung has come to `t`.
    """

    t: int
    is_asked: bool
    asks_later: bool
    batches: list[Batch]
    timer: asyncio.TimerHandle


class FlvSwitch:
    """`start` it; then `on_over(switch, moved)` is called once. `cancel` leaves the viewer where it is.

    `wants_keyframe`: do not wait for the next common one. With `old` ended (see `orphan`) the viewer gets the sound of
    the new packager until its next keyframe.
    """

    def __init__(
        self,
        viewer: FlvViewer,
        old: FlvPackager,
        new: FlvPackager,
        *,
        wants_keyframe: bool,
        on_over: Callable[[FlvSwitch, bool], None],
    ) -> None:
        self.viewer = viewer
        self.old = old
        self.new = new
        self._wants_keyframe = wants_keyframe
        self._on_over = on_over
        self._held: _Held | None = None
        self._forced = 0
        self._after = BEFORE_ALL
        self._is_orphan = False
        self._is_landing = False
        self._is_over = False
        self._config = old.video_config(0)
        self._newest_t = BEFORE_ALL

    def __repr__(self) -> str:
        return f"<FlvSwitch {self.old.rendition} -> {self.new.rendition} held={self._held is not None}>"

    def start(self) -> None:
        """From a timer or a request, never from within a packager."""
        self.new.arrivals[self] = None
        if not self.viewer.has_begun:
            self._go_over_before_the_start()
        elif self.old.is_ended:
            self.orphan()
        else:
            self.old.set_apart(self.viewer, self)
            self._replace_queued()
        self.insist()

    def insist(self) -> None:
        """Ask for a keyframe where the next common one is not waited for. To be repeated: a request may fail."""
        can_use = self._is_orphan or self.viewer.is_skipping or self.viewer.queued_bytes
        if self._wants_keyframe and not self._is_over and can_use:
            self.new.stream.request_keyframe(self.new.rendition)

    def orphan(self) -> None:
        """The old packager has ended. What it had is shown, then the first new keyframe behind it."""
        self._release()
        self._is_orphan = True
        self._wants_keyframe = True
        self._newest_t = self.old.newest_t
        self._after = self.old.newest_sound
        self.new.take_over(self.viewer)
        self.new.set_apart(self.viewer, self)
        self.viewer.first_group = -1

    def retarget(self, new: FlvPackager) -> None:
        """An orphan's new packager has ended as well."""
        self._after = max(self._after, self.new.newest_sound)
        self.new.arrivals.pop(self, None)
        self.new = new
        new.arrivals[self] = None
        new.take_over(self.viewer)
        new.set_apart(self.viewer, self)

    @property
    def is_orphan(self) -> bool:
        """Has the old packager ended, and the new one shown nothing yet?"""
        return self._is_orphan and not self._is_over

    def cancel(self) -> None:
        """Stay where it is. Nothing happens when it is over, or where there is no place to stay."""
        if not self._is_over and not self._is_orphan:
            self._release()
            self._end(moved=False)

    def close(self) -> None:
        """The viewer is gone."""
        if self._held is not None:
            self._held.timer.cancel()
        self._held, self._is_over = None, True
        self.new.arrivals.pop(self, None)
        self.old.leave(self.viewer)
        self.new.leave(self.viewer)

    def take(self, batch: Batch) -> None:
        """Departure: a batch of the packager that serves the viewer now."""
        if self._is_landing:
            self._land(batch)
        elif self._is_orphan:
            self.viewer.append(batch.part(self._is_new_other), batch.dts)
        elif self._held is not None:
            self._held.batches.append(batch)
            self.viewer.append(batch.others, batch.dts)
        elif not (batch.starts_group and self._cross_at_old_keyframe(batch)):
            self.viewer.deliver(batch, self.old.group)
            self._force()

    def notice(self, batch: Batch) -> None:
        """Arrival: the new packager has sent a batch."""
        if self._is_over or self._is_landing:
            return
        held = self._held
        if held is not None and held.asks_later and self.new.newest_t >= held.t:
            held.asks_later = False
            self.new.stream.request_keyframe(self.new.rendition)
        if batch.starts_group:
            self._notice_keyframe()

    def _notice_keyframe(self) -> None:
        t = self.new.group_t
        if t is None:
            return
        if self._is_orphan:
            if t > self._newest_t:
                self._move(t)
        elif self._held is not None:
            self._use_keyframe(self._held, t)
        elif t - self.old.newest_t > STALLED:
            self._move(t)
        else:
            self._replace_queued()

    def _use_keyframe(self, held: _Held, t: int) -> None:
        if t > held.t if held.is_asked else t == held.t:
            self._move(t)
        elif held.is_asked and not held.asks_later:
            self.new.is_hasty = True
            self._release()

    def abandon(self, reason: Reason) -> None:
        """Arrival: the new packager has ended."""
        if self._is_orphan:
            return  # the viewer is one of those that it tells
        self.cancel()

    def _cross_at_old_keyframe(self, batch: Batch) -> bool:
        """Whether this batch, the first of an old group, is dealt with."""
        t = self.old.group_t
        if t is None:
            return False
        step = at_old_keyframe(t, new_keyframe=self.new.group_t, new_newest=self.new.newest_t)
        if step is Step.GO_ON:
            return False
        self.viewer.append(batch.others, batch.dts)
        if step is Step.MOVE:
            self._move(t)
        else:
            self._hold(t, [batch])
        return True

    def _force(self) -> None:
        """Do not wait for the next common keyframe. All rungs make one when they are asked; the source does not, so
        from there stop here, for the one that the rung makes now.

        Only where pictures are in order, and a rung that is running; where they wait in a queue they are replaced.
        """
        old, new, stream = self.old, self.new, self.old.stream
        if not self._wants_keyframe or self._forced >= MAX_FORCED or new.group_t is None:
            return
        if old.rendition != SOURCE:
            if old.newest_t - new.newest_t <= HOLD * TICKS_PER_SECOND:
                self._forced += stream.may_request_keyframe(new.rendition)
                stream.request_keyframe(new.rendition)
            return
        if stream.source_is_reordered or self.viewer.is_skipping or self.viewer.queued_bytes:
            return
        if old.newest_t != stream.live_edge or old.newest_t - new.newest_t > HOLD * TICKS_PER_SECOND:
            return
        if not stream.may_request_keyframe(new.rendition) and stream.rung_keyframe_asked_t != old.newest_t:
            return
        if not new.is_hasty:
            stream.request_keyframe(new.rendition)
        self._forced += 1
        self._hold(old.newest_t, [], is_asked=True)

    def _hold(self, t: int, batches: list[Batch], *, is_asked: bool = False) -> None:
        timer = asyncio.get_running_loop().call_later(HOLD, self._release)
        self._held = _Held(t, is_asked, is_asked and self.new.is_hasty, batches, timer)

    def _release(self) -> None:
        """It took too long: on with the old pictures."""
        held, self._held = self._held, None
        if held is not None:
            held.timer.cancel()
            for batch in held.batches:
                self.viewer.append(batch.part(lambda mark: mark.is_video), batch.dts)

    def _replace_queued(self) -> None:
        """Put the new group in the place of old pictures that the connection has not taken."""
        t, kept = self.new.group_t, self.new.kept
        if t is None or not kept or self._held is not None:
            return
        viewer = self.viewer
        if viewer.is_skipping:
            if t > viewer.skipped_t:
                self._resume(kept)
        elif viewer.queued_bytes:
            self.old.flush()
            self.new.flush()
            if self._is_over or self._held is not None:
                return  # the flush has done it
            if viewer.cross(t, self._pictures(kept)):
                self._land_on_new(t, self.old.newest_sound)

    def _resume(self, kept: list[Batch]) -> None:
        """Behind a hole, sound and all."""
        self.new.flush()
        self.viewer.resume(kept[0].configs, kept)
        self._land_on_new(None, BEFORE_ALL)

    def _move(self, t: int) -> None:
        """The new pictures from their newest keyframe on follow the old ones that were sent."""
        if not self._is_orphan:
            self.old.flush()
        self.new.flush()
        if self._is_over:
            return  # a flush has done it
        held, self._held = self._held, None
        if held is not None:
            held.timer.cancel()
            for batch in held.batches if held.is_asked else ():
                self.viewer.append(batch.part(lambda mark: mark.t is not None and mark.t < t), batch.dts)
        for tags, dts in self._pictures(self.new.kept):
            self.viewer.append(tags, dts)
        after = max(self._after, self.new.newest_sound) if self._is_orphan else self.old.newest_sound
        self._land_on_new(t, after)

    def _pictures(self, kept: list[Batch]) -> list[tuple[bytes, int]]:
        """Each batch's pictures, behind the sequence header where it is another one."""
        pictures = [(batch.pictures, batch.dts) for batch in kept]
        if self.new.video_config(0) != self._config and pictures:
            dts = min(mark.dts for mark in kept[0].marks if mark.t is not None)
            pictures[0] = (self.new.video_config(to_ms(dts)) + pictures[0][0], dts)
        return [(tags, dts) for tags, dts in pictures if tags]

    def _go_over_before_the_start(self) -> None:
        """A viewer that waits for its first picture can wait for the other one as well."""
        self.old.leave(self.viewer)
        self.new.join(self.viewer)
        self._end(moved=True)

    def _land_on_new(self, t: int | None, after: int) -> None:
        """Served by the new packager from now on; sound up to `after` has been sent already."""
        is_first_group = self.viewer.first_group == self.old.group and t is not None and t == self.old.group_t
        if not self._is_orphan:
            self.old.leave(self.viewer)
            self.new.take_over(self.viewer)
        self.viewer.first_group = self.new.group if is_first_group else -1
        self._after = after
        self._is_landing = True
        self.new.set_apart(self.viewer, self)
        self._end(moved=True, landing=after != BEFORE_ALL)

    def _land(self, batch: Batch) -> None:
        """The first batches may carry sound that the old packager was first to send."""
        sounds = [mark.dts for mark in batch.marks if mark.kind == AUDIO]
        if not any(dts <= self._after for dts in sounds):
            self.viewer.deliver(batch, self.new.group)
        else:
            self.viewer.append(batch.part(lambda mark: mark.kind != AUDIO or mark.dts > self._after), batch.dts)
        if any(dts > self._after for dts in sounds):
            self.new.serve(self.viewer)

    def _is_new_other(self, mark: Mark) -> bool:
        return not mark.is_video and (mark.kind != AUDIO or mark.dts > self._after)

    def _end(self, *, moved: bool, landing: bool = False) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.new.arrivals.pop(self, None)
        if not moved:
            self.old.serve(self.viewer)
            self.new.stop_if_idle()
        elif not landing:
            self.new.serve(self.viewer)
        self._on_over(self, moved)

"""One rendition and one audio codec of a stream as FLV, made once for all its viewers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from media import flv_muxer
from media.event import Event
from media.flv_muxer import FlvOptions
from media.reasons import CODEC_CHANGED, RECONNECT, Reason
from media.stream import Stream
from media.ticks import TICKS_PER_MS, TICKS_PER_SECOND, to_ms
from media.track import SOURCE, Track
from media.unit import AccessUnit
from relay.batch import BEFORE_ALL, Batch, Mark
from relay.flv_viewer import FlvViewer
from relay.renditions import is_forecast
from wire.flv_tag import AUDIO, SCRIPT, VIDEO

__all__ = ["Arrival", "Departure", "FlvPackager"]

logger = logging.getLogger(__name__)

MAX_AUDIO_WAIT = 100 * TICKS_PER_MS
"""Sound rides along with the next picture; when none comes for this long it goes alone."""


class Departure(Protocol):
    """Stands between this packager and a viewer that is not served like all others."""

    def take(self, batch: Batch) -> None:
        """The next batch, in place of the viewer."""


class Arrival(Protocol):
    """Waits for a place from which a viewer can go on here."""

    def notice(self, batch: Batch) -> None:
        """A batch was sent to the viewers that are here."""

    def abandon(self, reason: Reason) -> None:
        """The stream has ended this packager."""


class FlvPackager:
    """A reader of the stream. Viewers `join` and `leave`; `on_end` is called when the stream ends it.

    Batches start a new *group* at every sync point (a keyframe, or a second of sound where there is no picture); a
    viewer starts with a group, and with a prelude whose base is the group's first tag. `forecast` is the track of a
    rendition that is not made yet. When the stream ends this packager, `on_viewer_lost` is asked whether it has found
    another place for a viewer; all others are told goodbye.

    `group` is the number of the newest group, `group_t` the pts of the keyframe it starts with, `newest_t` the latest
    picture, `newest_sound` the dts of the latest sound: those that were sent, not those that wait to be flushed.
    `is_hasty` is noted here of a rung: a keyframe that is asked for comes before pictures that it was given already.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        rendition: str = SOURCE,
        audio: str = SOURCE,
        options: FlvOptions | None = None,
        merge_ms: int = 0,
        on_end: Callable[[FlvPackager], None] = lambda packager: None,
        on_viewer_lost: Callable[[FlvViewer, Reason], bool] = lambda viewer, reason: False,
        forecast: Track | None = None,
    ) -> None:
        self.stream = stream
        self.viewers: dict[FlvViewer, None] = {}
        self.arrivals: dict[Arrival, None] = {}
        self.rendition = rendition
        self.group = 0
        self.group_t: int | None = None
        self.newest_t = BEFORE_ALL
        self.is_hasty = False
        self.newest_sound = BEFORE_ALL
        self._options = options or FlvOptions()
        self._merge = merge_ms * TICKS_PER_MS
        self._merge_s = merge_ms / 1000
        self._on_end = on_end
        self._on_viewer_lost = on_viewer_lost
        self._video: Track | None = stream.renditions.get(rendition) or forecast
        self._audio: Track | None = stream.audio_track(audio)
        self._wrap = 0
        self._waiting: dict[FlvViewer, None] = {}
        self._apart: dict[FlvViewer, Departure | None] = {}
        self._group_dts = 0
        self._last_dts = 0
        self._batches: list[Batch] = []
        self._batches_size = 0
        self._keeps_group = False
        self._prelude = b""
        self._configs = b""
        self._pending: list[bytes] = []
        self._marks: list[Mark] = []
        self._pending_size = 0
        self._pending_for_joiners: list[bytes] | None = None
        self._pending_dts = 0
        self._starts_group = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._replaying = True
        stream.attach(self, video=rendition, audio=audio)
        self._replaying = False

    def __repr__(self) -> str:
        return f"<FlvPackager {self.stream.key}/{self.rendition} viewers={len(self.viewers)} group={self.group}>"

    def join(self, viewer: FlvViewer) -> None:
        """Start the viewer with the group that is there, else with the next one."""
        self.viewers[viewer] = None
        if self._batches:
            viewer.start(self.group, self._prelude, self._batches)
        else:
            self._waiting[viewer] = None
            self._apart[viewer] = None

    def leave(self, viewer: FlvViewer) -> None:
        """The viewer is gone. Without viewers the packager stops reading the stream."""
        self.viewers.pop(viewer, None)
        self._waiting.pop(viewer, None)
        self._apart.pop(viewer, None)
        self.stop_if_idle()

    def stop_if_idle(self) -> None:
        """Stop reading when nobody watches and nobody is about to."""
        if not self.viewers and not self.arrivals and not self._ended:
            self._stop()

    def take_over(self, viewer: FlvViewer) -> None:
        """A viewer that has begun elsewhere and goes on here with the next batch."""
        self.viewers[viewer] = None

    def set_apart(self, viewer: FlvViewer, departure: Departure) -> None:
        """From now on `departure` gets what this viewer, which has begun, would get."""
        self._apart[viewer] = departure

    def serve(self, viewer: FlvViewer) -> None:
        """Serve it like all others again."""
        if viewer not in self._waiting:
            self._apart.pop(viewer, None)

    @property
    def kept(self) -> list[Batch]:
        """The batches of the newest group, where it is not too large to be kept."""
        return self._batches

    @property
    def video(self) -> Track | None:
        """What pictures are made from now; a forecast before the first one."""
        return self._video

    def video_config(self, ms: int) -> bytes:
        """The sequence header of the pictures, at `ms`."""
        return b"" if self._video is None else flv_muxer.config_tag(self._video, ms, self._options)

    @property
    def newest_dts(self) -> int:
        """Of what was read so far."""
        return self._last_dts

    @property
    def is_ended(self) -> bool:
        return self._ended

    def push(self, unit: AccessUnit) -> None:
        """Reader: the next unit."""
        reason = self._misfit(unit)
        if reason is not None:
            self._break(reason)
            return
        changed = self._adopt(unit.track)
        if self._is_sync_point(unit):
            self._start_group(unit)
        elif not (self.group or self._serves_early) or flv_muxer.wrap_of(unit.dts) < self._wrap:
            return  # nobody has begun, or it is sound from before the wrap that the picture has passed already
        self._last_dts = max(self._last_dts, unit.dts)
        if changed:
            dts = max(unit.dts, self._group_dts)  # joiners need it even when they do not get the unit itself
            kind = VIDEO if unit.is_video else AUDIO
            self._append(flv_muxer.config_tag(unit.track, to_ms(dts), self._options), dts, kind)
        if unit.is_video:
            self._append(flv_muxer.unit_tag(unit, self._options), unit.dts, VIDEO, unit.pts)
        else:
            self._append(flv_muxer.unit_tag(unit, self._options), unit.dts, AUDIO)
        if self._is_due(unit):
            self.flush()

    def on_event(self, event: Event) -> None:
        """Reader: written at once, before the picture it belongs to."""
        if self.group:
            self._append(flv_muxer.event_tag(event, to_ms(self._last_dts)), self._last_dts, SCRIPT)
            self.flush()

    def end(self, reason: Reason) -> None:
        """Reader: send what is there, then close every viewer with the reason."""
        if self._ended:
            return
        self.flush()
        viewers, arrivals = tuple(self.viewers), tuple(self.arrivals)
        self._stop()
        for arrival in arrivals:
            arrival.abandon(reason)
        for viewer in viewers:
            if not self._on_viewer_lost(viewer, reason):
                viewer.finish(reason)

    def set_merge(self, merge_ms: int) -> None:
        """Another merge window, from the next batch on. 0 writes with each picture."""
        self.flush()
        self._merge = merge_ms * TICKS_PER_MS
        self._merge_s = merge_ms / 1000

    def flush(self) -> None:
        """Write what is pending to every viewer."""
        self._stop_timer()
        if not self._pending:
            return
        joiners = self._pending_for_joiners
        batch = Batch(
            b"".join(self._pending),
            self._pending_dts,
            starts_group=self._starts_group,
            payload_for_joiners=None if joiners is None else b"".join(joiners),
            configs=self._configs if self._starts_group else b"",
            marks=tuple(self._marks),
            t_before=self.newest_t,
        )
        if self._starts_group:
            self.group_t = next((mark.t for mark in self._marks if mark.t is not None), None)
        self.newest_t = batch.newest_t
        self.newest_sound = max([self.newest_sound, *(mark.dts for mark in self._marks if mark.kind == AUDIO)])
        self._forget_pending()
        self._keep(batch)
        self._send(batch)

    def _keep(self, batch: Batch) -> None:
        """For joiners, as long as the group is not too large: they then wait for the next one."""
        if not self._keeps_group:
            return
        self._batches.append(batch)
        self._batches_size += len(batch.payload)
        limits = self.stream.gop_limits
        if self._batches_size > limits.size or batch.dts - self._group_dts > limits.seconds * TICKS_PER_SECOND:
            self._batches, self._keeps_group = [], False

    def _send(self, batch: Batch) -> None:
        group, apart = self.group, self._apart
        for viewer in self.viewers:
            if viewer not in apart:
                viewer.deliver(batch, group)
        departures = tuple(apart.values()) if apart else ()
        if self._waiting and batch.starts_group:
            waiting, self._waiting = self._waiting, {}
            for viewer in waiting:
                del apart[viewer]
                viewer.start(group, self._prelude, [batch])
        for departure in departures:
            if departure is not None:
                departure.take(batch)
        for arrival in tuple(self.arrivals):
            arrival.notice(batch)

    def _misfit(self, unit: AccessUnit) -> Reason | None:
        """What the viewers were promised has changed so that they must connect again."""
        promised = self._video if unit.is_video else self._audio
        if promised is None:
            return RECONNECT
        if promised.codec is not unit.track.codec:
            return CODEC_CHANGED
        if self.group and flv_muxer.wrap_of(unit.dts) > self._wrap:
            logger.info("FLV time wraps at %d ms", to_ms(unit.dts), extra={"room": self.stream.key})
            return RECONNECT
        return None

    def _break(self, reason: Reason) -> None:
        """Nobody watches yet while the kept group is read: if it changes midway, it is no use and the next one is."""
        if not self._replaying:
            self.end(reason)
            return
        self._stop_timer()
        self.group, self.group_t, self._keeps_group, self._batches = 0, None, False, []
        self._forget_pending()

    def _forget_pending(self) -> None:
        self._pending, self._marks, self._pending_size = [], [], 0
        self._pending_for_joiners, self._starts_group = None, False

    def _is_sync_point(self, unit: AccessUnit) -> bool:
        if self._video is not None:
            return unit.is_video and unit.keyframe
        return not self.group or unit.dts - self._group_dts >= TICKS_PER_SECOND

    def _start_group(self, unit: AccessUnit) -> None:
        self.flush()
        self.group += 1
        self._group_dts = unit.dts
        self._wrap = flv_muxer.wrap_of(unit.dts)
        self._batches, self._batches_size, self._keeps_group = [], 0, True
        self._starts_group = True
        self._prelude = flv_muxer.prelude(
            self._video,
            self._audio,
            epoch=self.stream.epoch,
            base_ms=to_ms(unit.dts),
            frame_rate=self.stream.frame_rate,
            options=self._options,
        )
        tracks = (track for track in (self._video, self._audio) if track is not None)
        self._configs = b"".join(flv_muxer.config_tag(track, to_ms(unit.dts), self._options) for track in tracks)

    @property
    def _serves_early(self) -> bool:
        """Is there somebody who has begun elsewhere, and hears what comes before the first picture here?"""
        return any(departure is not None for departure in self._apart.values())

    def _adopt(self, track: Track) -> bool:
        """Is this configuration new to viewers who are there already? Then they need its sequence header."""
        before = self._video if track.is_video else self._audio
        if track is before:
            return False
        if track.is_video:
            self._video = track
        else:
            self._audio = track
        return before is None or not is_forecast(before)

    def _append(self, tag: bytes, dts: int, kind: int, t: int | None = None) -> None:
        if not self._pending:
            self._pending_dts = dts
            self._start_timer()
        self._pending_dts = min(self._pending_dts, dts)  # sound may lead the picture
        is_early = dts < self._group_dts
        end = self._pending_size + len(tag)
        self._marks.append(Mark(kind, dts, t, self._pending_size, end, is_early))
        self._pending_size = end
        if is_early and self._pending_for_joiners is None:
            self._pending_for_joiners = list(self._pending)
        elif not is_early and self._pending_for_joiners is not None:
            self._pending_for_joiners.append(tag)
        self._pending.append(tag)

    def _is_due(self, unit: AccessUnit) -> bool:
        span = unit.dts - self._pending_dts
        if unit.is_video:
            return not self._merge or span + self.stream.timeline.frame_interval >= self._merge
        return span >= max(MAX_AUDIO_WAIT, self._merge) if self._video is not None else span >= self._merge

    def _start_timer(self) -> None:
        """With a merge window, what is pending goes out in time even when the publisher pauses."""
        if self._merge:
            self._timer = asyncio.get_running_loop().call_later(self._merge_s, self.flush)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop(self) -> None:
        self._ended = True
        self._stop_timer()
        self.stream.detach(self)
        self._on_end(self)

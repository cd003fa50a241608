"""One rendition, or the sound, of a stream as RTP: packetised once for all its viewers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol
from weakref import ref

from media.event import Event
from media.reasons import CODEC_CHANGED, Reason
from media.rtp import OpusClock, packetise, reorders, rtp_origin, video_rtp_time
from media.stream import Stream
from media.ticks import TICKS_PER_SECOND
from media.track import SOURCE, Track
from media.unit import AccessUnit
from relay.rtp_batch import MAX_RUN_PACKETS, HeaderKey, SharedPacket
from relay.rtp_sender import MAX_REPLAY_PACKETS, FanOuts, RtpSender, Scheduler
from relay.rtp_target import History, RtpTarget

__all__ = ["RtpArrival", "RtpDeparture", "RtpPackager", "RtpViewer"]

_log = logging.getLogger(__name__)

MAX_REPLAY_TICKS = 3 * TICKS_PER_SECOND
"""A longer group of pictures is not replayed: the burst would be late, and a keyframe is wanted anyway."""
KEYFRAME_ANSWER = 1.0
"""Seconds a publisher has to make the keyframe it was asked for; one that does not is taken not to listen (OBS)."""
SOON = 0.3
"""Seconds. A keyframe that comes by itself within this is waited for."""
MAX_PACKETS_PER_UNIT = 3000
"""Packets of one picture that the history can hold besides what joiners need. A 4K intra picture has 1,800."""
MAX_SOUND = 1276
"""Bytes of a packet of sound: the largest frame of Opus and its first byte (RFC 6716, 3.4). Several frames in one
packet may have more: no fan-out sends that, and the picture that it leaves with would go down with it."""
AUDIO_WAIT = 0.012
"""Seconds that a publisher's own sound waits for a picture to leave with, or for more sound. It must stay below the
20 ms in which browsers count the jitter of sound: they hold back the picture by as much, so that lips and sound stay
together. Sound that is made here leaves at once: it comes two packets at a time, of which only one would fit the
picture's send, and by then its jitter is as high already."""
CATCHING_UP = 3.0
"""Seconds after the sound was first wanted, in which a worker may still work off what is past."""
FRESH_TICKS = TICKS_PER_SECOND // 5
"""Sound that is not further behind the live edge has caught up. It is usually 40 ms behind where it is made of AAC."""
ASKED_FOR_TIME = 5.0
"""Seconds after its end for which packets can be asked for again, by viewers who have gone on to another rung. They
remember where they were for the next 4,096 packets of their own, which are minutes of a small rung."""
REMEMBERED_PICTURES = 64
"""Pictures whose first packet is known: those that may be held back for another rendition, and then some."""


class RtpViewer(Protocol):
    """Who owns a target."""

    def lose(self, packager: RtpPackager, reason: Reason) -> None:
        """The stream has ended this packager, and its targets have left."""


class RtpDeparture(Protocol):
    """Waits for a place from which a target can leave."""

    def before_keyframe(self, t: int, index: int) -> None:
        """A keyframe at media time `t` comes next, with shared packet `index`."""

    def after_picture(self, t: int) -> None:
        """A picture has been queued."""


class RtpArrival(Protocol):
    """Waits for a place from which a target can go on here."""

    def notice(self, t: int, *, keyframe: bool) -> None:
        """A picture at media time `t` has been queued."""

    def abandon(self, reason: Reason) -> None:
        """The stream has ended this packager."""


class RtpPackager:
    """A reader of the stream, for the picture in one rendition or for its sound. `on_end` is called when it stops.

    `reordered` says that pictures came in another order than they are shown in, which WebRTC cannot show. A source
    whose pts is not its dts will do so; a rung's pts and dts differ only because the source's do. `keyframe_t` is the
    media time of the newest keyframe, `last_t` that of the newest unit. `is_hasty` is noted here of a rung: a keyframe
    that is asked for comes before pictures that it was given already. `on_picture` is called when a picture is on its
    way, and answers who sends the sound that leaves with it: see `ride_along`.
    """

    def __init__(
        self,
        stream: Stream,
        track: Track,
        fan_outs: FanOuts,
        *,
        scheduler: Scheduler,
        now: Callable[[], float],
        on_full: Callable[[Callable[[], object]], None],
        on_end: Callable[[RtpPackager], None] = lambda packager: None,
        on_picture: Callable[[], RtpSender | None] = lambda: None,
    ) -> None:
        self.stream = stream
        self.track = track
        self.history = History()
        self.viewers: dict[RtpViewer, None] = {}
        self.departures: dict[RtpDeparture, None] = {}
        self.arrivals: dict[RtpArrival, None] = {}
        self.is_hasty = False
        self.reordered = track.is_video and reorders(track)
        self.last_t = 0
        self.oversized = 0
        self.origin = rtp_origin(stream.epoch)
        self.sender = RtpSender(self.history, fan_outs, scheduler=scheduler, now=now, on_full=on_full)
        self._now = now
        self._on_end = on_end
        self._on_picture = on_picture
        self._header_keys: dict[HeaderKey, HeaderKey] = {}
        self._opus = OpusClock(self.origin)
        self.keyframe_t: int | None = None
        self._starts: deque[tuple[int, int]] = deque(maxlen=REMEMBERED_PICTURES)
        self._keyframe_at = 0.0
        self._group_ticks = 0
        self._asked_at: float | None = None
        self._is_deaf = False
        self._scheduler = scheduler
        self._is_sound_waiting = False
        self._began = now()
        self._is_fresh = track.is_video
        self._ended = False
        if track.is_video:
            stream.attach(self, video=track.rendition, audio=None)
        else:
            stream.attach(self, video=None, audio=track.codec)
        if self._ended:
            stream.detach(self)

    def __repr__(self) -> str:
        return f"<RtpPackager {self.stream.key} {self.track.codec}/{self.track.rendition} viewers={len(self.viewers)}>"

    @property
    def is_video(self) -> bool:
        return self.track.is_video

    @property
    def rtp_time(self) -> int:
        """RTP time of the newest unit."""
        newest = self.history.get(self.history.newest)
        return video_rtp_time(self.origin, self.last_t) if newest is None else newest.rtp_time

    @property
    def is_ended(self) -> bool:
        return self._ended

    def start_of(self, t: int) -> int:
        """The first packet of the first picture at media time `t` or later, of those that are remembered."""
        return next((index for at, index in self._starts if at >= t), self.sender.head)

    @property
    def replay_start(self) -> int | None:
        """The first packet of the newest group of pictures, where it is short enough to be sent again."""
        start = self.sender.keyframe
        if start is None or self.keyframe_t is None or self.history.get(start) is None:
            return None
        fits = self.sender.head - start <= MAX_REPLAY_PACKETS and self.last_t - self.keyframe_t <= MAX_REPLAY_TICKS
        return start if fits else None

    def share_header(self, key: HeaderKey) -> HeaderKey:
        """The same for all viewers with the same kind of header, so that a fan-out sees it at a glance."""
        return self._header_keys.setdefault(key, key)

    def enter(self, viewer: RtpViewer) -> None:
        """Keep reading the stream for this viewer, whose handshake may take a while."""
        self.viewers[viewer] = None

    def join(self, target: RtpTarget) -> None:
        """Start the target with the newest group of pictures, else with the next one; with sound at once."""
        start = self.replay_start if self.is_video else self.sender.head
        self.sender.join(target, start)
        if start is None:
            self.stream.request_keyframe(self.track.rendition)

    def leave(self, viewer: RtpViewer, target: RtpTarget | None) -> None:
        """The viewer is gone. Without viewers the packager stops reading the stream."""
        self.viewers.pop(viewer, None)
        if target is not None:
            self.sender.leave(target)
        self.stop_if_idle()

    def stop_if_idle(self) -> None:
        """Stop reading when nobody watches and nobody is about to."""
        if not self.viewers and not self.arrivals and not self._ended:
            self._stop()

    def refresh(self, target: RtpTarget, *, at_once: bool) -> bool:
        """A viewer has lost the picture: a new keyframe, or the group once more. Returns whether it was replayed.

        `at_once` for a viewer that has got nothing yet. Otherwise a keyframe is asked for, and the group is only
        replayed where nobody can make one and the next is not due soon.
        """
        start = self.replay_start
        if start is None:
            self.stream.request_keyframe(self.track.rendition)
            return False
        if not at_once and (self._ask_for_keyframe() or self._next_is_near()):
            return False
        self.sender.replay(target, start)
        return True

    def push(self, unit: AccessUnit) -> None:
        """Reader: the next unit."""
        if unit.track is not self.track and not self._adopt(unit.track):
            self.end(CODEC_CHANGED)
            return
        if self.is_video:
            self._push_picture(unit)
        else:
            self._push_sound(unit)

    def ride_along(self) -> RtpSender | None:
        """For the packager of the sound: a picture is leaving. The sender of what waits to leave with one."""
        return self.sender if self._is_sound_waiting else None

    def on_event(self, event: Event) -> None:
        """Reader: events go by the interaction socket."""

    def end(self, reason: Reason) -> None:
        """Reader: the viewers are told."""
        if self._ended:
            return
        viewers, arrivals = tuple(self.viewers), tuple(self.arrivals)
        self._stop()
        for arrival in arrivals:
            arrival.abandon(reason)
        for viewer in viewers:
            viewer.lose(self, reason)

    def _push_picture(self, unit: AccessUnit) -> None:
        if self._is_out_of_order(unit) and not self.reordered:
            self.reordered = True
            _log.info("pictures are reordered (B-frames): WebRTC viewers end", extra={"room": self.stream.key})
            if self.viewers:
                self.end(CODEC_CHANGED)
                return
        payloads = packetise(unit)
        if len(payloads) > MAX_PACKETS_PER_UNIT:
            self.oversized += 1
            return
        first = self.sender.head
        if unit.keyframe:
            for departure in tuple(self.departures):
                departure.before_keyframe(unit.pts, first)
            self._note_keyframe(unit)
        self._starts.append((unit.pts, first))
        self._append(payloads, video_rtp_time(self.origin, unit.pts), unit.pts)
        if unit.keyframe:
            self.sender.note_keyframe(first)
        self.sender.wake(self._on_picture())
        for departure in tuple(self.departures):
            departure.after_picture(unit.pts)
        for arrival in tuple(self.arrivals):
            arrival.notice(unit.pts, keyframe=unit.keyframe)

    def _is_out_of_order(self, unit: AccessUnit) -> bool:
        if self.track.rendition == SOURCE:
            return unit.pts != unit.dts
        return bool(self._starts) and unit.pts <= self._starts[-1][0]

    def _push_sound(self, unit: AccessUnit) -> None:
        if not self._has_caught_up(unit):
            return
        first, payloads, rtp_time = self.sender.head, packetise(unit), self._opus.rtp_time(unit.pts, unit.parts[0])
        if len(payloads[0]) > MAX_SOUND:
            self._leave_out(len(payloads[0]))
            return
        self._append(payloads, rtp_time, unit.pts)
        self.sender.note_keyframe(first)
        if self.track.rendition != SOURCE:
            self.sender.wake()
        elif not self._is_sound_waiting:
            self._is_sound_waiting = True
            self._scheduler.call_later(AUDIO_WAIT, self._send_sound)

    def _leave_out(self, size: int) -> None:
        if not self.oversized:
            text = "sound with packets of %d bytes, more than %d, is left out for WebRTC viewers"
            _log.warning(text, size, MAX_SOUND, extra={"room": self.stream.key})
        self.oversized += 1

    def _send_sound(self) -> None:
        """It has waited long enough: to all whose pictures have not taken it along."""
        self._is_sound_waiting = False
        self.sender.wake()

    def _has_caught_up(self, unit: AccessUnit) -> bool:
        """False for what a worker makes of the past when it starts.

        A second of sound at once would stay in a browser's jitter buffer for a minute, and its pictures wait for it.
        """
        if not self._is_fresh:
            behind = self.stream.live_edge - unit.pts
            self._is_fresh = behind <= FRESH_TICKS or self._now() - self._began > CATCHING_UP
        return self._is_fresh

    def _append(self, payloads: list[bytes], rtp_time: int, t: int) -> None:
        last = len(payloads) - 1
        for number, payload in enumerate(payloads):
            index = self.history.newest + 1
            padding = _missing(payloads) if number == last else 0
            padded = payload + bytes(padding - 1) + bytes([padding]) if padding else payload
            self.history.put(index, SharedPacket(index, rtp_time, self.is_video and number == last, padded, padding))
        self.last_t = t

    def _note_keyframe(self, unit: AccessUnit) -> None:
        if self.keyframe_t is not None:
            self._group_ticks = unit.pts - self.keyframe_t
        self.keyframe_t = unit.pts
        self._keyframe_at = self._now()
        if self._asked_at is not None:
            self._is_deaf = self._keyframe_at - self._asked_at > KEYFRAME_ANSWER
            self._asked_at = None

    def _ask_for_keyframe(self) -> bool:
        """Whether one can be expected because we asked."""
        if not self.stream.request_keyframe(self.track.rendition):
            return False
        now = self._now()
        self._asked_at = now if self._asked_at is None else self._asked_at
        return not self._is_deaf and now - self._asked_at <= KEYFRAME_ANSWER

    def _next_is_near(self) -> bool:
        if not self._group_ticks:
            return False
        left = self._keyframe_at + self._group_ticks / TICKS_PER_SECOND - self._now()
        return 0 <= left <= SOON

    def _adopt(self, track: Track) -> bool:
        """Whether viewers can take the new configuration as they are."""
        if track.codec is not self.track.codec:
            return False
        self.track = track
        self.reordered = self.reordered or (track.is_video and reorders(track))
        return not self.reordered

    def _stop(self) -> None:
        self._ended = True
        self.sender.close()
        self.viewers.clear()
        self._scheduler.call_later(ASKED_FOR_TIME, _clear, ref(self.history))
        self.stream.detach(self)
        self._on_end(self)


def _clear(history: ref[History]) -> None:
    known = history()
    if known is not None:
        known.clear()


def _missing(payloads: list[bytes]) -> int:
    """Bytes by which the last fragment is shorter than the one before, where that is no more than rounding.

    Padded by as much, the fragments are of one size, and a smaller packet of sound fits the same segmented send.
    """
    missing = len(payloads[-2]) - len(payloads[-1]) if len(payloads) > 1 else 0
    return missing if 0 < missing < MAX_RUN_PACKETS else 0

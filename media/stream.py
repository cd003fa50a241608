"""One broadcast: its tracks, its timeline, the pictures kept for joiners, and who reads it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from media.clock import Clock
from media.event import Event
from media.gop import GopLimits, GopRing
from media.rate import RateMeter
from media.reader import Reader
from media.reasons import RECONNECT, Reason
from media.rung import Rendition
from media.ticks import TICKS_PER_SECOND, Ticks
from media.timeline import Timeline
from media.track import SOURCE, Track
from media.unit import AccessUnit

__all__ = ["Kinds", "Stream", "StreamCounters", "StreamState"]

logger = logging.getLogger(__name__)

SETTLE_TICKS = TICKS_PER_SECOND
"""Media time after which a kind that has not come is taken not to exist: a second covers every encoder's start."""
KEYFRAME_REQUEST_INTERVAL = 0.5
"""Seconds between keyframe requests that reach the publisher: more would only cost quality."""


class StreamState(StrEnum):
    """`waiting`: the publisher vanished and may resume. `stopped`: it said goodbye and may still resume."""

    LIVE = "live"
    WAITING = "waiting"
    STOPPED = "stopped"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which kinds of media a publisher says it will send; None where it does not say."""

    video: bool | None = None
    audio: bool | None = None


@dataclass(slots=True)
class StreamCounters:
    """Plain counts since the broadcast began. Units and bytes are the publisher's, not what was encoded from them."""

    video_units: int = 0
    audio_units: int = 0
    bytes: int = 0
    keyframes: int = 0
    takeovers: int = 0
    resumes: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class _Attachment:
    reader: Reader
    video: str | None
    audio: str | None

    def wants(self, track: Track) -> bool:
        if track.is_video:
            return self.video == track.rendition
        return self.audio is not None and self.audio in (track.rendition, track.codec)


@dataclass(slots=True)
class _Settling:
    """After a start or a splice: which kinds have come, until all that exist have."""

    expected: Kinds
    since: int | None = None
    video: bool = False
    audio: bool = False

    def note(self, unit: AccessUnit) -> None:
        self.since = unit.dts if self.since is None else self.since
        self.video = self.video or unit.is_video
        self.audio = self.audio or not unit.is_video

    def is_over(self, unit: AccessUnit) -> bool:
        if self.since is not None and unit.dts - self.since > SETTLE_TICKS:
            return True
        video = self.video or self.expected.video is False
        audio = self.audio or self.expected.audio is False
        return video and audio


class Stream:
    """Written by its publisher, read by whoever is attached. Everything is synchronous and runs on one thread."""

    def __init__(self, key: str, epoch: str, clock: Clock, limits: GopLimits) -> None:
        self.key = key
        self.epoch = epoch
        self.timeline = Timeline(epoch)
        self.state = StreamState.LIVE
        self.state_since = clock.now()
        self.started_at = clock.wall()
        self.renditions: dict[str, Track] = {}
        self.audio: dict[str, Track] = {}
        self.counters = StreamCounters()
        self.declared_frame_rate: float | None = None
        self.on_settled: Callable[[Stream], None] = lambda stream: None
        self.on_keyframe_wanted: Callable[[], None] | None = None
        self.on_demand: Callable[[Stream], None] = lambda stream: None
        self.could_make: Callable[[str], Track | None] = lambda codec: None
        self.could_encode: Callable[[], tuple[Rendition, ...]] = tuple
        self.on_rung_keyframe_wanted: Callable[[], None] | None = None
        self.source_is_reordered = False
        self.rung_keyframe_asked_t = Ticks(0)
        self._clock = clock
        self._limits = limits
        self._rings: dict[str, GopRing] = {}
        self._rates: dict[str, RateMeter] = {}
        self._attachments: list[_Attachment] = []
        self._settling: _Settling | None = _Settling(Kinds())
        self._was_ready = False
        self._keyframe_asked: dict[bool, float] = {}

    def __repr__(self) -> str:
        return f"<Stream {self.key} {self.epoch} {self.state} readers={len(self._attachments)}>"

    @property
    def drops(self) -> Counter[str]:
        """Units that were not published, by reason."""
        return self.timeline.drops

    @property
    def live_edge(self) -> Ticks:
        return self.timeline.live_edge

    @property
    def is_ready(self) -> bool:
        """Have all tracks been known once? It stays so through splices: the last pictures are there to start from."""
        return self._was_ready

    @property
    def source_video(self) -> Track | None:
        return self.renditions.get(SOURCE)

    @property
    def source_audio(self) -> Track | None:
        return next((track for track in self.audio.values() if track.rendition == SOURCE), None)

    @property
    def frame_rate(self) -> float | None:
        """Pictures a second: declared by the publisher or its parameter sets, else measured; None while unknown."""
        video = self.source_video
        if video is None:
            return None
        told = self.declared_frame_rate or getattr(video.config, "frame_rate", None)
        if told:
            return float(told)
        return TICKS_PER_SECOND / self.timeline.frame_interval if self.timeline.has_rhythm else None

    @property
    def demand(self) -> Counter[str]:
        """How many readers want each rendition and each audio codec."""
        wants = Counter(a.video for a in self._attachments if a.video is not None)
        wants.update(a.audio for a in self._attachments if a.audio is not None)
        return wants

    def audio_track(self, codec: str) -> Track | None:
        """The sound that `attach(audio=codec)` would bring: the publisher's, made already, or made from then on."""
        if codec == SOURCE:
            return self.source_audio
        return self.audio.get(codec) or self.could_make(codec)

    @property
    def unmet_audio(self) -> frozenset[str]:
        """Audio codecs that readers want and the publisher does not send. Empty while it sends no sound."""
        source = self.source_audio
        if source is None:
            return frozenset()
        wanted = {a.audio for a in self._attachments if a.audio is not None}
        return frozenset(wanted - {SOURCE, source.codec})

    @property
    def unmet_video(self) -> frozenset[str]:
        """Renditions that readers want besides the source's own. Empty while there is no picture."""
        if self.source_video is None:
            return frozenset()
        return frozenset(a.video for a in self._attachments if a.video is not None) - {SOURCE}

    def bitrate(self, rendition: str) -> int | None:
        """Bits a second of this rendition's picture as they came lately; None while that is not known."""
        meter = self._rates.get(rendition)
        return None if meter is None else meter.bits_per_second

    @property
    def gop_limits(self) -> GopLimits:
        """How large a group of pictures may be that is kept for joiners."""
        return self._limits

    @property
    def buffered_bytes(self) -> int:
        """Payload bytes kept for joiners."""
        return sum(ring.size for ring in self._rings.values())

    @property
    def oversized_gops(self) -> int:
        """Groups of pictures that were too large to keep."""
        return sum(ring.oversized for ring in self._rings.values())

    def attach(self, reader: Reader, *, video: str | None = SOURCE, audio: str | None = SOURCE) -> None:
        """Read from now on, beginning with the newest group of pictures. `audio` is a codec, or the source's own."""
        attachment = _Attachment(reader, video, audio)
        for unit in self._replay(attachment):
            reader.push(unit)
        self._attachments.append(attachment)
        self.on_demand(self)

    def detach(self, reader: Reader) -> None:
        """Stop reading. Nothing happens when it was not attached."""
        remaining = [a for a in self._attachments if a.reader is not reader]
        if len(remaining) != len(self._attachments):
            self._attachments = remaining
            self.on_demand(self)

    def announce(self, event: Event) -> None:
        """Hand a commerce event to every reader."""
        self.counters.events += 1
        for attachment in tuple(self._attachments):
            attachment.reader.on_event(event)

    def request_keyframe(self, rendition: str = SOURCE) -> bool:
        """Ask the publisher, or for a rung the encoder, for a keyframe. False where nobody can make one."""
        ask = self.on_keyframe_wanted if rendition == SOURCE else self.on_rung_keyframe_wanted
        if ask is None:
            return False
        # all rungs make theirs together, so one request in the interval serves them all
        kind = rendition == SOURCE
        if self.may_request_keyframe(rendition):
            self._keyframe_asked[kind] = self._clock.now()
            if not kind:
                self.rung_keyframe_asked_t = self.live_edge
            ask()
        return True

    def may_request_keyframe(self, rendition: str = SOURCE) -> bool:
        """Would a request be passed on now? Too soon after another one it is taken to be served by that."""
        asked_at = self._keyframe_asked.get(rendition == SOURCE, float("-inf"))
        return self._clock.now() - asked_at >= KEYFRAME_REQUEST_INTERVAL

    # What follows is for the publisher, the hub, and the transcoder, which is told by `on_demand`: called whenever
    # readers come or go, whenever the publisher's sound changes its codec, with the first picture, and at the end.
    # `could_make` is its promise of sound in advance, and `could_encode` the rungs that may be asked for now, best
    # first.

    def promise(self, track: Track) -> None:
        """Sound in another codec will be delivered: who attaches for it finds its configuration in `audio` at once."""
        self.audio[track.codec] = track

    def withdraw(self, track: Track) -> None:
        """Nobody makes this sound any more."""
        if self.audio.get(track.codec) is track:
            del self.audio[track.codec]

    def withdraw_rung(self, name: str, reason: Reason) -> None:
        """Nobody encodes this rung (any more): what was kept of it goes, and who reads or awaits it is told."""
        if name == SOURCE:
            return
        self.renditions.pop(name, None)
        self._rings.pop(name, None)
        self._rates.pop(name, None)
        self._end_readers(reason, lambda attachment: attachment.video == name)

    def expect(self, kinds: Kinds) -> None:
        """A publisher begins, and says what it will send."""
        if self._settling is not None:
            self._settling.expected = kinds

    def splice(self) -> None:
        """Another publisher, or the same one again, continues this broadcast."""
        self.timeline.splice()
        self._settling = _Settling(Kinds())
        self.on_keyframe_wanted = None

    def set_state(self, state: StreamState) -> None:
        if state is not self.state:
            logger.info("stream %s -> %s", self.state, state, extra={"room": self.key})
            self.state = state
            self.state_since = self._clock.now()

    def deliver(self, unit: AccessUnit) -> None:
        """Publish a unit that already has its `t`."""
        self._note_track(unit.track)
        if unit.track.rendition == SOURCE:
            self._count(unit)
        if unit.is_video:
            self._measure(unit)
        self._keep(unit)
        for attachment in tuple(self._attachments):
            if attachment.wants(unit.track):
                attachment.reader.push(unit)
        if self._settling is not None and unit.track.rendition == SOURCE:
            self._settle(self._settling, unit)

    def end(self, reason: Reason) -> None:
        """The broadcast is over: every reader is told, and what was kept is let go."""
        self.set_state(StreamState.ENDED)
        self._end_readers(reason, lambda attachment: True)
        self._rings.clear()
        self.on_demand(self)

    def _note_track(self, track: Track) -> None:
        if track.is_video:
            is_new = self.renditions.get(track.rendition) is not track
            self.renditions[track.rendition] = track
            if is_new and track.rendition == SOURCE:
                self.on_demand(self)
        elif self.audio.get(track.codec) is not track:
            before = self.source_audio
            if track.rendition == SOURCE:
                self.audio = {codec: t for codec, t in self.audio.items() if t.rendition != SOURCE}
            self.audio[track.codec] = track
            if track.rendition == SOURCE and (before is None or before.codec is not track.codec):
                self.on_demand(self)

    def _measure(self, unit: AccessUnit) -> None:
        rendition = unit.track.rendition
        if rendition not in self._rates:
            self._rates[rendition] = RateMeter()
        self._rates[rendition].note(unit.dts, unit.size)

    def _count(self, unit: AccessUnit) -> None:
        counters = self.counters
        counters.bytes += unit.size
        if unit.is_video:
            counters.video_units += 1
            counters.keyframes += unit.keyframe
            self.source_is_reordered = self.source_is_reordered or unit.pts != unit.dts
        else:
            counters.audio_units += 1

    def _keep(self, unit: AccessUnit) -> None:
        if unit.is_video:
            self._ring(unit.track.rendition).push(unit)
            return
        if not self.renditions:
            self._ring(None).push(unit)
        for rendition in self.renditions:
            self._ring(rendition).push(unit)

    def _ring(self, rendition: str | None) -> GopRing:
        """The ring of a rendition; None is the ring of sound without a picture, which ends with the first picture."""
        key = rendition or ""
        if key not in self._rings:
            self._rings[key] = GopRing(self._limits, has_video=rendition is not None)
            if rendition is not None:
                self._rings.pop("", None)
        return self._rings[key]

    def _replay(self, attachment: _Attachment) -> Iterator[AccessUnit]:
        ring = self._rings.get(attachment.video or SOURCE) or self._rings.get("")
        if ring is not None:
            yield from (unit for unit in ring.replay() if attachment.wants(unit.track))

    def _settle(self, settling: _Settling, unit: AccessUnit) -> None:
        settling.note(unit)
        if not settling.is_over(unit):
            return
        self._settling = None
        self._was_ready = True
        if not settling.video and self.renditions:
            self.renditions.clear()
            self._rings.clear()
            self._end_readers(RECONNECT, lambda attachment: attachment.video is not None)
        if not settling.audio and self.audio:
            self.audio.clear()
            self._end_readers(RECONNECT, lambda attachment: attachment.audio is not None)
        self.on_settled(self)

    def _end_readers(self, reason: Reason, which: Callable[[_Attachment], bool]) -> None:
        ended = [a for a in self._attachments if which(a)]
        self._attachments = [a for a in self._attachments if not which(a)]
        for attachment in ended:
            attachment.reader.end(reason)
        if ended:
            self.on_demand(self)

"""The rungs of a stream that readers want: which are made, and what the worker is given and says for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from ingest.encoder_options import in_software
from ingest.health_ladder import LadderState
from ingest.made_rung import MadeRung, RungCounters
from ingest.overload import Overload, Remedy, RungLoad
from ingest.picture_feed import PictureFeed
from ingest.picture_size import rungs_for
from ingest.rung_faults import RungFaults
from ingest.rung_forecast import forecast
from ingest.transcode_limits import TranscodeCounters, TranscodeLimits
from ingest.transcode_messages import (
    Done,
    ForceKeyframe,
    KeyframeWanted,
    MadeTrack,
    MadeUnit,
    Message,
    RungFailed,
    RungLags,
    RungReport,
    SourceRefused,
    SourceReport,
    StopRung,
)
from ingest.worker_line import Linger, WorkerLine
from media.reasons import RUNG_SHED
from media.rung import Rendition, Rung
from media.stream import Stream, StreamState
from media.ticks import Ticks
from media.track import SOURCE, Codec
from media.unit import AccessUnit
from wire.codecs.h264 import H264Config
from wire.codecs.h265 import H265Config
from wire.errors import WireError

__all__ = ["PictureMaker", "PictureOwner"]

logger = logging.getLogger(__name__)

PATIENCE = 20
"""Looks without an answer, while the worker speaks of other things, after which its decoder hangs: a large keyframe on
a machine that is full takes a while."""
KEYFRAME_INTERVAL = 0.5
"""Seconds between keyframes that are asked of a rung whose units do not fit: they take that long to come."""


class PictureOwner(Protocol):
    """Who knows all transcoders of the node."""

    limits: TranscodeLimits
    counters: TranscodeCounters
    overload: Overload
    rungs_of: Callable[[str], tuple[Rung, ...]]
    viewers_of: Callable[[Stream, str], int]

    @property
    def rungs_made(self) -> int: ...

    def watch_load(self) -> None: ...


class PictureMaker:
    """One stream's. Its `feed` reads the source picture while somebody wants a rung of it."""

    patience = PATIENCE

    def __init__(self, stream: Stream, line: WorkerLine, owner: PictureOwner) -> None:
        self._stream = stream
        self._line = line
        self._owner = owner
        self._counters = owner.counters
        self._ladder = owner.rungs_of(stream.key)
        self._loop = asyncio.get_running_loop()
        self._rungs: dict[str, MadeRung] = {}
        self._retired: dict[str, MadeRung] = {}
        self._faults = RungFaults()
        self._feed = PictureFeed(
            *(stream, line, owner.counters, self._faults), slowest=self._slowest, on_end=self._source_ended
        )
        self._linger = Linger(owner.limits.linger, self._let_go)
        self._asked_at = float("-inf")
        self.source_report: SourceReport | None = None
        self.answers = 0
        self._answers_seen = 0

    def __repr__(self) -> str:
        return f"<PictureMaker of {self._stream.key} makes {','.join(self._rungs) or 'nothing'}>"

    @property
    def is_busy(self) -> bool:
        return bool(self._rungs)

    @property
    def owed(self) -> int:
        """Answers that the worker owes."""
        return self._feed.owed

    @property
    def rungs(self) -> tuple[MadeRung, ...]:
        """Those that are made now."""
        return tuple(self._rungs.values())

    @property
    def counters_by_rung(self) -> dict[str, RungCounters]:
        """Of every rung that was ever made of this stream."""
        return {name: made.counters for name, made in (self._retired | self._rungs).items()}

    @property
    def problem(self) -> str:
        """Why no rung can be made of this source, else ''."""
        source = self._stream.source_video
        return self._faults.problem(source, self._loop.time()) if source is not None else ""

    @property
    def state(self) -> LadderState:
        """For stream health."""
        now, source = self._loop.time(), self._stream.source_video
        if source is None or not self._ladder:
            return LadderState()
        is_read = isinstance(source.config, H264Config | H265Config)
        shed = self._owner.overload.barred(self._stream.key, now)
        lowered = tuple(made.name for made in self.rungs if made.is_lowered)
        return LadderState(
            problem=self.problem,
            unread="" if is_read else str(source.codec),
            has_worker=not self._faults.misses_worker(now),
            shed=tuple(name for name in shed if name not in self._rungs),
            lowered=lowered,
            late=tuple(made.name for made in self.rungs if made.is_late),
            failed=self._faults.barred(now),
        )

    def update(self) -> None:
        """Readers came or went, or the source has another configuration."""
        wanted, offered = self._stream.unmet_video, {rung.name: rung for rung in self._offered()}
        for name in set(self._rungs) - set(offered):
            self._withdraw(name)
        for name in sorted(wanted):
            # attaching to the source asks again in the middle of this
            if name not in self._rungs and not (name in offered and self._add(offered[name])):
                self._turn_away(name)
        self._linger.want(bool(set(self._rungs) - wanted))

    def could_encode(self) -> tuple[Rendition, ...]:
        """Stream.could_encode: what is made, and what could be made besides, best first."""
        source = self._stream.source_video
        if source is None or self._stream.state is StreamState.ENDED:
            return ()
        rate, found = self._stream.frame_rate, []
        for rung in sorted(self._offered(), key=lambda rung: (-rung.height, -rung.bitrate)):
            if rung.name not in self._rungs and not self._may_start(rung):
                continue
            made = self._rungs.get(rung.name)
            cores = made.cores if made and made.cores is not None else self._cost(rung)
            rendition = forecast(rung, source, made.track if made else None, frame_rate=rate, cost=cores)
            if rendition is not None:
                found.append(rendition)
        return tuple(found)

    def force_keyframe(self) -> None:
        """Stream.on_rung_keyframe_wanted."""
        if self._rungs:
            self._line.send(ForceKeyframe())

    def close(self) -> None:
        """Stop reading and making."""
        self._linger.want(False)
        for name in tuple(self._rungs):
            self._withdraw(name)

    # Demand

    def _offered(self) -> tuple[Rung, ...]:
        """The rungs of the ladder that fit this source."""
        source = self._stream.source_video
        if source is None or not isinstance(source.config, H264Config | H265Config) or self.problem:
            return ()
        if self._faults.misses_worker(self._loop.time()):
            return ()
        return rungs_for(self._ladder, source.config.width, source.config.height)

    def _may_start(self, rung: Rung) -> bool:
        """Is there room for one more encoder, as far as anybody knows?"""
        now, room = self._loop.time(), self._stream.key
        overload = self._owner.overload
        if not self._line.has_room() or self._faults.is_barred(rung.name, now):
            return False
        if self._owner.rungs_made >= self._owner.limits.max_rungs:
            return False
        if rung.name == self._last_resort():
            return True
        return not overload.is_barred(room, rung.name, now) and overload.has_room(room, rung.name)

    def _last_resort(self) -> str | None:
        """The rung that everybody can play, on the worst network: it is never taken away."""
        offered = self._offered()
        everybodys = [rung for rung in offered if rung.codec is Codec.H264] or list(offered)
        return min(everybodys, key=lambda rung: (rung.height, rung.bitrate)).name if everybodys else None

    def _cost(self, rung: Rung) -> float | None:
        return self._owner.overload.cost(self._stream.key, rung.name)

    def _add(self, rung: Rung) -> bool:
        if not self._may_start(rung) or not self._line.admit():
            return False
        made = self._retired.pop(rung.name, None)
        made = self._rungs[rung.name] = made.again(rung) if made else MadeRung(rung, RungCounters())
        self._owner.watch_load()
        logger.info("rung %s is made", rung.name, extra={"room": self._stream.key})
        if not self._line.is_there:
            self._line.begin()
        else:
            self._start(made)
            if not self._feed.is_attached:
                self._feed.join()
        return True

    def _turn_away(self, name: str) -> None:
        """Whoever wants this rung is told that it is not made: soon, for now it is in the middle of attaching."""
        self._counters.rungs_refused += 1
        self._loop.call_soon(self._dismiss, name)

    def _dismiss(self, name: str) -> None:
        if name not in self._rungs and name in self._stream.unmet_video:
            self._stream.withdraw_rung(name, RUNG_SHED)

    def _let_go(self) -> None:
        for name in set(self._rungs) - self._stream.unmet_video:
            self._withdraw(name)

    def _withdraw(self, name: str) -> None:
        """Make it no more; whoever reads it is told, and may ask for another one at once."""
        made = self._rungs.pop(name, None)
        if made is None:
            return
        logger.info("rung %s is made no more", name, extra={"room": self._stream.key})
        self._retired[name] = made
        self._line.send(StopRung(name))
        self._stream.withdraw_rung(name, RUNG_SHED)
        if not self._rungs:
            self._stop()

    def _stop(self) -> None:
        self.source_report = None
        self._feed.leave()
        self._line.rest()

    # The worker

    def resume(self) -> None:
        """A new worker is there: it begins where the old one ended."""
        if not self._rungs:
            return
        self.source_report = None
        for made in self._rungs.values():
            self._start(made)
        ends = [made.last_pts for made in self._rungs.values() if made.last_pts is not None]
        self._feed.join(fill_from=max(ends) + 1 if ends else None)

    def blame(self, *, was_ready: bool) -> None:
        """A worker has died, or could not be started."""
        source, group, now = self._stream.source_video, self._feed.group, self._loop.time()
        if self._rungs and source is not None and self._faults.died(source, group, now, was_ready=was_ready):
            self._give_up()

    def miss_worker(self) -> None:
        """There has been none for too long: its viewers are better off elsewhere."""
        self._faults.miss_worker(self._loop.time())
        if self._rungs:
            self._give_up()

    def _start(self, made: MadeRung) -> None:
        self._counters.rung_starts += 1
        made.started_at = self._loop.time()
        self._line.send(made.start(self._stream.frame_rate))

    def _slowest(self) -> int | None:
        """The pts that all rungs have reached."""
        return min((made.last_pts or 0 for made in self._rungs.values()), default=None)

    def _source_ended(self) -> None:
        self.close()

    # What the worker says

    def makes(self, output: str) -> bool:
        """Is, or was, this one of its rungs?"""
        return output in self._rungs or output in self._retired

    def owes(self, seq: int) -> bool:
        """Has the worker this unit?"""
        return self._feed.owes(seq)

    def heard(self, message: Message) -> None:
        """About pictures, from the worker that is at work."""
        match message:
            case MadeUnit():
                self._publish(message)
            case Done():
                self._answered(message)
            case MadeTrack():
                self._adopt(message)
            case RungReport() | RungLags():
                self._note(message)
            case SourceReport():
                self.source_report = message
            case KeyframeWanted():
                self._stream.request_keyframe(SOURCE)
            case RungFailed():
                self._failed(message)
            case SourceRefused() if self._feed.sent is not None:
                self._faults.refuse(self._feed.sent, message.problem)
                self._give_up()

    def _answered(self, done: Done) -> None:
        self.answers += 1
        if done.problem:
            self._counters.drops["undecodable"] += 1
            logger.debug("picture %d: %s", done.seq, done.problem, extra={"room": self._stream.key})
        self._feed.answered(done.seq)

    def _publish(self, made: MadeUnit) -> None:
        rung = self._rungs.get(made.output)
        track = rung.take(made) if rung is not None else "unwanted"
        if isinstance(track, str):
            self._counters.drops[track] += 1
            if rung is not None and rung.needs_keyframe:
                self._mend()
            return
        self._counters.pictures_out += 1
        self._counters.rung_delays.observe(made.spent_us / 1_000_000)
        self._stream.deliver(AccessUnit(track, Ticks(made.dts), Ticks(made.pts), made.keyframe, made.parts))
        if self._feed.is_filling:
            self._feed.pump()

    def _mend(self) -> None:
        """Nothing of a rung can be published before its next keyframe."""
        now = self._loop.time()
        if now - self._asked_at > KEYFRAME_INTERVAL:
            self._asked_at = now
            self.force_keyframe()

    def _adopt(self, message: MadeTrack) -> None:
        made = self._rungs.get(message.output)
        if made is None or message.run > made.run:
            return
        try:
            made.adopt(message)
        except WireError as exc:
            self._failed(RungFailed(message.output, message.run, f"its configuration is unusable: {exc}"))

    def _note(self, message: RungReport | RungLags) -> None:
        made = self._rungs.get(message.output)
        if made is None or made.run != message.run:
            return
        if isinstance(message, RungLags):
            made.depth_ms = message.depth_ms
            return
        before = made.counters.late
        made.note(message, self._loop.time())
        self._counters.late_pictures += made.counters.late - before

    def _failed(self, message: RungFailed) -> None:
        """Its encoder has given up. It is tried again at once, and then in software or not for a while."""
        made = self._rungs.get(message.output)
        if made is None or made.run != message.run:
            return
        now = self._loop.time()
        self._counters.rung_failures += 1
        made.counters.failures += 1
        logger.warning("rung %s failed: %s", made.name, message.problem, extra={"room": self._stream.key})
        if self._faults.failed(made.name, now) and not self._fall_back(made):
            self._withdraw(made.name)
        else:
            self._start(made)

    def _fall_back(self, made: MadeRung) -> bool:
        """To an encoder in software, until the end of the broadcast. False where it has one already."""
        rung, old = in_software(made.rung), made.rung
        if rung is old:
            return False
        logger.warning(
            "rung %s is encoded by %s: %s fails", made.name, rung.encoder, old.encoder, extra={"room": self._stream.key}
        )
        made.rung = rung
        self._ladder = tuple(rung if each == old else each for each in self._ladder)
        self._faults.replaced(made.name)
        return True

    def _give_up(self) -> None:
        """No rung of this source."""
        logger.warning("no rungs: %s", self.problem or "there is no worker", extra={"room": self._stream.key})
        for name in tuple(self._rungs):
            self._withdraw(name)

    # Overload

    def loads(self) -> Iterator[RungLoad]:
        """What is being made now. Counts what is late since the last call."""
        now, last_resort = self._loop.time(), self._last_resort()
        # a publisher that pauses leaves reports behind that were true when its last picture came
        is_moving, self._answers_seen = self.owed > 0 or self.answers != self._answers_seen, self.answers
        behind = self._feed.behind_ms
        if self.source_report is not None:
            behind = max(behind, self.source_report.depth_ms)
        for made in self._rungs.values():
            late, made.late = made.late, 0
            yield RungLoad(
                *(self._stream.key, made.name, made.cores),
                viewers=self._owner.viewers_of(self._stream, made.name),
                lag_ms=max(made.depth_ms, behind) if is_moving else 0,
                late=late,
                age=now - made.started_at,
                is_last_resort=made.name == last_resort,
                is_lowered=made.is_lowered,
            )

    def remedy(self, name: str, remedy: Remedy) -> None:
        """What was decided about one of its rungs."""
        made = self._rungs.get(name)
        if made is None:
            return
        if remedy is Remedy.SHED:
            self._counters.rungs_shed += 1
            made.counters.sheds += 1
            logger.warning("rung %s is shed: the machine is too busy", name, extra={"room": self._stream.key})
            self._withdraw(name)
            return
        made.is_lowered = remedy is Remedy.LOWER
        self._counters.rungs_lowered += made.is_lowered
        logger.warning("rung %s at %s", name, remedy.value, extra={"room": self._stream.key})
        self._start(made)
